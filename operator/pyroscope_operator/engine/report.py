"""The status of one object, computed from values.

Pure.  `settled` decides whether a new status is worth a write.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyroscope_operator.api.status import (
    MAX_FAILURES,
    Condition,
    EndpointStatus,
    Failure,
    ScrapeStatus,
    TargetCounts,
    WriteStatus,
)
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.engine.conditions import Aspect, Observation, aspects, label_of
from pyroscope_operator.engine.write_conditions import WriteObservation, write_aspects
from pyroscope_operator.push.writer import WriterSnapshot
from pyroscope_operator.scrape.pool import LoopState

_PASSING = frozenset(
    {"lastScrapeTime", "lastPushTime", "sent", "dropped", "retried", "queueProfiles", "queueBytes"},
)
"""Times and figures, which alone are not worth a write."""


def report(seen: Observation | WriteObservation, previous: Mapping[str, Any], now: float) -> ScrapeStatus | WriteStatus:
    """The status of an object; `now` in Unix seconds.

    `previous` is its status as JSON: a transition time moves only when the condition's status does.
    """
    return _of_scrape(seen, previous, now) if isinstance(seen, Observation) else _of_write(seen, previous, now)


def _of_write(seen: WriteObservation, previous: Mapping[str, Any], now: float) -> WriteStatus:
    conditions = write_aspects(seen).items()
    return WriteStatus(
        observed_generation=seen.generation,
        conditions=tuple(_condition(kind, aspect, seen.generation, previous, now) for kind, aspect in conditions),
        summary=f"{len(seen.endpoints) - len(seen.failing)}/{len(seen.endpoints)}",
        endpoints=tuple(map(_endpoint, seen.endpoints)),
    )


def _endpoint(snapshot: WriterSnapshot) -> EndpointStatus:
    fails = snapshot.failing_since is not None
    return EndpointStatus(
        name=snapshot.key.endpoint,
        sent=snapshot.sent,
        dropped=snapshot.dropped,
        retried=snapshot.retried,
        queue_profiles=snapshot.queue_profiles,
        queue_bytes=snapshot.queue_bytes,
        failing_since=_moment(snapshot.failing_since),
        reason=snapshot.last_error_reason if fails else None,
        message=snapshot.last_error_message if fails else None,
        last_push_time=_moment(snapshot.last_success),
    )


def _of_scrape(seen: Observation, previous: Mapping[str, Any], now: float) -> ScrapeStatus:
    plan = seen.plan or ObjectPlan()
    successes = (s.health.last_success for s in seen.loops if s.health.last_success is not None)
    active = len(seen.targets)
    return ScrapeStatus(
        observed_generation=seen.generation,
        conditions=tuple(_condition(kind, aspect, seen.generation, previous, now) for kind, aspect in aspects(seen).items()),
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


def _condition(kind: str, aspect: Aspect, generation: int, previous: Mapping[str, Any], now: float) -> Condition:
    before: Mapping[str, Any] = next((c for c in previous.get("conditions") or () if c.get("type") == kind), {})
    return Condition(
        type=kind,
        status=aspect.status,
        observed_generation=generation,
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
    """Whether `fresh` says nothing that `written` doesn't, but for times and figures."""
    return _lasting(written) == _lasting(fresh)


def _lasting(status: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in status.items() if name not in _PASSING}
    if "endpoints" in kept:
        kept["endpoints"] = [_lasting(endpoint) for endpoint in kept["endpoints"]]
    return kept
