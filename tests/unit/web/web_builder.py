"""Snapshots from few words, and what a page says in the words of its reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import chain
from typing import Any

from builders import EPOCH, request, scrape, target

from pyroscope_operator.discovery.claim import Duplicate
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.targets import Drop
from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.errors import FetchError
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Target
from pyroscope_operator.push.endpoint import FLAGS, EndpointKey
from pyroscope_operator.push.writer import WriterSnapshot
from pyroscope_operator.scrape.health import Health
from pyroscope_operator.scrape.pool import LoopState
from pyroscope_operator.web import page
from pyroscope_operator.web.listing import listing
from pyroscope_operator.web.query import parse

NOW = EPOCH + 60
UNTRIED = Health()
UP = Health().succeeded(NOW - 4, NOW - 3.75, 12_345)
DOWN = Health().failed(NOW - 4, NOW - 3, FetchError("Timeout", "no answer within 15s"))
ACCEPTED = Verdict("Accepted", "the object is valid")
CHECKOUT = ObjectRef("shop", "checkout")
_VOID = {"meta", "link", "input", "col", "option"}


async def nothing() -> Snapshot:
    """An operator without objects and endpoints."""
    return Snapshot(NOW)


def loops(of: Target | str = "web-0", source: ObjectRef = CHECKOUT, **health: Health) -> list[LoopState]:
    """The loops of one target, by profile type; of memory, which is up, unless told otherwise."""
    found = of if isinstance(of, Target) else target(of)
    return [
        LoopState(scrape(found, request(kind), source=source), state, NOW + 11)
        for kind, state in (health or {"memory": UP}).items()
    ]


def drop(name: str = "web-9", namespace: str = "shop", reason: str = "PortNotFound", message: str = "set spec.port") -> Drop:
    return Drop(ObjectRef(namespace, name), reason, message)


def duplicate(of: str = "web-0", kind: str = "memory", winner: ObjectRef | None = None) -> Duplicate:
    mine = scrape(target(of), request(kind))
    return Duplicate(mine, replace(mine, source=winner or ObjectRef("shop", "older")))


def seen(
    drops: Sequence[Drop] = (), duplicates: Sequence[Duplicate] = (), *, verdict: Verdict = ACCEPTED, pods: int = 1
) -> Observation:
    """An object without its loops."""
    plan = ObjectPlan(pods=pods, healthy_pods=pods, drops=list(drops), duplicates=list(duplicates))
    return Observation(3, verdict, plan if verdict.accepted else None)


def snapshot(
    known: Mapping[ObjectRef, Observation] | None = None, *targets: Sequence[LoopState], endpoints: Sequence[WriterSnapshot] = ()
) -> Snapshot:
    """Of these objects; of one with these targets, unless told otherwise."""
    mine: dict[ObjectRef, list[LoopState]] = {}
    for state in chain.from_iterable(targets):
        mine.setdefault(state.scrape.source, []).append(state)
    objects = known if known is not None else {CHECKOUT: seen()}
    found = {ref: replace(one, loops=mine.get(ref, ())) for ref, one in sorted(objects.items())}
    return Snapshot(NOW, found, delivery=tuple(endpoints))


def endpoint(name: str = "default", **fields: Any) -> WriterSnapshot:
    known: dict[str, Any] = {"sent": 5_000, "dropped": 2, "retried": 1, "queue_profiles": 3, "queue_bytes": 4_096}
    known |= {"overflowing": False, "failing_since": None, "last_error_reason": None, "last_error_message": None}
    return WriterSnapshot(EndpointKey(FLAGS, name), **{**known, "last_success": NOW - 2, **fields})


def html(of: Snapshot, waiting_for: str = "", **parameters: str) -> str:
    """The page that is asked for with these parameters."""
    return page.render(of, listing(of, parse(parameters)), waiting_for)


class Read(HTMLParser):
    """The page as a browser reads it. Raises AssertionError where elements don't nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self._parts: list[str] = []
        self.feed(text)
        assert not self._open, self._open

    @property
    def text(self) -> str:
        """All that is to be read, with single blanks."""
        return " ".join(" ".join(self._parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID or (tag == "option" and self._open[-1] == "select"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self._parts.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """The attributes of each such element."""
        return [found for name, found in self.tags if name == tag and attributes.items() <= found.items()]
