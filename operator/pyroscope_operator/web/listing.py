"""Which targets, drops and duplicates a query asks for, and what all of them come to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from pyroscope_operator.discovery.claim import Duplicate
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.targets import Drop
from pyroscope_operator.engine.conditions import Observation, aspects
from pyroscope_operator.engine.overview import Section
from pyroscope_operator.engine.shown import shown
from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.scrape.pool import LoopState
from pyroscope_operator.web.query import Query

MAX_NAMESPACES = 200
_NOTHING = ObjectPlan()

Loops = Sequence[LoopState]


@dataclass(frozen=True, slots=True)
class Beaten:
    """A target of which something, or all, is left to better claims."""

    duplicates: tuple[Duplicate, ...]


class Row(NamedTuple):
    """What is counted, filtered and paged."""

    ref: ObjectRef
    """Of the object that leads to it."""
    state: str
    """One of query.STATES."""
    what: Loops | Drop | Beaten | None
    """The loops of a target, or what is not scraped; None: the object leads to nothing."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One page, and figures about all that is known."""

    query: Query
    """Its page is the one that is shown, not one beyond the last."""
    sections: tuple[Section, ...]
    """The objects of this page with what of them is on it."""
    matching: int
    """Rows that the query matches, on all pages."""
    states: Mapping[str, int]
    """Rows in each state, whatever the query."""
    objects: int
    ready: int
    """Objects with Ready=True."""
    scrapes: int
    namespaces: tuple[str, ...]
    """Those of objects and of what they find, some of them if there are very many."""
    rejected: tuple[ObjectRef, ...]
    """Objects that are not accepted."""

    @property
    def pages(self) -> int:
        return _pages(self.matching, self.query.size)

    @property
    def first(self) -> int:
        """Number of the first row of this page, from 1 on."""
        return (self.query.page - 1) * self.query.size + 1

    @property
    def last(self) -> int:
        return min(self.matching, self.query.page * self.query.size)


def listing(snapshot: Snapshot, query: Query) -> Listing:
    """The page that is asked for; the last one if there are not so many."""
    seen = snapshot.observations
    states: Counter[str] = Counter()
    namespaces: set[str] = set()
    found: list[Row] = []
    for ref, one in seen.items():
        for row in _rows(ref, one):
            states[row.state] += 1
            places = {ref.namespace, _namespace(row)}
            namespaces |= places
            if query.state in {"", row.state} and query.namespace in {"", *places} and _has(row, one, query.q):
                found.append(row)
    page = min(query.page, _pages(len(found), query.size))
    asked = Query(query.state, query.namespace, query.q, page, query.size)
    shown = found[(page - 1) * query.size : page * query.size]
    return Listing(
        query=asked,
        sections=tuple(_section(ref, seen[ref], rows) for ref, rows in groupby(shown, key=lambda row: row.ref)),
        matching=len(found),
        states=states,
        objects=len(seen),
        ready=sum(aspects(one)["Ready"].status == "True" for one in seen.values()),
        scrapes=sum(len(one.loops) for one in seen.values()),
        namespaces=tuple(sorted(namespaces)[:MAX_NAMESPACES]),
        rejected=tuple(ref for ref, one in seen.items() if not one.verdict.accepted),
    )


def state_of(loops: Loops) -> str:
    """Of a target: down if the last scrape of any profile type failed."""
    ups = {state.health.up for state in loops}
    return "down" if False in ups else "up" if True in ups else "unknown"


def by_target(duplicates: Iterable[Duplicate]) -> list[Beaten]:
    """What is left to others of each target."""
    found: dict[str, list[Duplicate]] = {}
    for duplicate in duplicates:
        found.setdefault(duplicate.scrape.target.key, []).append(duplicate)
    return [Beaten(tuple(one)) for one in found.values()]


def _pages(rows: int, size: int) -> int:
    return max(1, -(-rows // size))


def _rows(ref: ObjectRef, seen: Observation) -> Iterator[Row]:
    plan = seen.plan or _NOTHING
    if not (seen.targets or plan.drops or plan.duplicates):
        yield Row(ref, "idle" if seen.verdict.accepted else "rejected", None)
        return
    for loops in sorted(seen.targets, key=_order):
        yield Row(ref, state_of(loops), loops)
    for drop in plan.drops:
        yield Row(ref, "dropped", drop)
    for beaten in by_target(plan.duplicates):
        yield Row(ref, "duplicate", beaten)


def _order(loops: Loops) -> tuple[str, ...]:
    target = loops[0].scrape.target
    return target.namespace, target.pod, target.container, target.address


def _namespace(row: Row) -> str:
    """Of what the row is about, which may be another one than its object's."""
    match row.what:
        case None:
            return row.ref.namespace
        case Drop(pod):
            return pod.namespace
        case Beaten(duplicates):
            return duplicates[0].scrape.target.namespace
        case loops:
            return loops[0].scrape.target.namespace


def _has(row: Row, seen: Observation, text: str) -> bool:
    """Whether all words of `text` are in what is shown of the row."""
    if not text:
        return True
    hay = "\n".join(_texts(row, seen)).casefold()
    return all(word in hay for word in text.casefold().split())


def _texts(row: Row, seen: Observation) -> Iterable[str]:
    yield str(row.ref)
    match row.what:
        case None:
            for aspect in aspects(seen).values():
                yield from (aspect.reason, aspect.message)
        case Drop(pod, reason, message):
            yield from (pod.name, reason, message)
        case Beaten(duplicates):
            yield duplicates[0].scrape.target.address
            yield from (duplicate.message for duplicate in duplicates)
        case loops:
            target = loops[0].scrape.target
            yield from (target.pod, target.container, target.address)
            yield from (value for labels in (target.labels, target.discovered) for _, value in shown(labels))
            yield from (part for state in loops for part in (state.health.reason, state.health.message))


def _section(ref: ObjectRef, seen: Observation, rows: Iterable[Row]) -> Section:
    targets: list[Loops] = []
    drops: list[Drop] = []
    duplicates: list[Duplicate] = []
    for row in rows:
        match row.what:
            case None:
                pass
            case Drop() as drop:
                drops.append(drop)
            case Beaten(beaten):
                duplicates += beaten
            case loops:
                targets.append(loops)
    return Section(ref, seen, targets, drops, duplicates)
