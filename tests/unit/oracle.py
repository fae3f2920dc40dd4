"""Everything computed at once: slow, and plain enough to be believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType

from pyroscope_operator.discovery import label_limit, selector, targets
from pyroscope_operator.discovery.claim import Claim, Duplicate, claims
from pyroscope_operator.discovery.discovery import Namespaces, PodsIn
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.selector import Scope
from pyroscope_operator.discovery.targets import Drop, Found
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape, Target

UNTOLD = "not told here"
"""Message of the drops that come of a choice."""


def plan(
    objects: Sequence[Wanted],
    pods_in: PodsIn,
    body_limit: int,
    target_limit: int | None = None,
    namespaces: Namespaces = MappingProxyType({}),
) -> dict[ObjectRef, ObjectPlan]:
    """The plan of each object that is not suspended."""
    plans: dict[ObjectRef, ObjectPlan] = {}
    claimed: list[Claim] = []
    for wanted in objects:
        if wanted.spec.suspend:
            continue
        try:
            seen = _discover(wanted, pods_in, namespaces)
        except Exception as bug:
            plans[wanted.ref] = ObjectPlan(bug=bug)
        else:
            plans[wanted.ref] = mine = ObjectPlan(seen.pods, seen.healthy)
            claimed += _take(seen, mine, wanted, body_limit, target_limit)
    _settle(claimed, plans)
    return plans


@dataclass
class _Seen:
    pods: int = 0
    healthy: int = 0
    places: list[Found] = field(default_factory=list)
    """What comes of each pod, and of the static targets at last."""


def _discover(wanted: Wanted, pods_in: PodsIn, namespaces: Namespaces) -> _Seen:
    spec, seen = wanted.spec, _Seen()
    if spec.selector is not None:
        scope = selector.namespaces(spec, wanted.ref.namespace)
        for pod in sorted(pods_in(None), key=lambda pod: pod.ref):
            if _inside(scope, pod, namespaces) and selector.matches(spec.selector, pod.labels):
                seen.pods += 1
                seen.healthy += pod.ready
                seen.places.append(targets.of_pod(spec, wanted.ref, pod))
    seen.places.append(targets.of_static(spec, wanted.ref))
    seen.places = [label_limit.within(spec.label_limit, found) for found in seen.places]
    return seen


def _inside(scope: Scope, pod: Pod, namespaces: Namespaces) -> bool:
    if scope.names is not None and pod.namespace not in scope.names:
        return False
    return scope.labels is None or (pod.namespace in namespaces and selector.matches(scope.labels, namespaces[pod.namespace]))


def _take(seen: _Seen, plan: ObjectPlan, wanted: Wanted, body_limit: int, target_limit: int | None) -> Iterator[Claim]:
    left_out = _left_out(seen, wanted, target_limit)
    for found in seen.places:
        plan.drops += found.drops
        for number, target in enumerate(found.targets):
            if reason := left_out.get(id(target)):
                plan.drops.append(Drop(ObjectRef(target.namespace, target.pod or target.address), reason, UNTOLD))
            else:
                plan.targets.append(target)
                yield from claims(wanted, target, number, body_limit)


def _left_out(seen: _Seen, wanted: Wanted, cap: int | None) -> dict[int, str]:
    """The targets that are not chosen, by their `id`, and the reason."""

    def score(target: Target) -> int:
        return int.from_bytes(blake2b(f"{wanted.ref}\0{target.key}".encode(), digest_size=8).digest(), "big")

    sampling, places = wanted.spec.sampling, [place for found in seen.places for place in enumerate(found.targets)]
    places.sort(key=lambda place: (score(place[1]), place[1].key, place[1].namespace, place[1].pod, place[0]))
    ranked, reasons = [target for _, target in places], dict[int, str]()
    if sampling is not None:
        percent, number = sampling.percent, sampling.max_targets
        sampled = [t for t in ranked if score(t) * 100 < percent << 64] if percent else ranked[:number]
        reasons.update((id(target), "NotSampled") for target in ranked if all(target is not one for one in sampled))
        ranked = sampled
    limits = [limit for limit in (wanted.spec.target_limit, cap) if limit is not None]
    if limits:
        reasons.update((id(target), "LimitExceeded") for target in ranked[min(limits) :])
    return reasons


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


def told(mine: ObjectPlan) -> ObjectPlan:
    """The plan without what the drops of a choice say."""
    chosen = {"NotSampled", "LimitExceeded"}
    drops = [Drop(drop.pod, drop.reason, UNTOLD) if drop.reason in chosen else drop for drop in mine.drops]
    return ObjectPlan(mine.pods, mine.healthy_pods, mine.targets, drops, mine.scrapes, mine.duplicates, mine.bug)
