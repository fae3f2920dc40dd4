"""The operator without a cluster, and the floor beside it: the same recorded targets, the same types, the same time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.exposition import Exposition, highest, parse
from bench.figures import Run
from bench.processes import Floor, Replay, Sink
from bench.recordings import FOLDER
from bench.say import say
from bench.schedule import pinned, static
from bench.window import Measured, Window
from e2e.harness.parts import Operator
from e2e.harness.wait import eventually

KEYS = {"process_cpu": "processCPU", "memory": "memory", "mutex": "mutex", "block": "block", "goroutine": "goroutine"}
"""Types of the default mix → their fields of profilingConfig."""
DEFAULT = tuple(KEYS)
CONNECTIONS = ("--max-connections", "20000")
"""Flag of the operator: each scrape has a connection of its own, as all of a target are due at the same time."""
WARM_UP = 2.2
"""Intervals: each cumulative profile was seen twice by then."""
_END_LIMIT = 60.0
"""Seconds from SIGTERM to the end of the operator."""
_STATIC_LIMIT = 100
"""staticTargets of one object, at most."""


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


def hosts(number: int, network: int = 64) -> Sequence[str]:
    """Loopback addresses, one for each target."""
    return [f"127.{network}.{index // 250}.{index % 250 + 1}" for index in range(number)]


def manifest(addresses: Sequence[str], profiles: Sequence[str], interval: float) -> str:
    """PyroscopeScrapes for these targets."""
    chosen = {KEYS[name]: {"enabled": name in profiles} for name in KEYS}
    documents = []
    for start in range(0, len(addresses), _STATIC_LIMIT):
        static = [{"address": a, "labels": {"service_name": "bench"}} for a in addresses[start : start + _STATIC_LIMIT]]
        spec = {"interval": f"{interval:g}s", "profilingConfig": chosen, "staticTargets": static}
        kind = {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeScrape"}
        documents.append({**kind, "metadata": {"namespace": "bench", "name": f"part-{start // _STATIC_LIMIT}"}, "spec": spec})
    return "---\n".join(f"{json.dumps(document)}\n" for document in documents)


def run(plan: Plan, folder: Path) -> Run:
    """Everything is started in `folder`, and stopped. Raises Refused, and AssertionError where a process fails."""
    say(f"{plan.targets} targets, {', '.join(plan.profiles)} of {plan.app} every {plan.interval:g} s")
    with ExitStack() as stack:
        measured = [_operator(stack, folder, plan)]
        operator = measured[0].scraper
        assert isinstance(operator, Operator)
        if plan.floor:
            measured.append(_floor(stack, folder, plan))
        operator.wait_ready()
        time.sleep(WARM_UP * plan.interval)
        before = exposition(operator)
        time.sleep(0.5)  # what it cost to say that is over
        window = Window(measured)
        time.sleep(plan.intervals * plan.interval)
        window.close()
        after = exposition(operator)
        time.sleep(plan.interval / 2)
        costs = window.costs([after.failed, *(_failures(one) for one in measured[1:])])
    return Run(
        app=plan.app,
        profiles=tuple(plan.profiles),
        targets=plan.targets,
        interval=plan.interval,
        delay=plan.delay,
        operator=costs[0],
        floor=costs[1] if plan.floor else None,
        stall=highest(before.stalls, after.stalls),
        around=window.around,
        own_lateness=highest(before.lateness, after.lateness),
    )


def serve(stack: ExitStack, folder: Path, plan: Plan, name: str) -> tuple[Replay, Sink]:
    replay = Replay(folder, plan.recordings / plan.app, f"replay-{name}", plan.delay)
    stack.callback(replay.stop)
    sink = Sink(folder, f"sink-{name}")
    stack.callback(sink.stop)
    return replay, sink


def _operator(stack: ExitStack, folder: Path, plan: Plan) -> Measured:
    replay, sink = serve(stack, folder, plan, "operator")
    addresses = {host: f"{host}:{replay.port}" for host in hosts(plan.targets)}
    file = folder / "targets.yaml"
    file.write_text(manifest(list(addresses.values()), plan.profiles, plan.interval))
    started = time.time()
    operator = Operator(folder, "--standalone", str(file), "--pyroscope-url", sink.url, *CONNECTIONS)
    stack.callback(end, operator)
    offsets = {host: pinned(static(address), plan.interval) for host, address in addresses.items()}
    return Measured(operator, started, replay, sink, offsets, plan.interval, len(plan.profiles))


def _floor(stack: ExitStack, folder: Path, plan: Plan) -> Measured:
    replay, sink = serve(stack, folder, plan, "floor")
    # Half an interval away from the operator's slots: the same spread, and they don't wake up together.
    offsets = {
        host: (static(f"{host}:{replay.port}").offset(plan.interval) + plan.interval / 2) % plan.interval
        for host in hosts(plan.targets)
    }
    started = time.time()
    targets = {f"{host}:{replay.port}": offset for host, offset in offsets.items()}
    floor = Floor(folder, targets, sink.url, plan.interval, plan.profiles)
    stack.callback(floor.stop)
    return Measured(floor, started, replay, sink, offsets, plan.interval, len(plan.profiles))


def end(operator: Operator) -> None:
    """Stop it in order. Raises AssertionError where it does not end, and is killed, or has something to complain of."""
    if operator.running:
        code = operator.stop(_END_LIMIT)
        assert code == 0, f"{operator.name} ended with {code}: {operator.log_tail()}"
        operator.check_log()


def exposition(operator: Operator) -> Exposition:
    """Its metrics. Raises AssertionError when it is too busy to say them."""

    def probe() -> Exposition:
        try:
            return parse(operator.get("/metrics").raise_for_status().text)
        except httpx.TransportError as error:
            raise AssertionError(repr(error)) from error

    return eventually(probe, "the operator's metrics")


def _failures(measured: Measured) -> int:
    floor = measured.scraper
    assert isinstance(floor, Floor)
    stats = floor.stats()
    return int(stats["errors"] + stats["pushErrors"])
