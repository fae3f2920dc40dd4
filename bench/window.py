"""A stretch of time in which scrapers are measured, all at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.figures import Cost, Surroundings
from bench.machine import moment
from bench.processes import MemoryWatch, Replay, Sink, cpu_seconds, peak_rss
from bench.schedule import Series, punctuality
from e2e.harness.process import Child


class Refused(Exception):
    """Figures that would not be true."""


@dataclass(frozen=True)
class Measured:
    """One scraper with target server and sink of its own."""

    scraper: Child
    started: float
    """Unix time."""
    replay: Replay
    sink: Sink
    offsets: Mapping[str, float]
    """Of the slots of each target that is there all the time, by host."""
    interval: float
    profiles: int
    """Types that are scraped from each target."""

    @property
    def pids(self) -> Sequence[int]:
        return [self.scraper.pid, self.replay.pid, self.sink.pid]


@dataclass(frozen=True)
class _Look:
    """Counters at one moment."""

    cpu: float
    replay: Mapping[str, float]
    sink: Mapping[str, float]


def _look(one: Measured) -> _Look:
    return _Look(cpu_seconds(one.scraper.pid), one.replay.stats(), one.sink.stats())


class Window:
    """Begins when it is made."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._measured = measured
        self._begin, self._machine = time.time(), moment()
        self._before = [_look(one) for one in measured]
        self._own = self._cpu()
        self._memory = [MemoryWatch(one.scraper.pid) for one in measured]

    def _cpu(self) -> float:
        return sum(cpu_seconds(pid) for one in self._measured for pid in one.pids)

    def close(self) -> None:
        """What comes later no longer counts."""
        self._samples = [watch.stop() for watch in self._memory]
        self._after = [_look(one) for one in self._measured]
        own, self._end, later = self._cpu() - self._own, time.time(), moment()
        self.around = Surroundings(
            seconds=self._end - self._begin,
            others=max(0.0, later.busy - self._machine.busy - own),
            steal=later.steal - self._machine.steal,
            load=later.load,
        )

    def costs(self, failed: Sequence[int]) -> Sequence[Cost]:
        """Of each scraper, half an interval after the end. Raises Refused, and AssertionError when one has ended."""
        return [self._cost(number, one, failed[number]) for number, one in enumerate(self._measured)]

    def _cost(self, number: int, one: Measured, failed: int) -> Cost:
        one.scraper.check_running()
        before, after = self._before[number], self._after[number]

        def grown(of: str, key: str) -> float:
            return float(getattr(after, of)[key] - getattr(before, of)[key])

        if one.replay.stats()["wrapped"]:
            raise Refused("the recordings ended before the run: targets stood still, which costs less; make more snapshots")
        if one.sink.stats()["refused"]:
            raise Refused("the sink was sent what is no PushRequest")
        series = [
            Series(one.offsets[found.address], one.interval, found.at)
            for found in one.replay.arrivals(since=self._begin - one.interval)
            if found.address in one.offsets
        ]
        if len(series) != len(one.offsets) * one.profiles:
            raise Refused(f"{len(series)} series were asked for instead of {len(one.offsets) * one.profiles}")
        return Cost(
            scrapes=int(grown("replay", "requests")),
            cpu=after.cpu - before.cpu,
            rss=int(median(self._samples[number])),
            peak=peak_rss(one.scraper.pid),
            pushes=int(grown("sink", "requests")),
            profiles=int(grown("sink", "profiles")),
            failed=failed,
            replay_cpu=grown("replay", "cpuSeconds"),
            sink_cpu=grown("sink", "cpuSeconds"),
            punctuality=punctuality(series, self._begin, self._end),
            first_profile=one.sink.stats()["firstUnixNano"] / 1e9 - one.started,
        )
