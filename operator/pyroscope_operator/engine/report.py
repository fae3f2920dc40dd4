"""The status of one object, computed from values.

Pure.  `settled` decides whether a new status is worth a write.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyroscope_operator.api.status import MAX_FAILURES, Condition, Failure, ScrapeStatus, TargetCounts
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.engine.conditions import Aspect, Observation, aspects, label_of
from pyroscope_operator.scrape.pool import LoopState

_TIMES = ("lastScrapeTime", "lastPushTime")


def report(seen: Observation, previous: Mapping[str, Any], now: float) -> ScrapeStatus:
    """The status of an object; `now` in Unix seconds.

    `previous` is its status as JSON: a transition time moves only when the condition's status does.
    """
    plan = seen.plan or ObjectPlan()
    successes = (s.health.last_success for s in seen.loops if s.health.last_success is not None)
    active = len(seen.targets)
    return ScrapeStatus(
        observed_generation=seen.generation,
        conditions=tuple(_condition(kind, aspect, seen, previous, now) for kind, aspect in aspects(seen).items()),
        targets=TargetCounts(pods=plan.pods, active=active, up=seen.up, down=seen.down, dropped=len(plan.drops)),
        summary=f"{seen.up}/{active}",
        last_scrape_time=_moment(max(successes, default=None)),
        last_push_time=_moment(seen.delivery.last_push),
        failures=tuple(map(_failure, seen.failed[:MAX_FAILURES])),
    )


def _failure(state: LoopState) -> Failure:
    target, health = state.scrape.target, state.health
    return Failure(
        pod=label_of(target),
        container=target.container or None,
        profile=state.scrape.profile.type,
        reason=health.reason,
        message=health.message,
    )


def _condition(kind: str, aspect: Aspect, seen: Observation, previous: Mapping[str, Any], now: float) -> Condition:
    before: Mapping[str, Any] = next((c for c in previous.get("conditions") or () if c.get("type") == kind), {})
    return Condition(
        type=kind,
        status=aspect.status,
        observed_generation=seen.generation,
        last_transition_time=(_since(before) if before.get("status") == aspect.status else None) or _moment(now),
        reason=aspect.reason,
        message=aspect.message,
    )


def _since(before: Mapping[str, Any]) -> datetime | None:
    """When a written condition took its status; None if that can't be read."""
    try:
        since = datetime.fromisoformat(before["lastTransitionTime"])
    except (KeyError, TypeError, ValueError):
        return None
    return since if since.tzinfo else None


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def settled(written: Mapping[str, Any], fresh: Mapping[str, Any]) -> bool:
    """Whether `fresh` says nothing that `written` doesn't, but for times."""
    return _without_times(written) == _without_times(fresh)


def _without_times(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in status.items() if name not in _TIMES}
