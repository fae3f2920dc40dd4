"""All objects together: what is scraped, by whom, and what is not, and why.

The same scrape chosen by two objects is done once, for the object with the better
claim: one in the pod's own namespace, then the older one, then by name.  A process
has one CPU profiler, so per host:port there is one CPU profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery import selector, targets
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.targets import Drop
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape, Target

PodsIn = Callable[[frozenset[str] | None], Iterable[Pod]]
"""The pods of these namespaces; of all for None."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An accepted object, as discovery needs it."""

    ref: ObjectRef
    created: str
    """creationTimestamp: RFC 3339 in UTC, so that text order is time order."""
    spec: PyroscopeScrapeSpec


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A scrape that is left to another one with the better claim."""

    scrape: Scrape
    winner: Scrape

    @property
    def message(self) -> str:
        mine, theirs = self.scrape, self.winner
        where = mine.target.pod or mine.target.address
        if mine.key == theirs.key:
            return f"{mine.profile.type} of {where} is scraped by {theirs.source}"
        return (
            f"{mine.profile.type} of {where} would run beside {theirs.profile.type} of {theirs.source}: "
            "a process takes one CPU profile at a time"
        )


@dataclass(slots=True)
class ObjectPlan:
    """What one object leads to."""

    pods: int = 0
    """Selected pods, dropped ones included."""
    healthy_pods: int = 0
    """Those of them that are ready."""
    targets: list[Target] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    scrapes: list[Scrape] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)


def plan(objects: Sequence[Wanted], pods_in: PodsIn, body_limit: int) -> dict[ObjectRef, ObjectPlan]:
    """Decide what is scraped.  `body_limit` in bytes is the operator's cap: the lower one wins.

    Returns one entry for each object that is not suspended.
    """
    plans: dict[ObjectRef, ObjectPlan] = {}
    claims: list[tuple[tuple[bool, str, ObjectRef], Scrape]] = []
    for wanted in objects:
        if wanted.spec.suspend:
            continue
        mine = plans[wanted.ref] = _discover(wanted, pods_in)
        for target in mine.targets:
            rank = (target.namespace != wanted.ref.namespace, wanted.created, wanted.ref)
            claims += ((rank, scrape) for scrape in _scrapes(wanted, target, body_limit))
    claims.sort(key=lambda claim: claim[0])  # stable: within an object its own order stays
    _settle([scrape for _, scrape in claims], plans)
    return plans


def _discover(wanted: Wanted, pods_in: PodsIn) -> ObjectPlan:
    spec, found = wanted.spec, ObjectPlan()
    if spec.selector is not None:
        scope = pods_in(selector.namespaces(spec, wanted.ref.namespace))
        pods = [pod for pod in scope if selector.matches(spec.selector, pod.labels)]
        found.pods, found.healthy_pods = len(pods), sum(pod.ready for pod in pods)
        found.targets, found.drops = targets.of_pods(spec, wanted.ref, pods)
    found.targets += targets.of_static(spec, wanted.ref)
    return found


def _scrapes(wanted: Wanted, target: Target, body_limit: int) -> Iterable[Scrape]:
    spec = wanted.spec
    for profile in spec.profiles():
        yield Scrape(
            source=wanted.ref,
            target=target,
            profile=profile,
            interval=spec.interval_seconds,
            timeout=spec.timeout_seconds + (profile.seconds or 0),
            body_limit=min(body_limit, spec.body_limit(body_limit)),
            params=tuple(sorted((name, tuple(values)) for name, values in spec.params.items())),
            follow_redirects=spec.follow_redirects,
        )


def _settle(claims: Iterable[Scrape], plans: dict[ObjectRef, ObjectPlan]) -> None:
    """Give each scrape to the first claim on it, best claims first."""
    taken: dict[str, Scrape] = {}
    for scrape in claims:
        keys = [scrape.key]
        if scrape.profile.uses_cpu_profiler:
            keys.append(f"cpu {scrape.target.address}")
        winner = next((taken[key] for key in keys if key in taken), None)
        if winner is not None:
            plans[scrape.source].duplicates.append(Duplicate(scrape, winner))
            continue
        taken.update(dict.fromkeys(keys, scrape))
        plans[scrape.source].scrapes.append(scrape)
