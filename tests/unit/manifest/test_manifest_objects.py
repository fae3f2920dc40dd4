"""Which parts of a file are objects: documents and the items of lists."""

from __future__ import annotations

import io
from typing import Any

import pytest

from pyroscope_operator.manifest.objects import objects
from pyroscope_operator.manifest.read import documents

OURS = {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeScrape"}


def found(text: str) -> list[Any]:
    return [node.plain() for root in documents("f", io.BytesIO(text.encode())) for node in objects(root)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: Pod\n---\nkind: PyroscopeScrape\n", [{"kind": "Pod"}, {"kind": "PyroscopeScrape"}]),
        ("kind: List\nitems: [{a: 1}, {b: 2}]\n", [{"a": 1}, {"b": 2}]),
        ("kind: List\nitems: []\n", []),
        ("kind: List\n", [{"kind": "List"}]),
        ("kind: List\nitems: {}\n", [{"kind": "List", "items": {}}]),
        ("kind: List\nitems: [{kind: List, items: [{a: 1}]}]\n", [{"kind": "List", "items": [{"a": 1}]}]),
        ("kind: PodList\nitems: [{a: 1}]\n", [{"kind": "PodList", "items": [{"a": 1}]}]),
        ("kind: PyroscopeScrapeList\nitems: [{spec: {}}]\n", [{**OURS, "spec": {}}]),
        ("kind: PyroscopeScrapeList\nitems: [{kind: Pod}, 5]\n", [{**OURS, "kind": "Pod"}, 5]),
        ("kind: [List]\nitems: [{a: 1}]\n", [{"kind": ["List"], "items": [{"a": 1}]}]),
        ("- {kind: List}\n---\n5\n", [[{"kind": "List"}], 5]),
    ],
)
def test_objects(text: str, expected: list[Any]) -> None:
    assert found(text) == expected


def test_items_know_where_they_stand() -> None:
    (root,) = documents("f", io.BytesIO(b"kind: PyroscopeScrapeList\nitems:\n- spec:\n    port: 1\n"))
    (item,) = objects(root)
    assert item.at == (3, 3)
    assert item.locate(("spec", "port")) == (4, 5)
    assert item.locate(("kind",)) == (3, 3)
