"""One target of each hostile kind beside ten good ones: each has its reason, and no good one loses a scrape.

The whole story runs once (`play`), and each test looks at one side of what was seen.
"""

from __future__ import annotations

import itertools
import json
import re
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.conftest import start_operator
from e2e.harness.cluster import SCRAPES, Cluster, PodSpec
from e2e.harness.parts import DemoApp, Hostile, Operator, Receiver
from e2e.harness.process import free_port
from e2e.harness.wait import eventually

_NAMESPACE = "hostile"
_INTERVAL = 3.0
_TIMEOUT = 2.0
_TIMES = 8
"""How often everything is scraped while we look."""
_MARKER = "geheim-body"
"""Stands in everything that a hostile target says."""
_CANARY = "127.0.73.1"
UP = ""

STEADY: Mapping[str, str] = {
    # Answers with something else
    "status-404": "HTTPStatus",
    "status-500": "HTTPStatus",
    "status-206": "HTTPStatus",
    "html": "NotAProfile",
    "json": "NotAProfile",
    "text": "NotAProfile",
    "empty": "EmptyBody",
    "encoding-br": "ContentEncoding",
    "encoding-odd": "ContentEncoding",
    "encoding-text": "NotAProfile",
    # Protobuf that is no profile
    "other-protobuf": "NotAProfile",
    "random": "NotAProfile",
    "only-wrong-types": "NotAProfile",
    "unknown-location": "NotAProfile",
    "unknown-function": "NotAProfile",
    "unknown-mapping": "NotAProfile",
    "same-id-twice": "NotAProfile",
    "unknown-string": "NotAProfile",
    "negative-string": "NotAProfile",
    "values-missing": "NotAProfile",
    "deep-groups": "NotAProfile",
    "group-without-end": "NotAProfile",
    "garbage-behind-raw": "NotAProfile",
    # Gzip that is broken or too much
    "gzip-truncated": "BrokenGzip",
    "gzip-corrupt": "BrokenGzip",
    "gzip-too-many-members": "BrokenGzip",
    "garbage-behind-gzip": "BrokenGzip",
    "gzip-in-gzip": "NotAProfile",
    "gzip-bomb": "BodyTooLarge",
    "gzip-bomb-encoded": "BodyTooLarge",
    # Without an end
    "endless-body": "BodyTooLarge",
    "endless-gzip": "BodyTooLarge",
    "endless-error": "HTTPStatus",
    "endless-upgrade": "HTTPStatus",
    "endless-chunks": "InvalidHTTP",
    "endless-chunk-extension": "InvalidHTTP",
    "endless-trailers": "InvalidHTTP",
    "endless-header": "InvalidHTTP",
    "endless-headers": "InvalidHTTP",
    "endless-status-line": "InvalidHTTP",
    "endless-informational": "InvalidHTTP",
    "huge-header": "InvalidHTTP",
    "many-headers": "InvalidHTTP",
    # Too slow
    "huge-length": "Timeout",
    "slow-body": "Timeout",
    "slow-header": "Timeout",
    "slow-informational": "Timeout",
    "trickle": "Timeout",
    "black-hole": "Timeout",
    "black-hole-later": "Timeout",
    "never-accepted": "Timeout",
    # Ends early
    "refused": "ConnectFailed",
    "reset": "ConnectionLost",
    "hang-up": "ConnectionLost",
    "truncated-header": "ConnectionLost",
    "reset-later": "Truncated",
    "truncated": "Truncated",
    "truncated-chunks": "Truncated",
    # No HTTP
    "ssh": "InvalidHTTP",
    "tls": "InvalidHTTP",
    "tls-alert": "InvalidHTTP",
    "http09": "InvalidHTTP",
    "http2": "InvalidHTTP",
    "chunk-size": "InvalidHTTP",
    "chunk-size-later": "InvalidHTTP",
    "chunk-size-huge": "InvalidHTTP",
    "length-text": "InvalidHTTP",
    "length-negative": "InvalidHTTP",
    "length-twice": "InvalidHTTP",
    "length-and-chunks": "InvalidHTTP",
    "header-without-colon": "InvalidHTTP",
    "header-name-odd": "InvalidHTTP",
    "header-with-zero": "InvalidHTTP",
    "status-text": "InvalidHTTP",
    "status-huge": "InvalidHTTP",
    # Leads astray
    "redirect-loop": "TooManyRedirects",
    "redirect-chain": "TooManyRedirects",
    "redirect-elsewhere": "RedirectRefused",
    "redirect-scheme": "RedirectRefused",
    "redirect-nowhere": "RedirectRefused",
    "redirect-ambiguous": "HTTPStatus",  # a 404 of the target itself
    # Odd, but nothing is wrong with it
    "good": UP,
    "raw": UP,
    "slow": UP,
    "closes": UP,
    "until-close": UP,
    "odd-headers": UP,
    "odd-reason": UP,
    "trailers": UP,
    "two-answers": UP,
    "two-answers-later": UP,
    "endless-answers": UP,
    "endless-redirect": UP,
    "redirect-home": UP,
    "gzip-encoded": UP,
    "gzip-twice": UP,
    "gzip-members": UP,
    "gzip-padded": UP,
    "wrong-types": UP,
    "unknown-fields": UP,
    "labels": UP,
    "negative": UP,
    "old": UP,
    "future": UP,
    "no-period-type": UP,
    # More than anybody needs
    "many-labels": "TooComplex",
    "overflow": "NotAProfile",
}
"""The reason by kind."""
CROWDS = dict.fromkeys(
    (
        *("many-samples", "many-valid", "many-locations", "many-lines", "many-functions", "many-mappings", "many-strings"),
        *("many-types", "many-comments", "many-values", "long-stack", "one-with-labels"),
    ),
    "TooComplex",
)
"""Bodies of 15 MB once they are unpacked, which are scraped less often, as each costs a noticeable part of a core."""
KINDS = {**STEADY, **CROWDS}
UNDELIVERABLE = frozenset({"old", "future", "wrong-types"})
"""Scraped well, and refused by the server."""
_ALONE = frozenset({"two-answers", "two-answers-later", "endless-answers"})
"""Only one profile type: another one, asked for meanwhile, would be answered by what comes unasked."""


