"""The story that `test_hostile.py` looks at: its parts, what is done to them, and what there was to see."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from e2e.conftest import start_operator
from e2e.harness.cluster import SCRAPES, Cluster, PodSpec
from e2e.harness.parts import DemoApp, Hostile, Operator, Receiver
from e2e.harness.process import free_port
from e2e.harness.wait import eventually
from e2e.hostile_kinds import INTERVAL, KINDS, address, expected, failing, pace, times

_NAMESPACE = "hostile"
_TIMEOUT = 2.0
_CANARY = "127.0.73.1"


@dataclass
class Seen:
    """What there was to see, once everything had been scraped `TIMES` times."""

    targets: dict[str, Any] = field(default_factory=dict)
    scrapes: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Objects by name."""
    metrics: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    hits: dict[str, Any] = field(default_factory=dict)
    requests: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """When a good target was asked, in Unix seconds by (host, path)."""
    arrived: list[dict[str, Any]] = field(default_factory=list)
    duplicates: int = 0
    latency: list[tuple[float, float]] = field(default_factory=list)
    """Ten times a second: seconds since the hostile targets came, and seconds until /healthz answered."""
    rss: list[int] = field(default_factory=list)
    """MiB, as often."""
    starved: float = 0.0
    """Of the time in which threads of the operator could have run meanwhile: the part in which no CPU was free for them."""
    levels: dict[str, dict[str, int]] = field(default_factory=dict)
    """Tasks and file descriptors `before` the hostile targets, and `after` them."""
    ended_at: float = 0.0
    """When the operator was told to end, in Unix seconds."""
    stopped: float = 0.0
    """Seconds that the operator took to end."""
    exit_code: int | None = None


