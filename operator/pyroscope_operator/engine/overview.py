"""Everything at once, as `/api/v1/targets` says it. Times are RFC 3339, sizes bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyroscope_operator.engine.conditions import Aspect, Observation, aspects
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.write_conditions import WriteObservation, write_aspects
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.writer import WriterSnapshot
from pyroscope_operator.scrape.pool import LoopState

_STATE = {True: "up", False: "down", None: "unknown"}


def overview(engine: Engine) -> dict[str, Any]:
    """Objects with their targets, scrapes, drops and duplicates; writes; and delivery by write and endpoint."""
    return {
        "objects": [_object(ref, seen) for ref, seen in sorted(engine.observations().items())],
        "writes": [_write(ref, seen) for ref, seen in sorted(engine.write_observations().items())],
        "delivery": [_delivery(snapshot) for snapshot in engine.fanout.snapshots()],
    }


def _object(ref: ObjectRef, seen: Observation) -> dict[str, Any]:
    plan = seen.plan
    return {
        "namespace": ref.namespace,
        "name": ref.name,
        "conditions": _conditions(aspects(seen)),
        "targets": [target_view(states) for states in seen.targets],
        "dropped": [
            {"namespace": drop.pod.namespace, "pod": drop.pod.name, "reason": drop.reason, "message": drop.message}
            for drop in (plan.drops if plan else ())
        ],
        "duplicates": [duplicate.message for duplicate in (plan.duplicates if plan else ())],
    }


def _write(ref: ObjectRef, seen: WriteObservation) -> dict[str, Any]:
    return {"namespace": ref.namespace, "name": ref.name, "conditions": _conditions(write_aspects(seen))}


def _conditions(found: Mapping[str, Aspect]) -> dict[str, Any]:
    return {kind: {"status": aspect.status, "reason": aspect.reason, "message": aspect.message} for kind, aspect in found.items()}


def target_view(states: list[LoopState]) -> dict[str, Any]:
    """A target with its labels and its scrapes; `states` are all of this target."""
    target = states[0].scrape.target
    return {
        "namespace": target.namespace,
        "pod": target.pod,
        "container": target.container,
        "address": target.address,
        "scheme": target.scheme,
        "labels": dict(target.labels.pairs),
        "discoveredLabels": dict(target.discovered.pairs),
        "scrapes": [_scrape(state) for state in states],
    }


def _scrape(state: LoopState) -> dict[str, Any]:
    scrape, health = state.scrape, state.health
    return {
        "profile": scrape.profile.type,
        "path": scrape.profile.path,
        "seconds": scrape.profile.seconds,
        "intervalSeconds": scrape.interval,
        "state": _STATE[health.up],
        "reason": health.reason,
        "message": health.message,
        "lastScrape": _moment(health.last_scrape),
        "lastSuccess": _moment(health.last_success),
        "durationSeconds": round(health.duration, 6),
        "bodyBytes": health.body_bytes,
        "nextScrape": _moment(state.next_scrape),
        "scrapes": health.scrapes,
        "failures": health.failures,
        "skippedSlots": health.skipped_slots,
    }


def _delivery(snapshot: WriterSnapshot) -> dict[str, Any]:
    write, endpoint = snapshot.key.labels
    return {
        "write": write,
        "endpoint": endpoint,
        "sent": snapshot.sent,
        "dropped": snapshot.dropped,
        "retried": snapshot.retried,
        "queueProfiles": snapshot.queue_profiles,
        "queueBytes": snapshot.queue_bytes,
        "failingSince": _moment(snapshot.failing_since),
        "lastError": snapshot.last_error_message,
        "lastErrorReason": snapshot.last_error_reason,
        "lastSuccess": _moment(snapshot.last_success),
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
