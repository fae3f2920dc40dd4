"""Which nodes are objects: documents, and the items of lists as `kubectl get -o yaml` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pyroscope_operator.api import API_VERSION
from pyroscope_operator.api.scrape import KIND
from pyroscope_operator.manifest.node import Member, Node

_INHERITED = {"apiVersion": API_VERSION, "kind": KIND}


def is_list(kind: Any) -> bool:
    """Whether `kind` is that of a list which may hold objects of ours."""
    return kind in ("List", f"{KIND}List")


def objects(document: Node) -> Iterator[Node]:
    """The document itself, or its items if it is a list. A list in a list, or one without items, is given as it is."""
    members = document.value if isinstance(document.value, Mapping) else {}
    kind = members["kind"].node.value if "kind" in members else None
    items = members["items"].node.value if "items" in members else None
    if not is_list(kind) or not isinstance(items, tuple):
        yield document
        return
    for item in items:
        yield item if kind == "List" else _complete(item)


def _complete(item: Node) -> Node:
    """An item of a PyroscopeScrapeList, which need not say what it is."""
    if not isinstance(item.value, Mapping):
        return item
    missing = {key: Member(item.at, Node(item.at, value)) for key, value in _INHERITED.items() if key not in item.value}
    return replace(item, value={**item.value, **missing})
