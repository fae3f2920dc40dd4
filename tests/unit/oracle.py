"""Everything computed at once: slow, and plain enough to be believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType

from pyroscope_operator.discovery import selector, targets
from pyroscope_operator.discovery.claim import Claim, Duplicate, claims
from pyroscope_operator.discovery.discovery import Namespaces, PodsIn
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.selector import Scope
from pyroscope_operator.discovery.targets import Found
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape


def plan(
    objects: Sequence[Wanted], pods_in: PodsIn, body_limit: int, namespaces: Namespaces = MappingProxyType({})
) -> dict[ObjectRef, ObjectPlan]:
    """The plan of each object that is not suspended."""
    plans: dict[ObjectRef, ObjectPlan] = {}
    claimed: list[Claim] = []
    for wanted in objects:
        if wanted.spec.suspend:
            continue
        try:
            plans[wanted.ref], mine = _discover(wanted, pods_in, body_limit, namespaces)
            claimed += mine
        except Exception as bug:
            plans[wanted.ref] = ObjectPlan(bug=bug)
    _settle(claimed, plans)
    return plans


def _discover(wanted: Wanted, pods_in: PodsIn, body_limit: int, namespaces: Namespaces) -> tuple[ObjectPlan, list[Claim]]:
    spec, found, mine = wanted.spec, ObjectPlan(), list[Claim]()
    if spec.selector is not None:
        scope = selector.namespaces(spec, wanted.ref.namespace)
        for pod in sorted(pods_in(None), key=lambda pod: pod.ref):
            if _inside(scope, pod, namespaces) and selector.matches(spec.selector, pod.labels):
                found.pods += 1
                found.healthy_pods += pod.ready
                mine += _take(targets.of_pod(spec, wanted.ref, pod), found, wanted, body_limit)
    mine += _take(targets.of_static(spec, wanted.ref), found, wanted, body_limit)
    return found, mine


def _inside(scope: Scope, pod: Pod, namespaces: Namespaces) -> bool:
    if scope.names is not None and pod.namespace not in scope.names:
        return False
    return scope.labels is None or (pod.namespace in namespaces and selector.matches(scope.labels, namespaces[pod.namespace]))


def _take(seen: Found, plan: ObjectPlan, wanted: Wanted, body_limit: int) -> Iterator[Claim]:
    plan.drops += seen.drops
    plan.targets += seen.targets
    for number, target in enumerate(seen.targets):
        yield from claims(wanted, target, number, body_limit)


def _settle(claimed: list[Claim], plans: dict[ObjectRef, ObjectPlan]) -> None:
    """The best claims first: whoever finds the same scrape taken, or the CPU profiler of the address, goes without."""
    taken: dict[str, Scrape] = {}
    for claim in sorted(claimed, key=lambda claim: claim.order):
        scrape = claim.scrape
        keys = [scrape.key] + [f"cpu {scrape.target.address}"] * scrape.profile.uses_cpu_profiler
        winner = next((taken[key] for key in keys if key in taken), None)
        if winner is None:
            taken.update(dict.fromkeys(keys, scrape))
            plans[scrape.source].scrapes.append(scrape)
        else:
            plans[scrape.source].duplicates.append(Duplicate(scrape, winner))
