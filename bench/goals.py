"""What the engine is meant to reach, and whether it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.figures import Results, Run


@dataclass(frozen=True)
class Goal:
    """One line; `most` is what may not be exceeded."""

    what: str
    most: float
    found: float

    @property
    def met(self) -> bool:
        return self.found <= self.most


def goals(results: Results) -> Iterator[Goal]:
    """Those for which there are figures."""
    by_targets = {run.targets: run for run in results.mix}
    for targets, megabytes in ((300, 130), (1000, 180)):
        if run := by_targets.get(targets):
            yield from _mix(run, megabytes)
    if run := by_targets.get(1000):
        yield from _punctual(run)
    yield from _cluster(results)
    yield from _delta(results)


def _mix(run: Run, megabytes: float) -> Iterator[Goal]:
    if run.ratio is not None:
        yield Goal(f"CPU per scrape, ratio to the floor, {run.targets} targets", 0.5, run.ratio)
    yield Goal(f"RSS in MB, {run.targets} targets", megabytes, run.operator.rss / 1e6)


def _punctual(run: Run) -> Iterator[Goal]:
    late = run.operator.punctuality
    yield Goal("missed slots, 1,000 targets", 0, late.missed)
    yield Goal("lateness in ms, p99, 1,000 targets", 50, 1000 * late.p99)
    if run.stall is not None:
        yield Goal("longest event-loop stall in ms, 1,000 targets", 25, 1000 * run.stall)
    yield Goal("push requests per scrape, 1,000 targets", 0.02, run.operator.pushes_per_scrape)


def _cluster(results: Results) -> Iterator[Goal]:
    for one in results.cluster:
        if one.pods >= 10_000 and one.name == "quiet":
            yield Goal(f"RSS in MB, {one.pods} pods in the watch", 250, one.operator.rss / 1e6)
        if one.pods >= 10_000 and one.reaction is not None:
            yield Goal("from a change of a pod to its scrape loops in ms, longest", 200, 1000 * one.reaction.longest)


def _delta(results: Results) -> Iterator[Goal]:
    """Small series cost so little that nobody minds."""
    for row in results.delta:
        if row.raw_kb >= _MEDIUM_KB:
            yield Goal(f"delta of {row.series}, ratio to Go's gunzip and gzip", 0.7, row.to_go)


_MEDIUM_KB = 50