def expected(kind: str) -> dict[str, str]:
    """The reason by profile type."""
    reason = KINDS[kind]
    if kind in _ALONE:
        return {"goroutine": reason}
    # Only who takes the difference adds equal samples up.
    return {"goroutine": UP if kind == "overflow" else reason, "memory": reason}


def address(kind: str) -> str:
    return f"127.0.72.{list(KINDS).index(kind) + 1}"


def times(kind: str) -> int:
    """How often it is scraped, at least, while we look."""
    return _TIMES // 3 if kind in CROWDS else _TIMES


@dataclass
class Seen:
    """What there was to see, once everything had been scraped `_TIMES` times."""

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
    levels: dict[str, dict[str, int]] = field(default_factory=dict)
    """Tasks and file descriptors `before` the hostile targets, and `after` them."""
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
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

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
        stack.callback(lambda: self.operator.running and self.operator.kill())

    def _stop_hostile(self) -> None:
        self.hostile.stop()

    def start_good(self) -> None:
        """Ten pods on two processes; one pod of each has CPU profiles, as a process takes one at a time."""
        self.cluster.namespace(_NAMESPACE)
        for cpu in (True, False):
            profiles = {"processCPU": {"enabled": cpu}}
            spec = {"selector": {"matchLabels": {"good": "yes", "cpu": str(cpu)}}, "profilingConfig": profiles}
            self._object(f"good-{str(cpu).lower()}", {**spec, "interval": f"{_INTERVAL:g}s"})
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
            off = ("processCPU", "block", "mutex", *(("memory",) if kind in _ALONE else ()))
            profiles = {**{name: {"enabled": False} for name in off}, "pathPrefix": f"/hostile/{kind}"}
            interval, timeout = (3 * _INTERVAL, 3 * _TIMEOUT) if kind in CROWDS else (_INTERVAL, _TIMEOUT)
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

        eventually(enough, "everything was scraped often enough", 90, pause=1)

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
    began = time.monotonic()
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
        as_expected = all(failures(found[kind]) == {p: r for p, r in expected(kind).items() if r} for kind in KINDS)
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


@pytest.fixture(scope="module")
def seen(cluster: Cluster, folder: Path) -> Iterator[Seen]:
    seen = Seen()
    with ExitStack() as stack:
        stage = Stage(cluster, folder, stack)
        stack.callback(clear, cluster)
        play(stage, seen)
        yield seen


def clear(cluster: Cluster) -> None:
    cluster.kubectl("delete", "pyscrape", "--all", "-n", _NAMESPACE, "--timeout=30s")
    cluster.kubectl("delete", "pods", "--all", "-n", _NAMESPACE, "--grace-period=0", "--force", "--timeout=30s")


