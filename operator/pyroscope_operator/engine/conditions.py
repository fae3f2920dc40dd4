"""The conditions of an object: what is right and wrong, in the words of the status.

Pure.  Reasons are part of the API (docs/api.md lists them): alerts are written on them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from pyroscope_operator.discovery.choice import NOT_SAMPLED
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.model.target import Target
from pyroscope_operator.push.delivery import PUSH_FAILING, QUEUE_FULL, Delivery, Trouble
from pyroscope_operator.scrape.pool import LoopState

_HARMLESS = {
    "NotRunning": "not running",
    "Relabeled": "dropped by relabelings",
    "NotAnnotated": "not annotated",
    "OptedOut": "opted out by annotations",
    NOT_SAMPLED: "not sampled",
}
"""Reasons of drops that are as they should be, and how they are counted."""


@dataclass(frozen=True, slots=True)
class Aspect:
    """A condition without its times."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


@dataclass(frozen=True)
class Observation:
    """All that is known of one object at one moment."""

    generation: int
    verdict: Verdict
    plan: ObjectPlan | None
    """None when the object is suspended or not accepted."""
    loops: Sequence[LoopState] = ()
    delivery: Delivery = field(default_factory=Delivery)

    @property
    def pending(self) -> bool:
        """Whether something is still to be tried for the first time: what was said before may say more."""
        untried = any(state.health.up is None for state in self.loops)
        return untried or (bool(self.loops) and self.delivery == Delivery())

    @property
    def gist(self) -> tuple[object, ...]:
        """What its status is made of, times and figures aside: as long as it is equal, there is no news.

        Cheap, for it is looked at each second; what the values hold is mostly the same objects again.
        """
        loops = [part for state in self.loops for part in (state.scrape, state.health.up or state.health[:3])]
        fares = self.delivery
        return self.generation, self.verdict, self.plan, loops, fares.last_push is None, fares.waiting, fares.troubles

    @cached_property
    def targets(self) -> list[list[LoopState]]:
        """The loops of each target."""
        targets: dict[str, list[LoopState]] = {}
        for state in self.loops:
            targets.setdefault(state.scrape.target.key, []).append(state)
        return list(targets.values())

    @cached_property
    def up(self) -> int:
        """Targets of which something was scraped and nothing failed the last time."""
        return sum(not _fails(states) and any(s.health.up for s in states) for states in self.targets)

    @cached_property
    def down(self) -> int:
        """Targets with a profile type whose last scrape failed."""
        return sum(_fails(states) for states in self.targets)

    @cached_property
    def failed(self) -> list[LoopState]:
        """The loops whose last scrape failed, in an order that stays."""
        return sorted((s for s in self.loops if s.health.up is False), key=_order)

    @cached_property
    def troubled(self) -> list[tuple[LoopState, Trouble]]:
        """The loops whose last profile was not taken, in an order that stays. Series that are no longer scraped don't count."""
        if not self.delivery.troubles:
            return []
        troubles = dict(reversed(self.delivery.troubles))
        found = [(s, troubles[s.scrape.labels]) for s in self.loops if s.scrape.labels in troubles]
        return sorted(found, key=lambda pair: _order(pair[0]))


def _fails(states: Sequence[LoopState]) -> bool:
    return any(s.health.up is False for s in states)


def _order(state: LoopState) -> tuple[str, ...]:
    target = state.scrape.target
    return label_of(target), target.namespace, target.container, state.scrape.profile.type


def label_of(target: Target) -> str:
    """What people call a target."""
    return target.pod or target.address


def aspects(seen: Observation) -> dict[str, Aspect]:
    """The conditions by type, the summary first."""
    found = {
        "Accepted": _accepted(seen.verdict),
        "Discovered": _idle(seen) or _discovered(seen.plan or ObjectPlan()),
        "Scraping": _idle(seen) or _scraping(seen),
        "Delivering": _delivering(seen),
    }
    return {"Ready": _ready(seen, found), **found}


def _accepted(verdict: Verdict) -> Aspect:
    status: Literal["True", "False", "Unknown"] = "True" if verdict.accepted else "Unknown" if verdict.pending else "False"
    return Aspect(status, verdict.reason, verdict.message)


def _idle(seen: Observation) -> Aspect | None:
    """What is said of an object that is not acted upon."""
    if not seen.verdict.accepted:
        return Aspect("Unknown", "NotAccepted", "nothing is done for an object that is not accepted")
    if seen.plan is None:
        return Aspect("Unknown", "Suspended", "spec.suspend is true")
    return None


