"""Answers as a person reads them."""

from __future__ import annotations

from typing import Any

import pytest

from pyroscope_operator.explain.text import as_text

NOW = "2027-01-15T08:00:05.000+00:00"
LABELS = {"namespace": "shop", "pod": "web-0", "service_name": "shop/app"}
SCRAPE: dict[str, Any] = {
    "profile": "memory", "state": "up", "reason": "", "message": "", "durationSeconds": 0.25,
    "lastScrape": "2027-01-15T08:00:00.000+00:00", "nextScrape": "2027-01-15T08:00:15.000+00:00",
}  # fmt: skip
TARGET: dict[str, Any] = {
    "container": "app", "scheme": "http", "address": "10.0.0.1:6060", "labels": LABELS,
    "discoveredLabels": {"__meta_kubernetes_pod_name": "web-0", "namespace": "shop"}, "scrapes": [SCRAPE],
}  # fmt: skip
SCRAPED: dict[str, Any] = {
    "namespace": "shop", "name": "checkout", "outcome": "Scraped", "reason": "Scraped", "message": "1 of 1 profile types up",
    "advice": "", "relabelings": 0, "targets": [TARGET], "delivering": {"status": "True", "reason": "Delivered", "message": "x"},
}  # fmt: skip


def view(outcome: str, reason: str = "", message: str = "because", **fields: Any) -> dict[str, Any]:
    known = {
        "namespace": "shop",
        "name": "other",
        "outcome": outcome,
        "reason": reason or outcome,
        "message": message,
        "advice": "",
    }
    return {**known, **fields}


def said(*views: dict[str, Any], labels: bool = False, **fields: Any) -> list[str]:
    answer = {
        "kind": "pod",
        "namespace": "shop",
        "name": "web-0",
        "now": NOW,
        "found": True,
        "scraped": True,
        "pod": {"phase": "Running", "ip": "10.0.0.1", "ready": True, "labels": {"app": "web"}, "ports": []},
        "counts": {"objects": len(views), "selecting": len(views)},
        "notShown": {},
        "objects": views,
        **fields,
    }
    text = as_text(answer, labels=labels)
    assert text.endswith("\n")
    assert max(map(len, text.split("\n"))) <= 120
    return text.splitlines()


def test_a_pod_that_is_scraped() -> None:
    """The whole of it."""
    assert said(SCRAPED) == [
        "pod/web-0 in namespace shop is scraped by shop/checkout (1 of 1 profile types up)",
        "  pod       Running, ready, IP 10.0.0.1, ports: none",
        '  labels    app="web"',
        "",
        "shop/checkout  scraped",
        "  target    http://10.0.0.1:6060, container app",
        "  PROFILE  STATE  LAST     NEXT     TOOK    ERROR",
        "  memory   up     5 s ago  in 10 s  250 ms",
        '  labels    namespace="shop" pod="web-0" service_name="shop/app"',
    ]


@pytest.mark.parametrize(
    ("scrape", "line"),
    [
        ({"state": "down", "reason": "Timeout", "message": "no answer"}, "down  5 s ago in 10 s 250 ms Timeout: no answer"),
        ({"state": "unknown", "lastScrape": None}, "not yet tried never in 10 s"),
        ({"nextScrape": "2027-01-15T08:00:04.000+00:00", "durationSeconds": 14.02}, "up 5 s ago now 14.0 s"),
        ({"lastScrape": "2027-01-15T08:00:06.000+00:00"}, "up 0 s ago in 10 s 250 ms"),
    ],
)
def test_a_scrape(scrape: dict[str, Any], line: str) -> None:
    row = next(row for row in said({**SCRAPED, "targets": [{**TARGET, "scrapes": [{**SCRAPE, **scrape}]}]}) if "  memory" in row)
    assert row.split() == ["memory", *line.split()]


def test_labels_before_relabeling_are_shown_where_there_is_one() -> None:
    assert '  before    namespace="shop"' in said({**SCRAPED, "relabelings": 1})
    assert '  before    __meta_kubernetes_pod_name="web-0" namespace="shop"' in said(SCRAPED, labels=True)


def test_what_to_do_about_what_is_scraped() -> None:
    down = {**TARGET, "scrapes": [{**SCRAPE, "state": "down"}]}
    assert said({**SCRAPED, "targets": [down]})[-1] == "  do        look at the pod; docs/status.md says what each reason means"
    failing = {"status": "False", "reason": "PushFailing", "message": "refused"}
    lines = said({**SCRAPED, "delivering": failing})
    assert lines[-2:] == ["  delivery  PushFailing: refused", "  do        look at Pyroscope, and at the PyroscopeWrite"]