def results(seen: Seen) -> Counter[str]:
    """How many scrapes had which result, by the metrics."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(seen.metrics):
        for sample in family.samples:
            if sample.name == "pyroscope_operator_scrapes_total":
                found[sample.labels["result"]] += int(sample.value)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_reason_stands_in_status(seen: Seen, kind: str) -> None:
    status = seen.objects[kind]["status"]
    wanted = {profile: reason for profile, reason in expected(kind).items() if reason}
    assert failures(seen.objects[kind]) == wanted, status
    assert status["targets"]["up"] == (not wanted)
    assert all(failure["pod"] == kind and failure["message"] for failure in status["failures"])


def test_everything_was_really_asked(seen: Seen) -> None:
    asked = {kind: hit["requests"] for kind, hit in seen.hits["kinds"].items()}
    few = {kind for kind in KINDS if asked.get(kind, 0) < times(kind) * len(expected(kind))}
    assert few == {"refused", "never-accepted"}  # nobody there who could count


def test_no_redirect_leads_elsewhere(seen: Seen) -> None:
    assert seen.hits["canary"] == 0


def test_the_reasons_stand_in_the_metrics(seen: Seen) -> None:
    wanted: Counter[str] = Counter()
    for kind in KINDS:
        for reason in expected(kind).values():
            wanted[reason or "ok"] += times(kind)
    found = results(seen)
    assert found.keys() == wanted.keys()
    assert not {reason: (found[reason], count) for reason, count in wanted.items() if found[reason] < count}


def test_one_line_for_each_change_of_state(seen: Seen) -> None:
    lines: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in seen.log:
        if line["message"].startswith("scrape failed: "):
            assert line["level"] == "WARNING"
            lines[line["target"], line["profile_type"]].append(line["message"])
    assert not [line for line in seen.log if line["level"] in {"ERROR", "CRITICAL"}]
    failing = {(address(kind), profile) for kind in KINDS for profile, reason in expected(kind).items() if reason}
    assert {(target.partition(":")[0], profile) for target, profile in lines} == failing
    assert max(map(len, lines.values())) == 1, {key: found for key, found in lines.items() if len(found) > 1}


def test_nothing_of_an_answer_is_quoted(seen: Seen) -> None:
    for said in (seen.targets, seen.objects, seen.log, seen.metrics):
        assert _MARKER not in json.dumps(said)


def test_good_targets_lose_no_scrape(seen: Seen) -> None:
    assert len(seen.requests) == 10 * 4 + 2
    late = {
        key: gaps
        for key, times in seen.requests.items()
        if (gaps := [b - a for a, b in itertools.pairwise(times) if b - a > 1.5 * _INTERVAL])
    }
    assert not late
    assert all(len(times) >= _TIMES + 3 for times in seen.requests.values())
    good = {key: scrape for key, scrape in seen.scrapes.items() if key[0].startswith("127.0.71.")}
    assert not {key: scrape for key, scrape in good.items() if scrape["failures"] or scrape["skippedSlots"]}


def test_profiles_of_good_targets_arrive_once(seen: Seen) -> None:
    assert seen.duplicates == 0
    arrived = Counter((profile["labels"]["pod"], profile["labels"]["__name__"]) for profile in seen.arrived)
    for number in range(10):
        host, pod = f"127.0.71.{number + 1}", f"good-{number}"
        assert arrived[pod, "goroutine"] == len(seen.requests[host, "/debug/pprof/goroutine"])
        assert arrived[pod, "memory"] == len(seen.requests[host, "/debug/pprof/allocs"]) - 1, "all but the baseline"


def test_only_what_is_refused_is_in_trouble(seen: Seen) -> None:
    """What the server refuses of one target is told of that target alone."""
    delivering = {
        name: next(f"{c['status']}/{c['reason']}" for c in found["status"]["conditions"] if c["type"] == "Delivering")
        for name, found in seen.objects.items()
    }
    for kind in KINDS:
        if kind in UNDELIVERABLE:
            assert delivering[kind] == "False/PushFailing", kind
        elif UP in expected(kind).values():
            assert delivering[kind] == "True/Delivered", kind
    assert delivering["good-true"] == delivering["good-false"] == "True/Delivered"
    memory = [profile for profile in seen.arrived if profile["labels"]["__name__"] == "memory"]
    assert not [profile for profile in memory if profile["negative"]]


def test_memory_is_bounded(seen: Seen) -> None:
    print(f"RSS in MiB: first {seen.rss[0]}, median {statistics.median(seen.rss)}, largest {max(seen.rss)}")
    assert max(seen.rss) < 400


def test_the_event_loop_goes_on(seen: Seen) -> None:
    ordered = sorted(latency for _, latency in seen.latency)
    p99, worst = ordered[len(ordered) * 99 // 100], ordered[-1]
    print(f"/healthz, {len(ordered)} times: median {statistics.median(ordered):.4f} s, p99 {p99:.3f} s, worst {worst:.3f} s")
    print("slow answers:", [(round(at, 1), round(took, 2)) for at, took in seen.latency if took > 0.1])
    assert worst < 1.5


def test_nothing_is_left_behind(seen: Seen) -> None:
    for name, before in seen.levels["before"].items():
        assert seen.levels["after"][name] <= before + 4, name


def test_the_end_is_in_order(seen: Seen) -> None:
    assert seen.exit_code == 0
    assert seen.stopped < 10
