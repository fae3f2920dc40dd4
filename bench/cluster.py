"""The operator in a cluster: pods as targets, 10,000 pods in the watch, one that changes, and many that come and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from bench.churn import Churn
from bench.exposition import highest
from bench.figures import InCluster, Reaction
from bench.mix import CONNECTIONS, DEFAULT, WARM_UP, end, exposition, hosts
from bench.pods import NAMESPACE, BenchPod, PodClient, put_all
from bench.processes import Replay, Sink
from bench.recordings import FOLDER
from bench.say import say
from bench.schedule import pinned, quantile
from bench.window import Measured, Window
from e2e.harness.cluster import Cluster, open_cluster
from e2e.harness.parts import Operator
from e2e.harness.wait import eventually
from pyroscope_operator.model.target import Target

_POLL = 0.01
"""Seconds between two looks at the number of scrape loops."""
_LONGEST_REACTION = 30.0
_SYNC_LIMIT = 180.0
_THREADS = 4
"""Of the churn."""
_PROFILED = 10
"""One of so many pods that come and go is a target."""
_WATCHED, _CHANGING, _CHURNING = 72, 80, 88
"""Second part of the addresses of pods that are no lasting targets."""
_GAUGE = b"\npyroscope_operator_scrape_loops "


@dataclass(frozen=True)
class ClusterPlan:
    """What is run."""

    targets: Sequence[int] = (300, 1000)
    """Operators that see nothing but their targets."""
    pods: int = 10_000
    """In the watch of the last operator; as many of them as the first of `targets` says are targets."""
    interval: float = 15.0
    intervals: int = 4
    changes: int = 25
    rate: float = 100.0
    """Pods a second that come and go, …"""
    seconds: float = 60.0
    """… for so long."""
    app: str = "kube-apiserver"
    recordings: Path = FOLDER


def run(plan: ClusterPlan, folder: Path) -> Iterator[InCluster]:
    """One result for each number of targets, one for all pods, and one for the churn among these."""
    with open_cluster(folder / "controlplane") as cluster, ExitStack() as stack:
        cluster.namespace(NAMESPACE)
        replay = Replay(folder, plan.recordings / plan.app, "replay")
        stack.callback(replay.stop)
        uids: dict[str, str] = {}
        for number in plan.targets:
            new = hosts(number)[len(uids) :]
            uids |= put_all(cluster.plane, [BenchPod(f"target-{ip}", ip, replay.port, f"up-to-{number}") for ip in new])
            _select(cluster, plan, [f"up-to-{n}" for n in plan.targets if n <= number])
            with _operator(plan, cluster, replay, folder / f"operator-{number}", number, uids) as stage:
                yield stage.quiet()
        few = plan.targets[0]
        others = hosts(plan.pods - len(uids), _WATCHED)
        put_all(cluster.plane, (BenchPod(f"watched-{ip}", ip, 6060, "watched") for ip in others))
        _select(cluster, plan, [f"up-to-{few}", "changing", "profiled"])
        lasting = {ip: uids[ip] for ip in hosts(few)}
        with _operator(plan, cluster, replay, folder / "operator-all", plan.pods, lasting) as stage:
            yield stage.quiet()
            yield stage.busy()


def _select(cluster: Cluster, plan: ClusterPlan, groups: Sequence[str]) -> None:
    selector = {"matchExpressions": [{"key": "group", "operator": "In", "values": list(groups)}]}
    cluster.scrape(NAMESPACE, "bench", {"selector": selector, "interval": f"{plan.interval:g}s"})


@contextmanager
def _operator(
    plan: ClusterPlan, cluster: Cluster, replay: Replay, folder: Path, pods: int, uids: Mapping[str, str]
) -> Iterator[_Stage]:
    """An operator that has seen all pods. `uids`: of the pods that are targets, by address."""
    sink = Sink(folder, "sink")
    try:
        say(f"in a cluster: {pods} pods, {len(uids)} of them targets")
        started = time.time()
        operator = Operator(folder, "--pyroscope-url", sink.url, *CONNECTIONS, kubeconfig=cluster.plane.kubeconfig)
        try:
            operator.wait_ready(_SYNC_LIMIT)
            wanted = len(uids) * len(DEFAULT)
            eventually(lambda: exposition(operator).loops == wanted, "a loop for each scrape", _SYNC_LIMIT)
            synced = time.time() - started
            offsets = {ip: _offset(uid, f"{ip}:{replay.port}", plan.interval) for ip, uid in uids.items()}
            measured = Measured(operator, started, replay, sink, offsets, plan.interval, len(DEFAULT))
            yield _Stage(plan, cluster, operator, measured, pods, synced)
        finally:
            end(operator)
    finally:
        sink.stop()


def _offset(uid: str, address: str, interval: float) -> float:
    target = Target(uid, NAMESPACE, "", "app", "http", address)
    return pinned(target, interval)


@dataclass(frozen=True)
class _Stage:
    """A running operator and what can be done with it."""

    plan: ClusterPlan
    cluster: Cluster
    operator: Operator
    measured: Measured
    pods: int
    synced: float

    def quiet(self) -> InCluster:
        """Nothing changes."""
        time.sleep(WARM_UP * self.plan.interval)
        return self._window(lambda: time.sleep(self.plan.intervals * self.plan.interval), lambda: None, "quiet")

    def busy(self) -> InCluster:
        """One pod changes after the other, unmeasured but for the time that takes; then many come and go."""
        reaction = self._reaction()
        say(f"churn of {self.plan.rate:g} pods a second for {self.plan.seconds:g} s")
        clients = [PodClient(self.cluster.plane) for _ in range(_THREADS)]
        churns = [Churn(client, self.plan.rate / _THREADS, self._churning(n), f"churn-{n}") for n, client in enumerate(clients)]

        def stop() -> None:
            for churn in churns:
                churn.stop()
            for client in clients:
                client.close()

        for churn in churns:
            churn.start()
        try:
            found = self._window(lambda: time.sleep(self.plan.seconds), stop, "churn", reaction)
        finally:
            stop()
        return found

    def _churning(self, thread: int) -> Callable[[int], BenchPod]:
        addresses = hosts(4 * 1024, _CHURNING + thread)
        port = self.measured.replay.port

        def pod(number: int) -> BenchPod:
            group = "unprofiled" if number % _PROFILED else "profiled"
            return BenchPod(f"churning-{thread}-{number}", addresses[number % len(addresses)], port, group)

        return pod

    def _window(
        self, during: Callable[[], None], then: Callable[[], None], name: str, reaction: Reaction | None = None
    ) -> InCluster:
        before = exposition(self.operator)
        time.sleep(0.5)
        window = Window([self.measured])
        during()
        window.close()
        after = exposition(self.operator)
        then()
        time.sleep(self.plan.interval / 2)
        cost = window.costs([after.failed])[0]
        return InCluster(
            name=name,
            pods=self.pods,
            targets=len(self.measured.offsets),
            synced=self.synced,
            operator=cost,
            stall=highest(before.stalls, after.stalls),
            events=(after.events - before.events) / window.around.seconds,
            reaction=reaction,
            around=window.around,
            interval=self.plan.interval,
        )

    def _reaction(self) -> Reaction:
        say(f"{self.plan.changes} pods begin to run, one after another")
        took, looks = [], 0
        client, gauge = PodClient(self.cluster.plane), _Gauge(self.operator)
        idle = gauge.value()
        for number in range(self.plan.changes):
            pod = BenchPod(f"changing-{number}", hosts(number + 1, _CHANGING)[-1], self.measured.replay.port, "changing")
            client.create(pod)
            time.sleep(1)  # it is known, but does not run
            client.run(pod)
            seconds, more = gauge.wait(idle + len(DEFAULT))
            took.append(seconds)
            looks += more
            client.delete(pod)
            gauge.wait(idle)
        client.close()
        gauge.close()
        took.sort()
        return Reaction(len(took), quantile(took, 0.5), took[-1], sum(took) / looks)


class _Gauge:
    """The number of scrape loops, over one kept connection."""

    def __init__(self, operator: Operator) -> None:
        self._connection = HTTPConnection(operator.url.removeprefix("http://"), timeout=10)

    def value(self) -> int:
        self._connection.request("GET", "/metrics")
        with self._connection.getresponse() as answer:
            text = answer.read()
        return int(float(text.partition(_GAUGE)[2].split(b"\n", 1)[0]))

    def wait(self, wanted: int) -> tuple[float, int]:
        """Seconds until it is so many, and how often that was looked at."""
        started, looks = time.monotonic(), 0
        while time.monotonic() - started < _LONGEST_REACTION:
            looks += 1
            if self.value() == wanted:
                return time.monotonic() - started, looks
            time.sleep(_POLL)
        raise AssertionError(f"not {wanted} scrape loops within {_LONGEST_REACTION:g} s")

    def close(self) -> None:
        self._connection.close()
