"""The operator's own metrics, as far as the bench looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

_OWN = "pyroscope_operator_"
_STALL = _OWN + "event_loop_stall_seconds"


@dataclass(frozen=True)
class Exposition:
    """One reading."""

    failed: int
    """Scrapes that failed, profiles that were dropped and pushes that were sent again."""
    loops: int
    pods: int
    events: int
    """Of pods, from the watch."""
    stalls: Mapping[float, float] | None
    """Event-loop stalls up to so many seconds; None where they are not measured."""


def parse(text: str) -> Exposition:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(name: str, **without: str) -> int:
        found = [sample for sample in samples if sample.name == _OWN + name]
        return int(sum(sample.value for sample in found if not without.items() & sample.labels.items()))

    stalls = {float(sample.labels["le"]): sample.value for sample in samples if sample.name == _STALL + "_bucket"}
    return Exposition(
        failed=total("scrapes_total", result="ok") + total("profiles_dropped_total") + total("push_retries_total"),
        loops=total("scrape_loops"),
        pods=total("pods"),
        events=total("watch_events_total"),
        stalls=stalls or None,
    )


def longest_stall(before: Exposition, after: Exposition) -> float | None:
    """Upper bound of the highest bucket that has grown; 0 when none has."""
    if before.stalls is None or after.stalls is None:
        return None
    grown = {bound: count - before.stalls.get(bound, 0.0) for bound, count in after.stalls.items()}
    most = max(grown.values(), default=0.0)
    return min((bound for bound, count in grown.items() if count == most), default=0.0) if most else 0.0
