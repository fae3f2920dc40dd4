"""The targets page: what it says, and that nothing in it can become more than text."""

from __future__ import annotations

import base64
import gc
import hashlib
import re
from dataclasses import replace

import pytest
from builders import request, scrape, target
from web_builder import CHECKOUT, DOWN, NOW, UNTRIED, UP, Read, drop, duplicate, endpoint, html, loops, nothing, seen, snapshot

from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.engine.write_conditions import WriteObservation
from pyroscope_operator.errors import FetchError
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.scrape.health import Health
from pyroscope_operator.scrape.pool import LoopState
from pyroscope_operator.web.page import MAX_ENDPOINTS, MAX_LABELS, MAX_VALUE, POLICY

EVIL = """"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}&lt;"""


def hostile() -> Snapshot:
    """Every text that somebody else may choose is an attack."""
    evil = target(
        EVIL,
        namespace=EVIL,
        container=EVIL,
        address=EVIL,
        labels=Labels({EVIL: EVIL, "x": "</dd></style><script>"}),
        discovered=Labels({f"__meta_{EVIL}": EVIL}),
    )
    failed = UP.failed(NOW, NOW, FetchError(EVIL, EVIL))
    state = LoopState(scrape(evil, request(EVIL), source=ObjectRef(EVIL, EVIL)), failed, NOW)
    left = duplicate(EVIL, EVIL, ObjectRef(EVIL, EVIL))
    objects = {
        ObjectRef(EVIL, EVIL): seen([drop(EVIL, EVIL, EVIL, EVIL)], [left]),
        ObjectRef(EVIL, "b"): seen(verdict=Verdict(EVIL, EVIL)),
    }
    made = snapshot(
        objects, [state], endpoints=[endpoint(EVIL, failing_since=NOW, last_error_reason=EVIL, last_error_message=EVIL)]
    )
    return replace(made, writes={ObjectRef(EVIL, EVIL): WriteObservation(1, Verdict(EVIL, EVIL))})


@pytest.mark.parametrize(
    "parameters", [{}, {"q": "<script>"}, {"namespace": """'"><script>"""}, {"state": "down", "q": EVIL[:40]}]
)
def test_hostile_texts_stay_texts(parameters: dict[str, str]) -> None:
    text = html(hostile(), waiting_for=EVIL, **parameters)
    read = Read(text)
    assert EVIL.split("{{", maxsplit=1)[0] in read.text or parameters
    assert "49" not in text.split("</style>")[1]
    assert not read.all("script") and not read.all("img")
    for tag, attributes in read.tags:
        assert not [
            name for name in attributes if name.startswith("on") or name in {"style", "src", "srcdoc", "action" * (tag != "form")}
        ]
    assert "<script" not in text and "onerror=alert(1)>" not in text.replace("&gt;", "")