def _discovered(plan: ObjectPlan) -> Aspect:
    if plan.bug is not None:
        return Aspect("False", "InternalError", f"a bug of the operator ({type(plan.bug).__name__}), see its log")
    if not plan.pods and not plan.targets and not plan.drops:
        return Aspect("False", "NoPodsMatched", "no pod matches spec.selector in the selected namespaces")
    if unfit := [drop for drop in plan.drops if drop.reason not in _HARMLESS]:
        first, candidates = unfit[0], len(plan.targets) + len(plan.drops)
        text = f"targets dropped: {len(unfit)} of {candidates}; {first.pod.name}: {first.message}"
        return Aspect("False", first.reason, text)
    if plan.duplicates:
        more = f" (and {len(plan.duplicates) - 1} more)" if len(plan.duplicates) > 1 else ""
        return Aspect("False", "Duplicate", plan.duplicates[0].message + more)
    counts = [f"targets: {len(plan.targets)}", f"selected pods: {plan.pods}", *_harmless(plan)]
    return Aspect("True", "TargetsFound", ", ".join(counts))


def _harmless(plan: ObjectPlan) -> list[str]:
    """How many were dropped as they should be, by reason."""
    counts = Counter(drop.reason for drop in plan.drops)
    return [f"{what}: {counts[reason]}" for reason, what in _HARMLESS.items() if counts[reason]]


def _scraping(seen: Observation) -> Aspect:
    if not seen.loops:
        return Aspect("Unknown", "NoTargets", "there is nothing to scrape")
    if seen.failed:
        first = seen.failed[0]
        what = f"{first.scrape.profile.type} of {label_of(first.scrape.target)}"
        text = f"targets down: {seen.down} of {len(seen.targets)}; {what}: {first.health.reason}, {first.health.message}"
        return Aspect("False", "TargetsDown", text)
    if any(s.health.up is None for s in seen.loops):
        return Aspect("Unknown", "Pending", "not every scrape has been tried yet")
    return Aspect("True", "AllUp", f"targets up: all {seen.up}")


def _delivering(seen: Observation) -> Aspect:
    if (trouble := _delivery_trouble(seen)) is not None:
        return trouble
    if seen.delivery.last_push is not None:
        return Aspect("True", "Delivered", "profiles arrive")
    return _idle(seen) or Aspect("Unknown", "NothingPushed", "no profile has been pushed yet")


def _delivery_trouble(seen: Observation) -> Aspect | None:
    """What keeps profiles from arriving. What is no longer scraped has no trouble: nobody could end it."""
    troubled = seen.troubled
    full = any(trouble.reason == QUEUE_FULL for _, trouble in troubled)
    reason = QUEUE_FULL if full else PUSH_FAILING
    if seen.loops and seen.delivery.waiting is not None:
        lost = "; the queue is full, the oldest profiles are lost" if full else ""
        return Aspect("False", reason, seen.delivery.waiting + lost)
    if not troubled:
        return None
    first, trouble = troubled[0]
    what = f"{first.scrape.profile.type} of {label_of(first.scrape.target)}"
    return Aspect("False", reason, f"series in trouble: {len(troubled)} of {len(seen.loops)}; {what}: {trouble.message}")


def _ready(seen: Observation, found: Mapping[str, Aspect]) -> Aspect:
    """Accepted, every wanted scrape tried with a target up (or none wanted), and delivery not failing."""
    if not seen.verdict.accepted:
        return replace(found["Accepted"], status="False")
    if found["Delivering"].status == "False":
        return found["Delivering"]
    if seen.plan is None:
        return Aspect("True", "Suspended", "nothing is scraped: spec.suspend is true")
    return _scrapes_ready(seen, seen.plan, found)


def _scrapes_ready(seen: Observation, plan: ObjectPlan, found: Mapping[str, Aspect]) -> Aspect:
    wanted = [s for s in seen.loops if s.scrape.target.healthy]
    if not wanted:
        return _nothing_wanted(plan, found["Discovered"])
    tried = sum(s.health.up is not None for s in wanted)
    if tried < len(wanted):
        return Aspect("False", "Pending", f"{tried} of {len(wanted)} scrapes have been tried")
    if not seen.up:
        return Aspect("False", found["Scraping"].reason, found["Scraping"].message)
    worst = next((found[kind] for kind in ("Discovered", "Scraping") if found[kind].status == "False"), found["Scraping"])
    return Aspect("True", worst.reason, worst.message)


def _nothing_wanted(plan: ObjectPlan, discovered: Aspect) -> Aspect:
    """No scrape of a healthy target: well if there is no such target, or if no profile type is enabled."""
    healthy = plan.healthy_pods or any(target.healthy for target in plan.targets) or (plan.drops and not plan.pods)
    if discovered.status == "False" and (healthy or plan.bug):
        return discovered
    if healthy:
        why = "no profile type is enabled" if plan.targets else ", ".join(_harmless(plan))
        return Aspect("True", "NoTargets", f"there is nothing to scrape: {why}")
    reason = "NoPodHealthy" if plan.pods else "NoPodsMatched"
    return Aspect("True", reason, "there is nothing to scrape: no matching pod is ready")
