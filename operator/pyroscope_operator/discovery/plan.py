"""All objects together: what is scraped, by whom, and what is not, and why.

The same scrape chosen by two objects is done once, for the object with the better
claim: one in the pod's own namespace, then the older one, then by name.  A process
has one CPU profiler, so per host:port there is one CPU profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery import selector, targets
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.targets import Drop
from pyroscope_operator.model.access import DIRECT, Access
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape, Target

PodsIn = Callable[[frozenset[str] | None], Iterable[Pod]]
"""The pods of these namespaces; of all for None."""

_Claim = tuple[tuple[bool, str, ObjectRef], Scrape]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An accepted object, as discovery needs it."""

    ref: ObjectRef
    created: str
    """creationTimestamp: RFC 3339 in UTC, so that text order is time order."""
    spec: PyroscopeScrapeSpec
    access: Access = DIRECT
    """How its targets are reached."""


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
    bug: Exception | None = None
    """What discovery raised and never should; nothing of the object is scraped then."""


def plan(objects: Sequence[Wanted], pods_in: PodsIn, body_limit: int) -> dict[ObjectRef, ObjectPlan]:
    """Decide what is scraped.  `body_limit` in bytes is the operator's cap: the lower one wins.

    Returns one entry for each object that is not suspended.  The order of objects and
    pods has no effect: a restart decides as before.
    """
    plans: dict[ObjectRef, ObjectPlan] = {}
    claims: list[_Claim] = []
    for wanted in objects:
        if wanted.spec.suspend:
            continue
        try:
            found = _discover(wanted, pods_in)
            claims += [claim for target in found.targets for claim in _claims(wanted, target, body_limit)]
        except Exception as bug:  # on one object: it must not end scraping for all
            found = ObjectPlan(bug=bug)
        plans[wanted.ref] = found
    claims.sort(key=lambda claim: claim[0])  # stable: within an object its own order stays
    _settle([scrape for _, scrape in claims], plans)
    return plans


def _discover(wanted: Wanted, pods_in: PodsIn) -> ObjectPlan:
    spec, found = wanted.spec, ObjectPlan()
    if spec.selector is not None:
        scope = pods_in(selector.namespaces(spec, wanted.ref.namespace))
        pods = [pod for pod in scope if selector.matches(spec.selector, pod.labels)]
        pods.sort(key=lambda pod: (pod.namespace, pod.name))
        found.pods, found.healthy_pods = len(pods), sum(pod.ready for pod in pods)
        found.targets, found.drops = targets.of_pods(spec, wanted.ref, pods)
    static, drops = targets.of_static(spec, wanted.ref)
    found.targets += static
    found.drops += drops
    return found


def _claims(wanted: Wanted, target: Target, body_limit: int) -> Iterator[_Claim]:
    """What the object wants of a target, each with its rank: the lowest one gets it."""
    spec = wanted.spec
    rank = (target.namespace != wanted.ref.namespace, wanted.created, wanted.ref)
    for profile in spec.profiles(target.path_prefix):
        scrape = Scrape(
            source=wanted.ref,
            target=target,
            profile=profile,
            interval=spec.interval_seconds,
            timeout=spec.timeout_seconds + (profile.seconds or 0),
            body_limit=min(body_limit, spec.body_limit(body_limit)),
            params=target.params,
            follow_redirects=spec.follow_redirects,
            access=wanted.access,
            forward_to=spec.writes(wanted.ref.namespace),
        )
        yield rank, scrape


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