def test_a_drop_for_a_reason_that_is_not_known_here() -> None:
    """Whatever discovery comes to drop for."""
    drop = {"reason": "Sampled", "message": "beyond spec.sampling"}
    lines = said(view("Dropped", "Sampled", "beyond spec.sampling", drops=[drop], advice="wait"))
    assert lines[0].endswith("is not scraped: shop/other selects it, but: Sampled")
    assert lines[-3:] == ["shop/other  not scraped: Sampled", "  why       beyond spec.sampling", "  do        wait"]


def test_several_drops_of_one_pod() -> None:
    drops = [{"reason": "Relabeled", "message": "m", "step": {"index": 1, "regex": "x", "sourceLabels": ["a", "b"]}},
             {"reason": "LimitExceeded", "message": "n"}]  # fmt: skip
    lines = said(view("Dropped", "Relabeled", "m", drops=drops))
    assert lines[-3:] == [
        "  why       m",
        "  step      relabelings[1]: regex: x, sourceLabels: [a, b]",
        "  why       LimitExceeded: n",
    ]


def test_duplicates_are_put_together() -> None:
    def lost(profile: str, winner: str, why: str) -> dict[str, Any]:
        return {"profile": profile, "winner": {"namespace": "shop", "name": "first", "profile": winner}, "why": why}

    old = "it is older"
    lines = said(
        view("Duplicate", duplicates=[lost("memory", "memory", old), lost("mutex", "mutex", old), lost("cpu", "mine", old)])
    )
    assert lines[5] == "  duplicate memory, mutex: shop/first scrapes them: it is older"
    assert lines[6].startswith("  duplicate cpu: shop/first scrapes its mine (a process takes one CPU profile at a time)")
    assert lines[-1].startswith("  do        nothing is missing")


def test_the_others_have_a_line_each() -> None:
    others = [view("NotSelected", message="wants a"), view("NotSelected", message="wants b", name="longer")]
    hidden = {"selecting": 1, "notSelecting": 2, "elsewhere": 0}
    lines = said(*others, counts={"objects": 9, "selecting": 0}, notShown=hidden)
    assert lines[0] == "pod/web-0 in namespace shop is not scraped: none of 9 PyroscopeScrapes selects it"
    assert lines[3:] == [
        "",
        "other PyroscopeScrapes, the nearest first",
        "  shop/other   wants a",
        "  shop/longer  wants b",
        "",
        "PyroscopeScrapes not shown (--all lists them): 1 select it, 2 look at its namespace and don't select it",
        "",
        "  do        give its pod template the labels that one of these wants, or change that selector",
    ]


def test_an_unknown_pod() -> None:
    lines = said(found=False, scraped=False, podsInNamespace=3, alike=["web-01", "web-02"], inNamespaces=["a", "b"])
    assert lines == [
        "there is no pod/web-0 in namespace shop: the operator knows 3 pods there",
        "  alike     web-01, web-02",
        "  elsewhere a pod of this name is in a, b: set -n",
        "  note      pods that have ended (Succeeded, Failed) are not watched, nor namespaces that the operator may not see",
    ]


def test_a_terminal_is_told_nothing_by_a_tenant() -> None:
    evil = {**TARGET, "labels": {"team": "\x1b]0;owned\x07\n\u202e"}}
    (line,) = [line for line in said({**SCRAPED, "targets": [evil]}) if "owned" in line]
    assert line == '  labels    team="\\x1b]0;owned\\x07 \\u202e"'


def test_a_namespace_that_nobody_looks_at() -> None:
    lines = said(counts={"objects": 7, "selecting": 0}, notShown={"elsewhere": 7})
    assert lines[0] == "pod/web-0 in namespace shop is not scraped: none of 7 PyroscopeScrapes selects it"
    assert lines[-1] == "  do        create a PyroscopeScrape in namespace shop that selects it, such as docs/examples has"


def test_an_object_that_is_not_accepted() -> None:
    lines = said(view("NotAccepted", "InvalidSpec", "spec.interval: must be a duration"))
    assert lines[0] == "pod/web-0 in namespace shop is not scraped: shop/other is not accepted: InvalidSpec"
    assert lines[-2:] == ["shop/other  not scraped: InvalidSpec", "  why       spec.interval: must be a duration"]
