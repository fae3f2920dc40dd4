"""The operator's own metrics, as far as the bench looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

_OWN = "pyroscope_operator_"

Buckets = Mapping[float, float]
"""Of a histogram: how many were at most so large."""


@dataclass(frozen=True)
class Exposition:
    """One reading."""

    failed: int
    """Scrapes that failed, profiles that were dropped and pushes that were sent again."""
    loops: int
    pods: int
    events: int
    """Of pods, from the watch."""
    stalls: Buckets | None
    """Of the event loop, in seconds; None where they are not measured."""
    lateness: Buckets | None
    """Of the starts of scrapes, in seconds."""


def parse(text: str) -> Exposition:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(name: str, **without: str) -> int:
        found = [sample for sample in samples if sample.name == _OWN + name]
        return int(sum(sample.value for sample in found if not without.items() & sample.labels.items()))

    def buckets(name: str) -> Buckets | None:
        found: dict[float, float] = {}
        for sample in samples:
            if sample.name == f"{_OWN}{name}_bucket":
                bound = float(sample.labels["le"])
                found[bound] = found.get(bound, 0.0) + sample.value
        return found or None

    return Exposition(
        failed=total("scrapes_total", result="ok") + total("profiles_dropped_total") + total("push_retries_total"),
        loops=total("scrape_loops"),
        pods=total("pods"),
        events=total("watch_events_total"),
        stalls=buckets("event_loop_stall_seconds"),
        lateness=buckets("scrape_lateness_seconds"),
    )


def highest(before: Buckets | None, after: Buckets | None) -> float | None:
    """Upper bound of the highest bucket that something has fallen into meanwhile; 0 when nothing has."""
    if before is None or after is None:
        return None
    grown = {bound: count - before.get(bound, 0.0) for bound, count in after.items()}
    most = max(grown.values(), default=0.0)
    return min((bound for bound, count in grown.items() if count == most), default=0.0) if most else 0.0
