"""The operator without a cluster, and the floor beside it: the same recorded targets, the same types, the same time."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.exposition import Exposition, longest_stall, parse
from bench.figures import Cost, Run, Surroundings
from bench.machine import moment
from bench.processes import Floor, MemoryWatch, Replay, Sink, cpu_seconds, peak_rss
from bench.recordings import FOLDER
from bench.schedule import Series, punctuality, static_offset
from e2e.harness.parts import Operator
from e2e.harness.process import Child
from e2e.harness.wait import eventually

KEYS = {"process_cpu": "processCPU", "memory": "memory", "mutex": "mutex", "block": "block", "goroutine": "goroutine"}
"""Types of the default mix → their fields of profilingConfig."""
DEFAULT = tuple(KEYS)
_STATIC_LIMIT = 100
"""staticTargets of one object, at most."""
_CONNECTIONS = 20_000
_WARM_UP = 2.2
"""Intervals: each cumulative profile was seen twice by then."""


@dataclass(frozen=True)
class Plan:
    """What is run."""

    targets: int
    profiles: Sequence[str] = DEFAULT
    interval: float = 15.0
    intervals: int = 4
    """Length of the window."""
    floor: bool = True
    app: str = "kube-apiserver"
    delay: float = 0.0
    """Longest random delay of an answer, in seconds."""
    recordings: Path = FOLDER


class Refused(Exception):
    """Figures that would not be true."""


def hosts(number: int) -> Sequence[str]:
    """Loopback addresses, one for each target."""
    return [f"127.64.{index // 250}.{index % 250 + 1}" for index in range(number)]


def manifest(addresses: Sequence[str], profiles: Sequence[str], interval: float) -> str:
    """PyroscopeScrapes for these targets."""
    chosen = {KEYS[name]: {"enabled": name in profiles} for name in KEYS}
    documents = []
    for start in range(0, len(addresses), _STATIC_LIMIT):
        static = [{"address": a, "labels": {"service_name": "bench"}} for a in addresses[start : start + _STATIC_LIMIT]]
        spec = {"interval": f"{interval:g}s", "profilingConfig": chosen, "staticTargets": static}
        meta = {"namespace": "bench", "name": f"part-{start // _STATIC_LIMIT}"}
        documents.append(
            {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeScrape", "metadata": meta, "spec": spec}
        )
    return "---\n".join(f"{json.dumps(document)}\n" for document in documents)


class Side:
    """One scraper with target server and sink of its own."""

    def __init__(self, name: str, folder: Path, plan: Plan) -> None:
        self._plan = plan
        self.replay = Replay(folder, plan.recordings / plan.app, f"replay-{name}", plan.delay)
        self.sink = Sink(folder, f"sink-{name}")
        self.addresses = [f"{host}:{self.replay.port}" for host in hosts(plan.targets)]
        self.scraper: Child
        self.started = 0.0

    def run(self, scraper: Child, started: float) -> None:
        self.scraper, self.started = scraper, started

    @property
    def pids(self) -> Sequence[int]:
        return [self.scraper.pid, self.replay.pid, self.sink.pid]

    def stop(self) -> None:
        for child in (self.replay, self.sink):
            child.stop()


@dataclass(frozen=True)
class _Look:
    """Counters of a side at one moment."""

    cpu: float
    replay: Mapping[str, float]
    sink: Mapping[str, float]


def _look(side: Side) -> _Look:
    return _Look(cpu_seconds(side.scraper.pid), side.replay.stats(), side.sink.stats())


def run(plan: Plan, folder: Path) -> Run:
    """Everything is started in `folder`, and stopped. Raises Refused, and AssertionError where a process fails."""
    _say(f"{plan.targets} targets, {', '.join(plan.profiles)} of {plan.app} every {plan.interval:g} s")
    with ExitStack() as stack:
        mine = Side("operator", folder, plan)
        stack.callback(mine.stop)
        sides = [mine]
        operator = _start_operator(mine, folder, plan)
        stack.callback(lambda: operator.end() if operator.running else None)
        if plan.floor:
            other = Side("floor", folder, plan)
            stack.callback(other.stop)
            stack.callback(_start_floor(other, folder, plan).stop)
            sides.append(other)
        operator.wait_ready()
        time.sleep(_WARM_UP * plan.interval)
        return _measure(plan, operator, sides)


def _start_operator(side: Side, folder: Path, plan: Plan) -> Operator:
    file = folder / "targets.yaml"
    file.write_text(manifest(side.addresses, plan.profiles, plan.interval))
    flags = ("--standalone", str(file), "--pyroscope-url", side.sink.url, "--max-connections", str(_CONNECTIONS))
    started = time.time()
    operator = Operator(folder, *flags)
    side.run(operator, started)
    return operator


def _start_floor(side: Side, folder: Path, plan: Plan) -> Floor:
    # Half an interval away from the operator's slots: the same spread, and they don't wake up together.
    offsets = {address: (static_offset(address, plan.interval) + plan.interval / 2) % plan.interval for address in side.addresses}
    started = time.time()
    floor = Floor(folder, offsets, side.sink.url, plan.interval, plan.profiles)
    side.run(floor, started)
    return floor


def _measure(plan: Plan, operator: Operator, sides: Sequence[Side]) -> Run:
    metrics = _metrics(operator)
    time.sleep(0.5)  # what it cost to say them is over
    begin, machine = time.time(), moment()
    before = [_look(side) for side in sides]
    others = [cpu_seconds(pid) for side in sides for pid in side.pids]
    memory = [MemoryWatch(side.scraper.pid) for side in sides]
    time.sleep(plan.intervals * plan.interval)
    samples = [watch.stop() for watch in memory]
    after = [_look(side) for side in sides]
    own = sum(cpu_seconds(pid) for side in sides for pid in side.pids) - sum(others)
    end, later = time.time(), moment()
    ended = _metrics(operator)
    time.sleep(plan.interval / 2)  # for the slots that began just before the end
    for side in sides:
        side.scraper.check_running()
    around = Surroundings(end - begin, later.busy - machine.busy - own, later.steal - machine.steal, later.load)
    failed = [ended.failed, *(_failures(side) for side in sides[1:])]
    costs = [
        _cost(plan, side, first, last, tuple(rss), bad, (begin, end))
        for side, first, last, rss, bad in zip(sides, before, after, samples, failed, strict=True)
    ]
    return Run(
        app=plan.app,
        profiles=tuple(plan.profiles),
        targets=plan.targets,
        interval=plan.interval,
        delay=plan.delay,
        operator=costs[0],
        floor=costs[1] if plan.floor else None,
        stall=longest_stall(metrics, ended),
        around=around,
    )


def _metrics(operator: Operator) -> Exposition:
    return eventually(lambda: parse(operator.get("/metrics").raise_for_status().text), "the operator's metrics")


def _failures(side: Side) -> int:
    assert isinstance(side.scraper, Floor)
    stats = side.scraper.stats()
    return int(stats["errors"] + stats["pushErrors"])


def _cost(
    plan: Plan, side: Side, before: _Look, after: _Look, rss: Sequence[int], failed: int, window: tuple[float, float]
) -> Cost:
    def grown(of: str, key: str) -> float:
        return float(getattr(after, of)[key] - getattr(before, of)[key])

    stats, sink = side.replay.stats(), side.sink.stats()
    if stats["wrapped"]:
        raise Refused("the recordings ended before the run: targets stood still, which costs less; make more snapshots")
    if sink["refused"]:
        raise Refused("the sink was sent what is no PushRequest")
    shift = 0.0 if isinstance(side.scraper, Operator) else plan.interval / 2
    series = [
        Series(static_offset(f"{one.address}:{side.replay.port}", plan.interval) + shift, plan.interval, one.at)
        for one in side.replay.arrivals(since=window[0] - plan.interval)
    ]
    if len(series) != plan.targets * len(plan.profiles):
        raise Refused(f"{len(series)} series were asked for instead of {plan.targets * len(plan.profiles)}")
    return Cost(
        scrapes=int(grown("replay", "requests")),
        cpu=after.cpu - before.cpu,
        rss=int(median(rss)),
        peak=peak_rss(side.scraper.pid),
        pushes=int(grown("sink", "requests")),
        profiles=int(grown("sink", "profiles")),
        failed=failed,
        replay_cpu=grown("replay", "cpuSeconds"),
        sink_cpu=grown("sink", "cpuSeconds"),
        punctuality=punctuality(series, *window),
        first_profile=sink["firstUnixNano"] / 1e9 - side.started,
    )


def _say(text: str) -> None:
    print(f"[bench] {text}", file=sys.stderr, flush=True)
