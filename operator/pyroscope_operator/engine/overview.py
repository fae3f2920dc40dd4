"""What is known, as `/api/v1/targets` says it. Times are RFC 3339, sizes bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyroscope_operator.discovery.claim import Duplicate
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.targets import Drop
from pyroscope_operator.engine.conditions import Aspect, Observation, aspects
from pyroscope_operator.engine.shown import shown
from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.engine.write_conditions import WriteObservation, write_aspects
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.writer import WriterSnapshot
from pyroscope_operator.scrape.pool import LoopState

_STATE = {True: "up", False: "down", None: "unknown"}


@dataclass(frozen=True, slots=True)
class Section:
    """An object, and what is told of what it leads to."""

    ref: ObjectRef
    seen: Observation
    targets: Sequence[Sequence[LoopState]]
    """The loops of each target."""
    drops: Sequence[Drop]
    duplicates: Sequence[Duplicate]


def whole(snapshot: Snapshot) -> Iterator[Section]:
    """Every object with all of it."""
    for ref, seen in snapshot.observations.items():
        plan = seen.plan or ObjectPlan()
        yield Section(ref, seen, seen.targets, plan.drops, plan.duplicates)


def encoded(sections: Iterable[Section], snapshot: Snapshot, **more: Any) -> Iterator[str]:
    """A JSON object, in pieces: `objects` of these sections, `writes`, `delivery` by write and endpoint, and `more`.

    To encode one piece takes some milliseconds at most: the thread that does it keeps the interpreter as long.
    """
    yield '{"objects": ['
    for number, section in enumerate(sections):
        yield ", " * bool(number)
        yield from _object(section)
    rest = {
        "writes": [_write(ref, seen) for ref, seen in sorted(snapshot.writes.items())],
        "delivery": [_delivery(one) for one in snapshot.delivery],
        **more,
    }
    yield f"], {json.dumps(rest)[1:]}"


def _object(section: Section) -> Iterator[str]:
    ref = section.ref
    head = {"namespace": ref.namespace, "name": ref.name, "conditions": _conditions(aspects(section.seen))}
    yield f'{json.dumps(head)[:-1]}, "targets": ['
    for number, states in enumerate(section.targets):
        yield ", " * bool(number) + json.dumps(target_view(states))
    rest = {
        "dropped": [
            {"namespace": drop.pod.namespace, "pod": drop.pod.name, "reason": drop.reason, "message": drop.message}
            for drop in section.drops
        ],
        "duplicates": [duplicate.message for duplicate in section.duplicates],
    }
    yield f"], {json.dumps(rest)[1:]}"


def _write(ref: ObjectRef, seen: WriteObservation) -> dict[str, Any]:
    return {"namespace": ref.namespace, "name": ref.name, "conditions": _conditions(write_aspects(seen))}


def _conditions(found: Mapping[str, Aspect]) -> dict[str, Any]:
    return {kind: {"status": aspect.status, "reason": aspect.reason, "message": aspect.message} for kind, aspect in found.items()}


def target_view(states: Sequence[LoopState]) -> dict[str, Any]:
    """A target with its labels and its scrapes; `states` are all of this target."""
    target = states[0].scrape.target
    return {
        "namespace": target.namespace,
        "pod": target.pod,
        "container": target.container,
        "address": target.address,
        "scheme": target.scheme,
        "labels": dict(target.labels.pairs),
        "discoveredLabels": dict(shown(target.discovered)),
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