class Watcher:
    """Looks at the operator ten times a second, from a thread of its own."""

    def __init__(self, operator: Operator, seen: Seen) -> None:
        self._operator, self._seen = operator, seen
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watcher:
        self._before = self._scheduled()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        ran, waited = (after - before for after, before in zip(self._scheduled(), self._before, strict=True))
        self._seen.starved = waited / (ran + waited)

    def _scheduled(self) -> tuple[int, int]:
        """Nanoseconds for which all threads ran, and for which they waited for a CPU."""
        tasks = Path(f"/proc/{self._operator.pid}/task").iterdir()
        ran, waited, _ = zip(*(map(int, (task / "schedstat").read_text().split()) for task in tasks), strict=True)
        return sum(ran), sum(waited)

    def _run(self) -> None:
        status = Path(f"/proc/{self._operator.pid}/status")
        started = time.monotonic()
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not self._over.wait(0.1):
                began = time.monotonic()
                client.get(self._operator.url + "/healthz").raise_for_status()
                self._seen.latency.append((began - started, time.monotonic() - began))
                self._seen.rss.append(int(re.findall(r"VmRSS:\s+(\d+)", status.read_text())[0]) // 1024)


class Stage:
    """The parts, and what is done to them."""

    def __init__(self, cluster: Cluster, folder: Path, stack: ExitStack) -> None:
        self.cluster, self.folder = cluster, folder
        self.receiver = Receiver(folder)
        stack.callback(self.receiver.stop)
        self.apps = [
            DemoApp(f"good-{i}", folder, "0.0.0.0", free_port(), workload=w) for i, w in enumerate(("checkout", "payments"))
        ]
        for app in self.apps:
            stack.callback(app.stop)
        self.hostile = Hostile(folder, canary=_CANARY)
        stack.callback(self._stop_hostile)
        self.operator = start_operator(cluster, self.receiver, folder, name="operator-hostile")
        stack.callback(self._kill_operator)

    def _kill_operator(self) -> None:
        if self.operator.running:
            self.operator.kill()

    def _stop_hostile(self) -> None:
        self.hostile.stop()

    def start_good(self) -> None:
        """Ten pods on two processes; one pod of each has CPU profiles, as a process takes one at a time."""
        self.cluster.namespace(_NAMESPACE)
        for cpu in (True, False):
            profiles = {"processCPU": {"enabled": cpu}}
            spec = {"selector": {"matchLabels": {"good": "yes", "cpu": str(cpu)}}, "profilingConfig": profiles}
            self._object(f"good-{str(cpu).lower()}", {**spec, "interval": f"{INTERVAL:g}s"})
        for number in range(10):
            app = self.apps[number % 2]
            labels = {"good": "yes", "cpu": str(number < 2)}
            self.cluster.run_pod(_NAMESPACE, PodSpec(f"good-{number}", f"127.0.71.{number + 1}", labels, port=app.port))

    def _object(self, name: str, spec: Mapping[str, Any]) -> None:
        manifest = {
            "apiVersion": "pyroscope-operator.dev/v1alpha1",
            "kind": "PyroscopeScrape",
            "metadata": {"name": name},
            "spec": spec,
        }
        done = self.cluster.api.post(f"{SCRAPES}/namespaces/{_NAMESPACE}/pyroscopescrapes", json=manifest)
        assert done.is_success, done.text

    def define_hostile(self) -> None:
        """An object for each kind: the path says which."""
        for kind in KINDS:
            off = {"processCPU", "block", "mutex", "goroutine", "memory"} - expected(kind).keys()
            profiles = {**{name: {"enabled": False} for name in off}, "pathPrefix": f"/hostile/{kind}"}
            interval, timeout = INTERVAL * pace(kind), _TIMEOUT * pace(kind)
            spec = {"interval": f"{interval:g}s", "scrapeTimeout": f"{timeout:g}s", "profilingConfig": profiles}
            self._object(kind, {"selector": {"matchLabels": {"kind": kind}}, **spec})

    def start_hostile(self) -> None:
        ports = {**self.hostile.ports(), "refused": free_port()}
        for kind in KINDS:
            pod = PodSpec(kind, address(kind), {"kind": kind}, port=ports.get(kind, self.hostile.port))
            self.cluster.run_pod(_NAMESPACE, pod)

    def end_hostile(self) -> None:
        for kind in KINDS:
            self.cluster.delete_pod(_NAMESPACE, kind)

    def scraped(self, wanted: Mapping[str, int]) -> None:
        """Wait until each of these addresses was scraped so often, with every profile type."""

        def enough() -> bool:
            found = {(key[0].partition(":")[0], key[1]): s["scrapes"] for key, s in self.operator.scrapes().items()}
            assert wanted.keys() <= {ip for ip, _ in found}
            few = {key: count for key, count in found.items() if count < wanted.get(key[0], 0)}
            assert not few, f"not often enough: {few}"
            return True

        eventually(enough, "everything was scraped often enough", 90, pause=2)

    def level(self) -> dict[str, int]:
        totals: dict[str, int] = {}
        for family in text_string_to_metric_families(self.operator.get("/metrics").text):
            for sample in family.samples:
                if sample.name == "process_open_fds" or sample.labels.get("loop") == "main":
                    totals[sample.name] = int(sample.value)
        return totals


def play(stage: Stage, seen: Seen) -> None:
    """The story: good targets alone, hostile ones beside them, gone again, and there when the operator is stopped."""
    stage.start_good()
    stage.scraped({f"127.0.71.{number + 1}": 3 for number in range(10)})
    seen.levels["before"] = stage.level()

    stage.define_hostile()
    with Watcher(stage.operator, seen):
        stage.start_hostile()
        stage.scraped({address(kind): times(kind) for kind in KINDS})
    look(stage, seen)

    stage.end_hostile()
    eventually(lambda: not any(key[0].startswith("127.0.72.") for key in stage.operator.scrapes()), "the hostile pods are gone")
    eventually(lambda: not busy(stage.hostile), "nothing is asked of hostile targets any more", 10)
    stage.hostile.stop()  # closes what is idle, which would stay for another minute
    eventually(lambda: sum(stage.level().values()) <= sum(seen.levels["before"].values()) + 8, "all is as before", 20)
    seen.levels["after"] = stage.level()

    stage.hostile = Hostile(stage.folder, "hostile-again", stage.hostile.port, _CANARY)
    stage.start_hostile()
    eventually(lambda: {"black-hole", "slow-body"} <= busy(stage.hostile), "hostile targets are being scraped")
    began, seen.ended_at = time.monotonic(), time.time()
    seen.exit_code = stage.operator.stop(30)
    seen.stopped = time.monotonic() - began
    account(stage, seen)


def busy(hostile: Hostile) -> set[str]:
    return {kind for kind, hit in hostile.hits()["kinds"].items() if hit["busy"]}


def failures(found: Mapping[str, Any]) -> dict[str, str]:
    """The reason by profile type."""
    return {failure["profile"]: failure["reason"] for failure in found.get("status", {}).get("failures", ())}


def caught_up(stage: Stage) -> dict[str, dict[str, Any]]:
    """The objects by name, once their status says what it should; or as they are after a while, for the tests to tell."""
    deadline = time.monotonic() + 15
    while True:
        listed = stage.cluster.api.get(f"{SCRAPES}/namespaces/{_NAMESPACE}/pyroscopescrapes").json()["items"]
        found = {item["metadata"]["name"]: item for item in listed}
        as_expected = all(failures(found[kind]) == failing(kind) for kind in KINDS)
        if as_expected or time.monotonic() > deadline:
            return found
        time.sleep(1)


def look(stage: Stage, seen: Seen) -> None:
    """Everything that the operator says, at one moment."""
    seen.objects = caught_up(stage)
    seen.targets, seen.scrapes = stage.operator.targets(), stage.operator.scrapes()
    seen.metrics = stage.operator.get("/metrics").text
    seen.log = stage.operator.log_lines()
    seen.hits = stage.hostile.hits()


def account(stage: Stage, seen: Seen) -> None:
    """What the good targets were asked, and what of it arrived; the operator has sent everything that it had."""
    asked: dict[tuple[str, str], list[float]] = defaultdict(list)
    for app in stage.apps:
        for entry in app.requests():
            asked[entry["host"].partition(":")[0], entry["path"]].append(entry["unixNano"] / 1e9)
    seen.requests = dict(asked)
    seen.arrived = stage.receiver.profiles()
    seen.duplicates = stage.receiver.stats()["duplicates"]


def clear(cluster: Cluster) -> None:
    """Nothing is left; in one request for each kind, as there are hundreds."""
    for collection in (f"{SCRAPES}/namespaces/{_NAMESPACE}/pyroscopescrapes", f"/api/v1/namespaces/{_NAMESPACE}/pods"):
        done = cluster.api.request("DELETE", collection, json={"gracePeriodSeconds": 0, "kind": "DeleteOptions"})
        assert done.is_success, done.text
