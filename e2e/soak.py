"""`make soak`: an hour of churn and faults, and what it does to the operator's memory, tasks and file descriptors.

    python -m e2e.soak [--minutes 60] [--report docs/soak.md]

Six equal cycles.  In each, pods and objects come, change and go the whole time, and the same faults are
injected one after another; so a cycle is comparable with the others, and what grows from cycle to cycle leaks.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from e2e.harness.build import BIN, ROOT, build_all
from e2e.harness.cluster import SCRAPES, Cluster, PodSpec
from e2e.harness.controlplane import ControlPlane
from e2e.harness.parts import Hostile, Operator, Receiver
from e2e.harness.process import Child, free_port
from e2e.harness.wait import Hopeless, eventually
from pyroscope_operator.transport.plain import KEEPALIVE

CYCLES = 6
_NAMESPACE = "soak"
_GROUPS = 6
_HERD = 36
"""Pods that share one process, each at an address of its own, without CPU profiles; besides, one process each for _SINGLES."""
_SINGLES = 4
_OFF = {"enabled": False}
_CPU = {
    "selector": {"matchLabels": {"cpu": "yes"}},
    "interval": "6s",
    "profilingConfig": {**dict.fromkeys(("memory", "block", "goroutine", "mutex"), _OFF), "fgprof": {"enabled": True}},
    "forwardTo": [{"name": "fan"}],
}
"""The object for the pods that stand a CPU profile. Its profiles go to a write with two endpoints, `living` and `dead`."""
_HOSTILE = (
    *("black-hole", "endless-body", "endless-gzip", "endless-informational", "gzip-bomb", "html", "huge-length", "many-labels"),
    *("redirect-loop", "reset", "reset-later", "slow-body", "trickle", "truncated", "two-answers", "unknown-location"),
)
"""Kinds of hostile targets that are scraped the whole time; cmd/hostile has more."""
_TICK = 2.0
_SEED = 20261124
_QUIET_SECONDS = 2 * KEEPALIVE + 10
"""Time for idle connections to close once nothing is scraped any more; aiohttp looks at them once per KEEPALIVE."""


@dataclass(frozen=True)
class Sample:
    """One look at the operator; sizes in bytes, times in seconds, the rest are counts."""

    at: float
    cycle: int
    rss: int
    tasks: int
    watch_tasks: int
    fds: int
    threads: int
    targets: int
    queue_bytes: int
    cpu_seconds: float
    scrapes: int
    failed: int
    skipped: int
    sent: int
    """To the default write, as `dropped`."""
    dropped: int
    living_sent: int
    living_dropped: int
    dead_dropped: int


_FIELDS = [field.name for field in fields(Sample)]


def look(operator: Operator, cycle: int, started: float) -> Sample:
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(operator.get("/metrics").raise_for_status().text):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0) + sample.value
            for key in ("loop", "result", "endpoint"):
                if key in sample.labels:
                    name = f"{sample.name}/{sample.labels[key]}"
                    totals[name] = totals.get(name, 0) + sample.value

    def count(name: str) -> int:
        return int(totals.get(name, 0))

    own = "pyroscope_operator_"
    scrapes = count(own + "scrapes_total")
    return Sample(
        at=round(time.monotonic() - started, 1),
        cycle=cycle,
        rss=count("process_resident_memory_bytes"),
        tasks=count(own + "event_loop_tasks/main"),
        watch_tasks=count(own + "event_loop_tasks/watch"),
        fds=count("process_open_fds"),
        threads=len(list(Path(f"/proc/{operator.pid}/task").iterdir())),
        targets=count(own + "targets"),
        queue_bytes=count(own + "push_queue_bytes"),
        cpu_seconds=round(totals["process_cpu_seconds_total"], 1),
        scrapes=scrapes,
        failed=scrapes - count(own + "scrapes_total/ok"),
        skipped=count(own + "scrape_slots_skipped_total"),
        sent=count(own + "profiles_sent_total/default"),
        dropped=count(own + "profiles_dropped_total/default"),
        living_sent=count(own + "profiles_sent_total/living"),
        living_dropped=count(own + "profiles_dropped_total/living"),
        dead_dropped=count(own + "profiles_dropped_total/dead"),
    )


class Churn:
    """Pods and objects that come, change and go."""

    def __init__(self, cluster: Cluster, herd_port: int, hostile_port: int) -> None:
        self._cluster, self._herd_port, self._hostile_port = cluster, herd_port, hostile_port
        self._random = random.Random(_SEED)  # the same churn in every run
        self._number = 0
        self._pods: list[PodSpec] = []
        self._objects: list[str] = []
        self.pods_replaced = self.containers_restarted = self.objects_replaced = self.objects_changed = 0

    def start(self, singles: Sequence[tuple[str, int]]) -> None:
        for group in range(_GROUPS):
            self._new_object(group)
        self._cluster.scrape(_NAMESPACE, "cpu", _CPU)
        for index in range(_HERD):
            self._run(f"127.0.61.{index + 1}", self._herd_port, index % _GROUPS)
        for index, (ip, port) in enumerate(singles):
            self._run(ip, port, index % _GROUPS, {"cpu": "yes"})
        for index, kind in enumerate(_HOSTILE):
            profiling = {**dict.fromkeys(("processCPU", "block", "mutex"), _OFF), "pathPrefix": f"/hostile/{kind}"}
            spec = {"selector": {"matchLabels": {"kind": kind}}, "interval": "10s", "scrapeTimeout": "5s"}
            self._cluster.scrape(_NAMESPACE, f"hostile-{kind}", {**spec, "profilingConfig": profiling})
            self._cluster.run_pod(_NAMESPACE, PodSpec(kind, f"127.0.63.{index + 1}", {"kind": kind}, port=self._hostile_port))

    def tick(self, number: int) -> None:
        """What happens every _TICK seconds."""
        self._replace_pod()
        if number % 5 == 0:
            self._restart_container()
        if number % 7 == 0:
            self._put_object(self._random.choice(self._objects))
            self.objects_changed += 1
        if number % 11 == 0:
            gone = self._objects.pop(0)
            self._cluster.delete_scrape(_NAMESPACE, gone)
            self._new_object(int(gone.split("-")[1]))
            self.objects_replaced += 1

    def end(self) -> None:
        """Nothing is left to scrape."""
        for name in (*self._objects, "cpu", *(f"hostile-{kind}" for kind in _HOSTILE)):
            self._cluster.delete_scrape(_NAMESPACE, name)
        for name in (*(pod.name for pod in self._pods), *_HOSTILE):
            self._cluster.delete_pod(_NAMESPACE, name)

    def _run(self, ip: str, port: int, group: int, labels: dict[str, str] | None = None) -> None:
        self._number += 1
        pod = PodSpec(f"pod-{self._number}", ip, {"group": str(group), "cpu": "no", **(labels or {})}, port=port)
        self._pods.append(pod)
        self._cluster.run_pod(_NAMESPACE, pod)

    def _replace_pod(self) -> None:
        """A new pod at the address of one that goes: a rollout, as the operator sees it."""
        old = self._pods.pop(self._random.randrange(len(self._pods)))
        self._cluster.delete_pod(_NAMESPACE, old.name)
        self._run(old.ip, old.port, int(old.labels["group"]), dict(old.labels))
        self.pods_replaced += 1

    def _restart_container(self) -> None:
        pod = self._random.choice(self._pods)
        pod.restarts += 1
        self._cluster.set_status(_NAMESPACE, pod)
        self.containers_restarted += 1

    def _new_object(self, group: int) -> None:
        self._number += 1
        name = f"group-{group}-{self._number}"
        self._objects.append(name)
        self._put_object(name)

    def _put_object(self, name: str) -> None:
        """A new or a changed object: its interval is another one each time; the number of its targets stays."""
        labels = {"group": name.split("-")[1]}
        interval = f"{self._random.choice((5, 6, 8))}s"
        spec = {"selector": {"matchLabels": labels}, "interval": interval, "profilingConfig": {"processCPU": {"enabled": False}}}
        self._cluster.scrape(_NAMESPACE, name, spec)


class Faults:
    """One of them at a time: `begin()` injects the next one, `end()` takes it back."""

    def __init__(self, plane: ControlPlane, folder: Path, receiver: Receiver, app: Child) -> None:
        self._plane, self._folder, self._app = plane, folder, app
        self.receiver = receiver
        self._lives = 1
        forever = 1_000_000
        one = {"match": {"service_name": f"{_NAMESPACE}/app", "__name__": "goroutine"}}
        self.plan: list[tuple[str, Callable[[], None]]] = [
            ("Pyroscope answers 503", lambda: self.receiver.fault(count=forever, status=503)),
            ("Pyroscope is down", self._kill_receiver),
            ("Pyroscope stalls", lambda: self.receiver.fault(count=forever, delayMs=60_000)),
            ("Pyroscope refuses one profile type", lambda: self.receiver.fault(count=forever, code="invalid_argument", **one)),
            ("Pyroscope answers 429 with Retry-After", lambda: self.receiver.fault(count=forever, status=429, retryAfter="3")),
            ("Pyroscope's answers are lost", lambda: self.receiver.fault(count=forever, dropAfter=True)),
            ("the API server hangs", lambda: os.kill(self._plane.apiserver.pid, signal.SIGSTOP)),
            ("a target hangs", lambda: os.kill(self._app.pid, signal.SIGSTOP)),
        ]

    def _kill_receiver(self) -> None:
        self.receiver.kill()

    def stop(self) -> None:
        """At the very end; a process that hangs could not end in order."""
        self.end()
        self.receiver.stop()

    def end(self) -> None:
        """Take back whatever there is."""
        for child in (self._plane.apiserver, self._app):
            os.kill(child.pid, signal.SIGCONT)
        if self.receiver.running:
            self.receiver.fault(count=0)
        else:
            self._lives += 1
            port = int(self.receiver.url.rpartition(":")[2])
            self.receiver = Receiver(self._folder / f"receiver-{self._lives}", "--keep", "500", port=port)


class Soak:
    def __init__(self, operator: Operator, churn: Churn, faults: Faults, minutes: float, samples: Path) -> None:
        self._operator, self._churn, self._faults = operator, churn, faults
        self._cycle_seconds = minutes * 60 / CYCLES
        self._file = samples.open("w", newline="")
        self._csv = csv.DictWriter(self._file, _FIELDS)
        self._csv.writeheader()
        self.samples: list[Sample] = []
        self._started = time.monotonic()
        self.unanswered = 0

    def sample(self, cycle: int) -> Sample | None:
        self._operator.check_running()
        try:
            seen = look(self._operator, cycle, self._started)
        except httpx.TransportError:
            self.unanswered += 1
            return None
        self._csv.writerow(asdict(seen))
        self._file.flush()
        return seen

    def run(self) -> None:
        """All cycles. A fault takes two thirds of its share of the cycle."""
        self._started = time.monotonic()
        share = self._cycle_seconds / (len(self._faults.plan) + 1)
        number = 0
        for cycle in range(1, CYCLES + 1):
            for step, (name, begin) in enumerate([("nothing", lambda: None), *self._faults.plan]):
                since = self._started + (cycle - 1) * self._cycle_seconds + step * share
                _say(f"cycle {cycle} of {CYCLES}, {time.monotonic() - self._started:.0f} s: {name}")
                begin()
                ended = False
                while time.monotonic() < since + share:
                    if not ended and time.monotonic() > since + share * 2 / 3:
                        self._faults.end()
                        ended = True
                    if "API server" not in name or ended:
                        number += 1
                        self._churn.tick(number)
                    if seen := self.sample(cycle):
                        self.samples.append(seen)
                    time.sleep(_TICK)
                self._faults.end()


@dataclass(frozen=True)
class Verdict:
    """One line of the report: a figure in the second and in the last cycle, and at most what it may be."""

    what: str
    second: float
    last: float
    limit: float

    @property
    def flat(self) -> bool:
        return self.last <= self.limit


def judge(samples: Sequence[Sample], before: Sample, after: Sample) -> list[Verdict]:
    """The first cycle warms up. A tenth and a little more is noise; less than a leak of one thing per replaced pod."""

    def verdict(what: str, field: str, room: float, scale: float = 1) -> Verdict:
        median = [statistics.median(getattr(s, field) / scale for s in samples if s.cycle == c) for c in (2, CYCLES)]
        return Verdict(f"{what}, median", median[0], median[1], median[0] * 1.1 + room)

    return [
        verdict("RSS in MiB", "rss", 3, 2**20),
        verdict("tasks", "tasks", 5),
        verdict("tasks of the watches", "watch_tasks", 5),
        verdict("file descriptors", "fds", 5),
        verdict("threads", "threads", 1),
        Verdict("tasks with nothing to scrape, before and after", before.tasks, after.tasks, before.tasks + 2),
        Verdict(
            "tasks of the watches with nothing to watch, before and after",
            before.watch_tasks,
            after.watch_tasks,
            before.watch_tasks + 4,
        ),
        Verdict("file descriptors with nothing to scrape, before and after", before.fds, after.fds, before.fds + 4),
        Verdict("profiles lost at the living endpoint beside the dead one", before.living_dropped, after.living_dropped, 0),
    ]


def report(soak: Soak, churn: Churn, faults: Faults, verdicts: Sequence[Verdict], minutes: float, log_lines: int) -> str:
    """The page docs/soak.md."""
    lines = [
        "<!-- Made by `make soak`: run it again instead of editing. -->",
        "",
        "# Soak",
        "",
        f"`make soak` of commit {_commit()}, {time.strftime('%Y-%m-%d', time.gmtime())}, {minutes:g} minutes, "
        f"{os.cpu_count()} cores, "
        f"Python {sys.version.split()[0]}: {_HERD + _SINGLES} pods, {_GROUPS + 1} objects,",
        f"and {len(_HOSTILE)} hostile targets the whole time ({', '.join(_HOSTILE)}); each fault takes two thirds of",
        f"a ninth of a cycle, {CYCLES} cycles: {'; '.join(name for name, _ in faults.plan)}.",
        "",
        f"Meanwhile {churn.pods_replaced} pods were replaced, {churn.containers_restarted} containers restarted, "
        f"{churn.objects_replaced} objects replaced and {churn.objects_changed} changed.",
        f"The operator wrote {log_lines} log lines; {soak.unanswered} of {len(soak.samples) + soak.unanswered} questions to its",
        "/metrics were not answered within 10 s.",
        "",
        "| cycle | RSS MiB, median (max) | tasks | tasks of the watches | file descriptors | threads | targets | queue MiB, max "
        "| scrapes | failed | slots skipped | sent | dropped | CPU s per 1,000 scrapes |",
        "| " + " | ".join(["---:"] * 14) + " |",
    ]
    lines += [_row([s for s in soak.samples if s.cycle == cycle]) for cycle in range(1, CYCLES + 1)]
    lines += [
        "",
        "One object's profiles go to a write with two endpoints, of which one is dead the whole time:",
        "",
        "| cycle | sent to the living one | lost there | lost at the dead one |",
        "| ---: | ---: | ---: | ---: |",
        *(_fan([s for s in soak.samples if s.cycle == cycle]) for cycle in range(1, CYCLES + 1)),
        "",
        "Tasks, descriptors, threads and targets: medians (maxima in brackets). Flat means: the last cycle's median is at most",
        "a tenth above the second one's, and a few.",
        "",
        "| figure | cycle 2 | last cycle | limit | flat |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    lines += [f"| {v.what} | {v.second:.4g} | {v.last:.4g} | {v.limit:.4g} | {'yes' if v.flat else '**no**'} |" for v in verdicts]
    return "\n".join(lines) + "\n"


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    return described.stdout.strip() or "unknown"


def _row(samples: Sequence[Sample]) -> str:
    def spread(field: str, scale: float = 1) -> str:
        values = [getattr(s, field) / scale for s in samples]
        return f"{statistics.median(values):.0f} ({max(values):.0f})"

    def growth(field: str) -> float:
        return float(getattr(samples[-1], field) - getattr(samples[0], field))

    queue = max(s.queue_bytes for s in samples) / 2**20
    cells = [str(samples[0].cycle), spread("rss", 2**20), *map(spread, ("tasks", "watch_tasks", "fds", "threads", "targets"))]
    cells += [f"{queue:.1f}", *(f"{growth(f):.0f}" for f in ("scrapes", "failed", "skipped", "sent", "dropped"))]
    cells.append(f"{1000 * growth('cpu_seconds') / growth('scrapes'):.1f}")
    return "| " + " | ".join(cells) + " |"


def _fan(samples: Sequence[Sample]) -> str:
    figures = ("living_sent", "living_dropped", "dead_dropped")
    growth = [getattr(samples[-1], figure) - getattr(samples[0], figure) for figure in figures]
    return f"| {samples[0].cycle} | {' | '.join(map(str, growth))} |"


def main() -> int:
    """Returns 0 when everything stayed flat."""
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--report", type=Path, default=ROOT / "docs/soak.md")
    arguments = parser.parse_args()
    build_all()
    try:
        with tempfile.TemporaryDirectory(prefix="pyroscope-operator-soak-") as folder, ExitStack() as stack:
            return _soak(stack, Path(folder), arguments.minutes, arguments.report)
    except (AssertionError, Hopeless) as error:
        print(f"the soak failed: {error}", file=sys.stderr)
        return 1


def _soak(stack: ExitStack, folder: Path, minutes: float, page: Path) -> int:
    plane = ControlPlane(folder / "controlplane")
    stack.callback(plane.stop)
    cluster = Cluster(plane)
    stack.callback(cluster.close)
    cluster.namespace(_NAMESPACE)
    herd = Child("herd", [BIN / "demoapp", "--name", "herd", "--listen", f"0.0.0.0:{free_port()}"], folder)
    singles = [
        Child(f"single-{i}", [BIN / "demoapp", "--name", f"single-{i}", "--listen", f"127.0.62.{i + 1}:6060"], folder)
        for i in range(_SINGLES)
    ]
    hostile = Hostile(folder)
    for app in (herd, *singles, hostile):
        stack.callback(app.stop)
    faults = Faults(plane, folder, Receiver(folder, "--keep", "500"), singles[0])
    stack.callback(faults.stop)
    living = Receiver(folder / "living", "--keep", "500", name="living")
    stack.callback(living.stop)
    endpoints = [{"name": "living", "url": living.url}, {"name": "dead", "url": f"http://127.0.0.1:{free_port()}"}]
    cluster.write(_NAMESPACE, "fan", {"endpoints": endpoints})
    flags = ("--status-interval", "2s", "--sweep-period", "15s", "--queue-size", "4MiB")
    operator = Operator(folder, "--pyroscope-url", faults.receiver.url, *flags, kubeconfig=plane.kubeconfig)
    stack.callback(lambda: operator.stop() if operator.running else None)
    operator.wait_ready()

    churn = Churn(cluster, int(herd.announcement()["listening"].rpartition(":")[2]), hostile.port)
    soak = Soak(operator, churn, faults, minutes, ROOT / ".cache/soak.csv")
    eventually(lambda: len(operator.delivery()) == 3, "every endpoint has its worker")
    before = eventually(lambda: soak.sample(0), "the operator shows its metrics")
    churn.start([(f"127.0.62.{i + 1}", 6060) for i in range(_SINGLES)])
    soak.run()

    _say("nothing left to scrape: waiting for the operator to be quiet")
    churn.end()
    eventually(lambda: look(operator, 0, 0).targets == 0, "nothing is scraped any more", 120)
    time.sleep(_QUIET_SECONDS)  # what is left then stays
    after = eventually(lambda: soak.sample(0), "the operator shows its metrics")
    assert living.stats()["duplicates"] == 0, "something was sent twice to the living endpoint"
    left = cluster.api.get(f"{SCRAPES}/namespaces/{_NAMESPACE}/pyroscopescrapes").json()["items"]
    assert not left, "objects were left"
    assert operator.stop(40) == 0, operator.log_tail()
    lines = operator.log_lines()
    bad = [line for line in lines if line["level"] in {"ERROR", "CRITICAL"}]
    assert not bad, bad[:3]

    verdicts = judge(soak.samples, before, after)
    page.write_text(report(soak, churn, faults, verdicts, minutes, len(lines)))
    for v in verdicts:
        _say(f"{v.what}: {v.second:.4g} → {v.last:.4g} (limit {v.limit:.4g}){'' if v.flat else ' GREW'}")
    return 0 if all(verdict.flat for verdict in verdicts) else 1


def _say(text: str) -> None:
    print(f"[soak] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
