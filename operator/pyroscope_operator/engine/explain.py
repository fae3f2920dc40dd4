"""Why a pod, or a static target, is or isn't scraped, object by object: what `/api/v1/explain` says.

Each object is looked at once; its plan only if it means the pod. Reasons are those of the status, so what other parts
of discovery come to drop for is told without being known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal, get_args

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery.claim import Duplicate
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.engine.conditions import Observation, aspects
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.overview import target_view
from pyroscope_operator.engine.store import ScrapeObject
from pyroscope_operator.engine.subject import PodSubject, StaticSubject, Subject
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Target
from pyroscope_operator.scrape.pool import LoopState

Outcome = Literal[
    "Scraped", "Duplicate", "Dropped", "InternalError", "NoProfiles", "Pending", "NotAccepted", "Suspended", "NotSelected",
    "Elsewhere",
]  # fmt: skip
"""What an object does for the pod, the most telling first."""

_ORDER: Mapping[Outcome, int] = {outcome: place for place, outcome in enumerate(get_args(Outcome))}

_SELECTING = 50
"""Objects that mean the pod that are told, unless all are asked for."""
_NOT_SELECTING = 5
"""Objects that look at the namespace and don't select the pod that are told, the nearest first, unless all are asked for."""
_ALIKE = 5
"""Names of pods that are proposed."""

_ADVICE: Mapping[str, str] = {
    "NotRunning": "wait until it runs; spec.filterRunning: false takes pending pods that have an IP",
    "Relabeled": "change that step of spec.relabelings if the pod is wanted",
    "Suspended": "set spec.suspend to false",
    "InternalError": "the operator's log has more: report it",
    "Pending": "ask again in a second; if it stays, look at the operator's log",
    "NoProfiles": "enable a profile type in spec.profilingConfig",
}
"""What to do, by reason, where the message doesn't say it."""
_step = re.compile(r"\brelabelings\[(\d+)\]").search


@dataclass(frozen=True)
class View:
    """What one object has to do with the pod."""

    ref: ObjectRef
    outcome: Outcome
    reason: str
    message: str
    distance: int = 0
    """Conditions of its selector that the pod doesn't meet."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Targets, duplicates and so on, fit for JSON."""

    def as_json(self) -> dict[str, Any]:
        advice = _ADVICE.get(self.reason, "")
        head = {"namespace": self.ref.namespace, "name": self.ref.name, "outcome": self.outcome}
        return {**head, "reason": self.reason, "message": self.message, "advice": advice, **self.more}


def explain_pod(engine: Engine, ref: ObjectRef, now: float, *, everything: bool = False) -> dict[str, Any]:
    """What every object has to do with a pod; `now` in Unix seconds. `everything`: objects that don't mean it, too."""
    head = {"kind": "pod", "namespace": ref.namespace, "name": ref.name, "now": _moment(now)}
    pod = engine.store.pod(ref)
    if pod is None:
        return {**head, "found": False, "scraped": False, **_lookalikes(engine, ref), "objects": []}
    return {
        **head,
        "found": True,
        "pod": _pod(pod),
        **_explained(engine, PodSubject(pod, engine.reconciler.decision.plans), everything),
    }


def explain_address(engine: Engine, address: str, now: float, *, everything: bool = False) -> dict[str, Any]:
    """The same of a static target, `host:port`."""
    said = _explained(engine, StaticSubject(address), everything)
    head = {"kind": "target", "namespace": "", "name": address, "now": _moment(now)}
    return {**head, "found": said["counts"]["selecting"] > 0, **said}


def _pod(pod: Pod) -> dict[str, Any]:
    ports = [
        {"container": container.name, "name": port.name, "number": port.number, "protocol": port.protocol}
        for container in pod.containers
        for port in container.ports
    ]
    return {"phase": pod.phase, "ip": pod.ip, "ready": pod.ready, "labels": dict(pod.labels), "ports": ports}


def _lookalikes(engine: Engine, ref: ObjectRef) -> dict[str, Any]:
    """Where the name might be meant to lead to."""
    store = engine.store
    here = list(store.pods_in(frozenset({ref.namespace})))
    alike = sorted(pod.name for pod in here if pod.name.startswith(ref.name))[:_ALIKE]
    elsewhere = sorted(islice((pod.namespace for pod in store.pods_in(None) if pod.name == ref.name), _ALIKE))
    return {"podsInNamespace": len(here), "alike": alike, "inNamespaces": elsewhere}


def _explained(engine: Engine, subject: Subject, everything: bool) -> dict[str, Any]:
    meant: list[ScrapeObject] = []
    others: list[View] = []
    for found in engine.store.objects.values():
        other = subject.stranger(found)
        if other is None:
            meant.append(found)
        else:
            others.append(View(found.ref, *other))
    meant.sort(key=lambda found: (found.ref.namespace != subject.namespace, found.ref))
    views = sorted((_view(engine, found, subject) for found in meant), key=_relevance)
    scraped = any(view.outcome == "Scraped" for view in views)
    views = views if everything else views[:_SELECTING]
    near = sorted((view for view in others if view.outcome == "NotSelected"), key=_nearness(subject))
    told = views + (near if everything else near[:_NOT_SELECTING])
    far = sorted((view for view in others if view.outcome == "Elsewhere"), key=_nearness(subject))
    counts = {"selecting": len(meant), "notSelecting": len(near), "elsewhere": len(far)}
    return {
        "scraped": scraped,
        "objects": [view.as_json() for view in (*told, *(far if everything else ()))],
        "counts": {"objects": sum(counts.values()), **counts},
        "notShown": {
            "selecting": len(meant) - len(views),
            "notSelecting": 0 if everything else max(0, len(near) - _NOT_SELECTING),
            "elsewhere": 0 if everything else len(far),
        },
    }