@pytest.mark.parametrize("of", [hostile(), Snapshot(NOW)], ids=["hostile", "empty"])
def test_the_page_loads_nothing_and_leads_nowhere_else(of: Snapshot) -> None:
    read = Read(html(of))
    for tag, attributes in read.tags:
        for name in ("href", "src", "action"):
            if name in attributes and tag != "link":
                assert re.match(r"(\?|#|targets$|api/v1/targets\b)", attributes[name]), attributes
    assert [one["rel"] for one in read.all("link")] == ["icon"]
    assert read.all("link")[0]["href"].startswith("data:image/svg+xml,")
    assert [one["method"] for one in read.all("form")] == ["get"]
    style = html(of).split("<style>")[1].split("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_the_policy_allows_our_style_sheet_and_nothing_else() -> None:
    style = html(Snapshot(NOW)).split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in POLICY
    assert POLICY.startswith("default-src 'none';")
    assert {"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(POLICY.split("; "))
    assert "unsafe" not in POLICY and "script-src" not in POLICY


def test_an_operator_that_knows_nothing() -> None:
    read = Read(html(Snapshot(NOW), waiting_for="the first list"))
    assert "not ready waiting for the first list" in read.text
    assert "There is no PyroscopeScrape yet" in read.text
    assert "No profile is sent anywhere" in read.text
    assert not read.all("nav") and not read.all("article")


def test_a_target_with_all_that_is_to_be_told() -> None:
    labels = Labels({"service_name": "checkout", "pod": "web-0"})
    of = target(labels=labels, discovered=Labels({"__address__": "10.0.0.1:6060"}))
    told = Read(html(snapshot(None, loops(of, memory=UP, mutex=DOWN, block=UNTRIED)))).text
    assert "down web-0 app · 10.0.0.1:6060" in told
    assert "memory up 4 s ago 08:00:56 250 ms 12.3 kB in 11 s" in told
    assert "mutex down 4 s ago 08:00:56 1.00 s – in 11 s" in told
    assert "Timeout : no answer within 15s 1 of 1 scrape failed, last success never" in told
    assert "block not yet tried – – – in 11 s" in told
    assert "Labels of web-0 2, before relabeling 1 On the series pod web-0 service_name checkout" in told
    assert "Before relabeling __address__ 10.0.0.1:6060" in told
    assert "0 of 1 target up · every 15 s" in told
    assert "Scraping False TargetsDown targets down: 1 of 1; mutex of web-0: Timeout, no answer within 15s" in told


def test_an_error_is_told_once_for_those_that_failed_alike() -> None:
    other = Health().failed(NOW, NOW, FetchError("HTTPStatus", "answered 404"))
    read = Read(html(snapshot(None, loops("web-0", memory=DOWN, mutex=DOWN, block=other, goroutine=UP, fgprof=DOWN))))
    assert (read.text.count("Timeout : no answer"), read.text.count("HTTPStatus : answered 404")) == (2, 1)
    assert [one["rowspan"] for one in read.all("th", scope="rowgroup")] == ["8"]


def test_what_is_not_scraped() -> None:
    told = Read(
        html(
            snapshot(
                {CHECKOUT: seen([drop(), drop("far", "other", "Relabeled", "by 0")], [duplicate(), duplicate(kind="mutex")])}
            )
        )
    ).text
    assert "dropped web-9 PortNotFound set spec.port" in told
    assert "dropped other/ far Relabeled by 0" in told
    assert "duplicate web-0 memory, mutex scraped by shop/older" in told
    assert "nothing is scraped" in told


def test_objects_that_are_not_accepted_are_told_at_once() -> None:
    objects = {ObjectRef("shop", f"bad-{n}"): seen(verdict=Verdict("SecretNotFound", "create the Secret tls")) for n in range(8)}
    read = Read(html(snapshot({CHECKOUT: seen(), **objects}, loops())))
    assert "not accepted 8 objects do nothing until corrected: shop/bad-0 ," in read.text
    assert "Accepted False SecretNotFound create the Secret tls" in read.text
    told = Read(html(snapshot({CHECKOUT: seen(), **objects}, loops()), state="rejected")).text
    assert "1–8 of 8 that match" in told and "shop/ checkout" not in told


def test_delivery_by_endpoint() -> None:
    failing = {"failing_since": NOW - 180, "last_error_reason": "Unreachable", "last_error_message": "connection refused"}
    told = Read(html(snapshot(endpoints=[endpoint("eu"), endpoint("us", **failing, last_success=None)]))).text
    assert (
        "default us failing 5,000 2 1 3 · 4.1 kB never Unreachable : connection refused failing for 3 min, since 07:58:00" in told
    )
    assert "default eu delivering 5,000 2 1 3 · 4.1 kB 2 s ago 08:00:58" in told
    assert told.index("default us") < told.index("default eu")
    over = {**failing, "failing_since": None}
    assert "the last error; over" in Read(html(snapshot(endpoints=[endpoint(**over)]))).text
    assert "queue full" in Read(html(snapshot(endpoints=[endpoint(overflowing=True)]))).text


def test_a_write_that_is_not_accepted() -> None:
    of = replace(
        snapshot(), writes={ObjectRef("shop", "eu"): WriteObservation(1, Verdict("InvalidSpec", "spec.endpoints: none"))}
    )
    assert "not accepted PyroscopeWrite shop/eu : InvalidSpec : spec.endpoints: none" in Read(html(of)).text


def test_values_that_are_not_for_everyone() -> None:
    last = "__meta_kubernetes_pod_annotation_kubectl_kubernetes_io_last_applied_configuration"
    of = target(
        discovered=Labels({"__param_token": "s3cr3t", last: "s3cr3t", "__address__": "10.0.0.1:1"}),
        params=(("token", ("s3cr3t",)),),
    )
    text = html(snapshot(None, loops(of)))
    assert "s3cr3t" not in text
    assert "__param_token (not shown)" in Read(text).text


def test_everything_is_bounded() -> None:
    many = {f"__meta_{number:04}": "v" * 250_000 for number in range(2 * MAX_LABELS)}
    texts = FetchError("Timeout", "m" * 100_000)
    failed = Health().failed(NOW, NOW, texts)
    endpoints = [endpoint(f"e{number:03}") for number in range(1000)]
    of = snapshot(None, loops(target(discovered=Labels(many)), memory=failed), endpoints=endpoints)
    text = html(of)
    assert len(text) < MAX_LABELS * (MAX_VALUE + 60) + MAX_ENDPOINTS * 1000 + 30_000
    assert f"and {1000 - MAX_ENDPOINTS} more" in Read(text).text


def test_pages_are_links() -> None:
    of = snapshot(None, *(loops(f"web-{number:03}") for number in range(120)))
    first, second, last = (Read(html(of, q="web", page=page)) for page in ("1", "2", "3"))
    assert "1–50 of 120 that match" in first.text and "Page 1 of 3" in first.text
    assert [link["href"] for link in first.all("a", rel="next")] == ["?q=web&page=2"]
    assert [link["href"] for link in second.all("a", rel="prev")] == ["?q=web"]
    assert not first.all("a", rel="prev") and not last.all("a", rel="next")
    assert "101–120 of 120" in last.text
    assert first.text.count("web-000") and not second.text.count("web-000")
    assert [link["href"] for link in second.all("a", **{"class": "json"})] == ["api/v1/targets?q=web&page=2"]


def test_the_form_keeps_what_was_asked() -> None:
    of = snapshot(None, loops("web-0"))
    read = Read(html(of, state="up", namespace="shop", q='a "b"', size="20"))
    assert [one["value"] for one in read.all("input", name="q")] == ['a "b"']
    assert [one["value"] for one in read.all("input", name="namespace")] == ["shop"]
    assert [one["value"] for one in read.all("option") if "selected" in one] == ["up"]
    assert [one["value"] for one in read.all("input", name="size")] == ["20"]
    assert "Nothing matches." in read.text
    for field in ("q", "namespace", "state"):
        assert read.all("label", **{"for": field})


def test_the_frame_is_fit_for_screen_readers() -> None:
    of = snapshot({CHECKOUT: seen([drop()], [duplicate()])}, loops("web-0", memory=UP, mutex=DOWN), endpoints=[endpoint()])
    read = Read(html(of))
    assert read.all("html", lang="en") and "Targets · pyroscope-operator" in read.text
    assert len(read.all("main")) == len(read.all("header")) == len(read.all("h1")) == 1
    assert {found.get("scope") for found in read.all("th")} == {"col", "row", "rowgroup"}
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in read.tags:
        for name in ("aria-labelledby", "for", "list"):
            assert attributes.get(name, ids[0]) in ids
    # Memory and mutex, and why mutex failed: the head of the target stands beside all three.
    assert [one["rowspan"] for one in read.all("th", scope="rowgroup")] == ["3"]


async def test_a_page_leaves_no_cycles_behind() -> None:
    """What is frozen in the middle of a page (garbage.py) would stay with all that it shows."""
    of = snapshot(None, *(loops(f"web-{number}") for number in range(20)))
    html(of)
    gc.collect()
    html(of)
    assert gc.collect() < 50
    assert await nothing() == Snapshot(NOW)
