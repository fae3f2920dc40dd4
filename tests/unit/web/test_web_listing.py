"""What of all targets, drops and duplicates is on a page."""

from __future__ import annotations

from typing import Any

import pytest
from builders import target
from web_builder import CHECKOUT, DOWN, UNTRIED, UP, drop, duplicate, loops, seen, snapshot

from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.web.listing import MAX_NAMESPACES, Listing, listing
from pyroscope_operator.web.query import parse

OTHER, BAD, IDLE = ObjectRef("pay", "api"), ObjectRef("pay", "bad"), ObjectRef("zoo", "idle")


def asked(of: Snapshot, **parameters: str) -> Listing:
    return listing(of, parse(parameters))


def told(found: Listing) -> list[tuple[str, str]]:
    """(object, what of it) in the order of the page."""
    rows = []
    for section in found.sections:
        names = [loops[0].scrape.target.pod for loops in section.targets]
        names += [one.pod.name for one in section.drops] + [f"~{one.scrape.profile.type}" for one in section.duplicates]
        rows += [(section.ref.name, name) for name in names or ["-"]]
    return rows


def world() -> Snapshot:
    """Two objects with targets, one that is not accepted and one that finds nothing."""
    objects = {
        CHECKOUT: seen([drop("web-8"), drop("far", "elsewhere", "Relabeled")], [duplicate("d"), duplicate("d", "mutex")]),
        OTHER: seen(),
        BAD: seen(verdict=Verdict("SecretNotFound", "create the Secret tls")),
        IDLE: seen(),
    }
    labelled = target(
        "api-0",
        namespace="pay",
        container="server",
        address="[fd00::7]:9",
        labels=Labels({"team": "Blue"}),
        discovered=Labels({"__meta_kubernetes_pod_node_name": "node-7", "__param_token": "hush"}),
    )
    return snapshot(
        objects,
        loops("web-1", memory=UP, mutex=DOWN),
        loops("web-0", memory=UP, mutex=UNTRIED),
        loops("web-2", memory=UNTRIED),
        loops(labelled, source=OTHER),
    )


ALL = [
    ("api", "api-0"),
    ("bad", "-"),
    ("checkout", "web-0"),
    ("checkout", "web-1"),
    ("checkout", "web-2"),
    ("checkout", "web-8"),
    ("checkout", "far"),
    ("checkout", "~memory"),
    ("checkout", "~mutex"),
    ("idle", "-"),
]


def test_everything_in_order() -> None:
    found = asked(world())
    assert told(found) == ALL
    assert found.matching == 9  # what is left to others of one target is one row
    assert (found.objects, found.ready, found.scrapes) == (4, 2, 6)
    assert found.states == {"up": 2, "down": 1, "unknown": 1, "dropped": 2, "duplicate": 1, "rejected": 1, "idle": 1}
    assert found.rejected == (BAD,)
    assert found.namespaces == ("elsewhere", "pay", "shop", "zoo")


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({"state": "up"}, ["api-0", "web-0"]),
        ({"state": "down"}, ["web-1"]),
        ({"state": "unknown"}, ["web-2"]),
        ({"state": "dropped"}, ["web-8", "far"]),
        ({"state": "duplicate"}, ["~memory", "~mutex"]),
        ({"state": "rejected"}, ["-"]),
        ({"state": "idle"}, ["-"]),
        ({"namespace": "pay"}, ["api-0", "-"]),
        ({"namespace": "elsewhere"}, ["far"]),
        ({"namespace": "pa"}, []),
        ({"q": "web-"}, ["web-0", "web-1", "web-2", "web-8"]),
        ({"q": "WEB-1"}, ["web-1"]),
        ({"q": "pay/api"}, ["api-0"]),
        ({"q": "server"}, ["api-0"]),
        ({"q": "[fd00::7]:9"}, ["api-0"]),
        ({"q": "blue"}, ["api-0"]),
        ({"q": "node-7"}, ["api-0"]),
        ({"q": "timeout"}, ["web-1"]),
        ({"q": "portnotfound"}, ["web-8"]),
        ({"q": "shop/older"}, ["~memory", "~mutex"]),
        ({"q": "secret tls"}, ["-"]),
        ({"q": "hush"}, []),
        ({"state": "up", "q": "web"}, ["web-0"]),
        ({"state": "up", "namespace": "shop", "q": "api"}, []),
    ],
)
def test_filters(parameters: dict[str, str], wanted: list[str]) -> None:
    found = asked(world(), **parameters)
    assert [name for _, name in told(found)] == wanted
    assert sum(found.states.values()) == 9, "figures are of everything"


def test_the_text_filter_finds_no_hidden_values() -> None:
    """Or whoever may not see a value could guess it letter by letter."""
    for name in ("__param_token", "__meta_kubernetes_pod_annotation_kubectl_kubernetes_io_last_applied_configuration"):
        of = snapshot(None, loops(target(discovered=Labels({name: "s3cr3t", "__meta_x": "seen"}))))
        assert asked(of, q="seen").matching == 1
        assert asked(of, q="s3c").matching == 0


def pages(size: int, rows: int = 95) -> list[list[tuple[str, str]]]:
    of = snapshot(None, *(loops(f"web-{number:03}") for number in range(rows)))
    found = asked(of, size=str(size))
    return [told(asked(of, size=str(size), page=str(number + 1))) for number in range(found.pages)]


@pytest.mark.parametrize(("size", "count"), [(10, 10), (50, 2), (95, 1), (94, 2), (200, 1), (1, 95)])
def test_pages_hold_every_row_once(size: int, count: int) -> None:
    found = pages(size)
    assert len(found) == count
    assert max(map(len, found)) <= size
    assert [name for one in found for _, name in one] == [f"web-{number:03}" for number in range(95)]


def test_an_object_goes_on_on_the_next_page() -> None:
    of = world()
    found = [asked(of, size="4", page=str(number)) for number in (1, 2, 3)]
    assert [row for one in found for row in told(one)] == ALL
    assert [(one.first, one.last, one.pages) for one in found] == [(1, 4, 3), (5, 8, 3), (9, 9, 3)]


def test_a_page_beyond_the_last_is_the_last() -> None:
    found = asked(world(), page="99", size="5")
    assert (found.query.page, found.first, found.last) == (2, 6, 9)


def test_an_operator_without_objects() -> None:
    found = asked(Snapshot())
    assert (found.sections, found.matching, found.pages, found.objects) == ((), 0, 1, 0)
    assert (found.query.page, found.last) == (1, 0)


def test_the_list_of_namespaces_is_bounded() -> None:
    objects: Any = {ObjectRef(f"n{number:03}", "x"): seen() for number in range(300)}
    assert len(asked(snapshot(objects)).namespaces) == MAX_NAMESPACES