def _relevance(view: View) -> int:
    """Objects of one outcome stay in their order."""
    return _ORDER[view.outcome]


def _nearness(subject: Subject) -> Callable[[View], Any]:
    return lambda view: (view.distance, view.ref.namespace != subject.namespace, view.ref)


def _view(engine: Engine, found: ScrapeObject, subject: Subject) -> View:
    """What an object that means it makes of it."""
    decision = engine.reconciler.decision
    ref, verdict, plan = found.ref, decision.verdicts.get(found.ref), decision.plans.get(found.ref)
    if found.spec is not None and found.spec.suspend and (verdict is None or verdict.accepted):
        return View(ref, "Suspended", "Suspended", "spec.suspend is true")
    if verdict is not None and not verdict.accepted:
        return View(ref, "NotAccepted", verdict.reason, verdict.message)
    if found.spec is None or plan is None:
        return View(ref, "Pending", "Pending", "the operator has not acted upon the object yet")
    if plan.bug is not None:
        return View(ref, "InternalError", "InternalError", f"a bug of the operator ({type(plan.bug).__name__})")
    return _planned(engine, found, plan, subject)


def _planned(engine: Engine, found: ScrapeObject, plan: ObjectPlan, subject: Subject) -> View:
    ref = found.ref
    drops = [drop for drop in plan.drops if subject.is_dropped(drop)]
    targets = {target.key: target for target in plan.targets if subject.is_at(target)}
    lost = [duplicate for duplicate in plan.duplicates if subject.is_at(duplicate.scrape.target)]
    mine = [scrape for scrape in plan.scrapes if subject.is_at(scrape.target)]
    loops = [loop for scrape in mine if (loop := engine.pool.state(scrape.key)) is not None]
    more: dict[str, Any] = {
        "relabelings": len(found.spec.relabelings) if found.spec else 0,
        "drops": [{"reason": drop.reason, "message": drop.message, **_the_step(found.spec, drop.message)} for drop in drops],
        "duplicates": [_lost(engine, subject, duplicate) for duplicate in lost],
        "targets": list(_targets(targets.values(), loops)),
    }
    if loops:
        more["delivering"] = _delivering(engine, ref, plan, loops)
        return View(ref, "Scraped", "Scraped", _states(loops), more=more)
    if mine:
        return View(ref, "Pending", "Pending", "its scrapes are about to begin", more=more)
    if lost:
        return View(ref, "Duplicate", "Duplicate", "another object scrapes it", more=more)
    if drops:
        return View(ref, "Dropped", drops[0].reason, drops[0].message, more=more)
    if targets:
        return View(ref, "NoProfiles", "NoProfiles", "no profile type is enabled", more=more)
    return View(ref, "Pending", "Pending", "selected, but nothing has come of it yet", more=more)


def _states(loops: list[LoopState]) -> str:
    up, down = (sum(loop.health.up is state for loop in loops) for state in (True, False))
    rest = {"down": down, "not tried yet": len(loops) - up - down}
    return f"{up} of {len(loops)} profile types up" + "".join(f", {count} {what}" for what, count in rest.items() if count)


def _targets(targets: Iterable[Target], loops: Iterable[LoopState]) -> Iterator[dict[str, Any]]:
    """The targets that something is scraped of."""
    by_target: dict[str, list[LoopState]] = {}
    for loop in loops:
        by_target.setdefault(loop.scrape.target.key, []).append(loop)
    for target in targets:
        if target.key in by_target:
            yield target_view(by_target[target.key])


def _the_step(spec: PyroscopeScrapeSpec | None, message: str) -> dict[str, Any]:
    """The relabeling that a message names."""
    match = _step(message)
    index = int(match[1]) if match else -1
    if spec is None or not 0 <= index < len(spec.relabelings):
        return {}
    step = spec.relabelings[index]
    return {"step": {"index": index, **step.model_dump(by_alias=True, mode="json", exclude_defaults=True)}}


def _lost(engine: Engine, subject: Subject, duplicate: Duplicate) -> dict[str, Any]:
    mine, theirs = duplicate.scrape, duplicate.winner
    return {
        "profile": mine.profile.type,
        "winner": {"namespace": theirs.source.namespace, "name": theirs.source.name, "profile": theirs.profile.type},
        "why": _why(engine, subject, mine.source, theirs.source),
        "message": duplicate.message,
    }


def _why(engine: Engine, subject: Subject, loser: ObjectRef, winner: ObjectRef) -> str:
    """By which rule the winner is the winner: the order of `claim.Rank`, in words."""
    if winner == loser:
        return "the same object asks for both"
    if (winner.namespace == subject.namespace) != (loser.namespace == subject.namespace):
        return "it is in the pod's own namespace"
    ages = [found.created if (found := engine.store.objects.get(ref)) else "" for ref in (winner, loser)]
    return "it is older" if ages[0] < ages[1] else "its name comes first, both are of the same age"


def _delivering(engine: Engine, ref: ObjectRef, plan: ObjectPlan, loops: list[LoopState]) -> dict[str, str]:
    """How its profiles get to Pyroscope."""
    decision = engine.reconciler.decision
    delivery = engine.book.get(ref, decision.forwards.get(ref))
    found = aspects(Observation(decision.generations[ref], decision.verdicts[ref], plan, loops, delivery))["Delivering"]
    return {"status": found.status, "reason": found.reason, "message": found.message}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
