"""What an object that is wrong, premature or in conflict is told, in `kubectl get`."""

from __future__ import annotations

import re
from typing import Any

import pytest

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec, conditions
from e2e.harness.parts import Operator, Receiver
from e2e.harness.wait import eventually

_SELECTOR = {"selector": {"matchLabels": {"app": "checkout"}}}
_FAST = {**_SELECTOR, "interval": "3s"}

_NOT_ACCEPTED: list[tuple[str, dict[str, Any], str, str]] = [
    # name, spec, reason, what the message names
    ("regex", {**_SELECTOR, "relabelings": [{"action": "labeldrop", "regex": "(x"}]}, "InvalidSpec", "spec.relabelings[0].regex"),
    ("forward", {**_SELECTOR, "forwardTo": [{"name": "a"}]}, "WriteNotFound", "there is no PyroscopeWrite"),
    (
        "auth",
        {**_SELECTOR, "basicAuth": {"username": {"name": "s", "key": "u"}}},
        "SecretNotFound",
        "spec.basicAuth.username",
    ),
    ("elsewhere", {**_SELECTOR, "namespaceSelector": {"any": True}}, "NamespaceNotAllowed", "spec.namespaceSelector"),
    ("static", {"staticTargets": [{"address": "127.0.0.1:1"}]}, "NamespaceNotAllowed", "spec.staticTargets"),
]


@pytest.mark.parametrize(
    ("name", "spec", "reason", "field"),
    [pytest.param(*row, id=row[0], marks=pytest.mark.reaches(f"Accepted/{row[2]}")) for row in _NOT_ACCEPTED],
)
def test_not_accepted(
    cluster: Cluster, operator: Operator, namespace: str, name: str, spec: dict[str, Any], reason: str, field: str
) -> None:
    cluster.scrape(namespace, name, spec)
    cluster.wait_for(namespace, name, "Accepted", f"False/{reason}")
    status = cluster.status(namespace, name)
    assert conditions(status)["Ready"] == f"False/{reason}"
    accepted = next(c for c in status["conditions"] if c["type"] == "Accepted")
    assert field in accepted["message"]
    assert not operator.scrapes()
    told = eventually(lambda: cluster.events(namespace, name), "an Event")
    assert told == [("Warning", reason, accepted["message"])]
    assert reason in cluster.kubectl("describe", "pyscrape", "-n", namespace, name).partition("Events:")[2]


def test_privileged_namespace_may_look_elsewhere(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    """The operator's own namespace (default) is privileged."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("far", app.ip, {"app": "checkout"}))
    spec = {
        **_FAST,
        "namespaceSelector": {"matchNames": [namespace]},
        "staticTargets": [{"address": app.address, "labels": {"service_name": "static", "namespace": "forged"}}],
        "profilingConfig": {"processCPU": {"enabled": False}},
    }
    cluster.scrape("default", "privileged", spec)
    try:
        cluster.wait_for("default", "privileged", "Ready", "True/AllUp")
        far = eventually(lambda: receiver.profiles(pod="far", name="goroutine"), "the pod's profiles")
        assert far[0]["labels"]["namespace"] == namespace
        static = eventually(lambda: receiver.profiles(service_name="static", name="goroutine"), "the static target's profiles")
        assert static[0]["labels"] == {
            "__name__": "goroutine",
            "service_name": "static",
            "namespace": "default",
            "job": "default/privileged",
            "instance": app.address,
        }
    finally:
        cluster.delete_scrape("default", "privileged")


@pytest.mark.reaches("Discovered/NoPodsMatched", "Ready/NoPodsMatched", "Discovered/PortNotFound")
def test_no_pods_then_no_port(cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp) -> None:
    cluster.scrape(namespace, "checkout", {**_FAST, "port": "profiling"})
    cluster.wait_for(namespace, "checkout", "Discovered", "False/NoPodsMatched")
    assert cluster.condition(namespace, "checkout", "Ready") == "True/NoPodsMatched"

    cluster.run_pod(namespace, PodSpec("portless", "127.0.21.1", {"app": "checkout"}, port_name="http"))
    cluster.wait_for(namespace, "checkout", "Discovered", "False/PortNotFound")
    status = cluster.status(namespace, "checkout")
    assert conditions(status)["Ready"] == "False/PortNotFound"
    assert status["targets"] == {"pods": 1, "active": 0, "up": 0, "down": 0, "dropped": 1}
    message = next(c["message"] for c in status["conditions"] if c["type"] == "Discovered")
    assert "portless" in message and "'profiling'" in message

    app = start_app("app", "127.0.21.1", port=6071)
    cluster.scrape(namespace, "checkout", {**_FAST, "port": app.port})
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")


@pytest.mark.reaches("Scraping/TargetsDown", "Scraping/AllUp", "failures/HTTPStatus", "failures/ConnectFailed")
def test_target_down_and_up_again(cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp) -> None:
    spec = {**_FAST, "profilingConfig": {"custom": [{"name": "missing", "enabled": True, "path": "/debug/none"}]}}
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("shaky", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "checkout", spec)
    cluster.wait_for(namespace, "checkout", "Scraping", "False/TargetsDown")
    status = cluster.status(namespace, "checkout")
    assert status["summary"] == "0/1"
    failure = {"pod": "shaky", "container": "app", "profile": "missing", "reason": "HTTPStatus", "message": "HTTP status 404"}
    assert status["failures"] == [failure]

    cluster.scrape(namespace, "checkout", _FAST)
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    app.kill()
    cluster.wait_for(namespace, "checkout", "Scraping", "False/TargetsDown")
    reasons = {failure["reason"] for failure in cluster.status(namespace, "checkout")["failures"]}
    assert reasons == {"ConnectFailed"}
    start_app("again", app.ip)
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    down = [line for line in operator.log_lines() if line.get("target") == app.address and line["level"] == "WARNING"]
    assert len(down) <= 12, "one line for each change of state, not for each scrape"


@pytest.mark.reaches("failures/BodyTooLarge")
def test_body_limit(cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp) -> None:
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("large", app.ip, {"app": "checkout"}))
    off = {name: {"enabled": False} for name in ("block", "mutex", "processCPU", "goroutine")}
    cluster.scrape(namespace, "checkout", {**_FAST, "bodySizeLimit": "1KiB", "profilingConfig": off})
    cluster.wait_for(namespace, "checkout", "Scraping", "False/TargetsDown")
    assert [f["reason"] for f in cluster.status(namespace, "checkout")["failures"]] == ["BodyTooLarge"]


@pytest.mark.reaches("Discovered/Duplicate")
def test_duplicates(cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp) -> None:
    """The same scrape in two objects is done once; one process takes one CPU profile at a time."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("contested", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "a-first", _FAST)
    cluster.wait_for(namespace, "a-first", "Ready", "True/AllUp")
    cpu = [{"name": "cpu2", "enabled": True, "path": "/debug/pprof/profile", "delta": True}]
    cluster.scrape(namespace, "b-second", {**_FAST, "profilingConfig": {"custom": cpu, "fgprof": {"enabled": True}}})
    cluster.wait_for(namespace, "b-second", "Discovered", "False/Duplicate")
    cluster.wait_for(namespace, "b-second", "Ready", "True/Duplicate")
    eventually(lambda: receiver.profiles(pod="contested", name="fgprof"), "its fgprof is its own")
    everything = receiver.profiles(pod="contested")
    assert {p["labels"]["job"] for p in everything if p["labels"]["__name__"] != "fgprof"} == {f"{namespace}/a-first"}
    assert not [p for p in everything if p["labels"]["__name__"] == "cpu2"]
    assert all(entry["status"] == 200 and not entry["concurrentCPU"] for entry in app.requests("/debug/pprof/profile"))

    cluster.delete_scrape(namespace, "a-first")  # the second inherits what the first had
    eventually(lambda: receiver.profiles(pod="contested", job=f"{namespace}/b-second", name="memory"), "the heir scrapes memory")
    cluster.wait_for(namespace, "b-second", "Discovered", "False/Duplicate")  # cpu2 beside its own process_cpu
    assert all(entry["status"] == 200 for entry in app.requests("/debug/pprof/profile"))


@pytest.mark.reaches("Delivering/PushFailing", "Delivering/Delivered")
def test_pyroscope_away(cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp) -> None:
    """Scraping goes on, status says that delivery fails, and what was queued arrives."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("pushed", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "checkout", _FAST)
    cluster.wait_for(namespace, "checkout", "Delivering", "True/Delivered")
    receiver.fault(status=503, count=100000)
    cluster.wait_for(namespace, "checkout", "Delivering", "False/PushFailing")
    message = next(c["message"] for c in cluster.status(namespace, "checkout")["conditions"] if c["type"] == "Delivering")
    assert "503" in message
    assert cluster.condition(namespace, "checkout", "Ready") == "False/PushFailing"
    mark = len(app.requests("/debug/pprof/goroutine"))
    eventually(lambda: len(app.requests("/debug/pprof/goroutine")) >= mark + 3, "scraping goes on")
    receiver.fault(status=503, count=0)
    cluster.wait_for(namespace, "checkout", "Delivering", "True/Delivered")
    served = len(app.requests("/debug/pprof/goroutine"))
    eventually(lambda: len(receiver.profiles(pod="pushed", name="goroutine")) >= served, "nothing was lost")
    assert receiver.stats()["duplicates"] == 0
    told = eventually(lambda: found if len(found := cluster.events(namespace, "checkout")) >= 2 else [], "both Events")
    assert [(kind, reason) for kind, reason, _ in told] == [("Warning", "PushFailing"), ("Normal", "Delivered")]
    assert "503" in told[0][2]


def test_one_profile_type_refused_for_ever(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    """Delivering is False as long as it lasts, without flipping whenever one of the others is taken."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("picky", app.ip, {"app": "checkout"}))
    receiver.fault(count=1_000_000, code="invalid_argument", match={"pod": "picky", "__name__": "goroutine"})
    cluster.scrape(namespace, "checkout", _FAST)
    cluster.wait_for(namespace, "checkout", "Delivering", "False/PushFailing")
    since = _transition(cluster, namespace, "Delivering")
    taken = len(receiver.profiles(pod="picky"))
    eventually(lambda: len(receiver.profiles(pod="picky", name="mutex")) >= taken + 4, "the others are taken")
    assert not receiver.profiles(pod="picky", name="goroutine")
    found = next(c for c in cluster.status(namespace, "checkout")["conditions"] if c["type"] == "Delivering")
    assert found["status"] == "False"
    assert "series in trouble: 1 of 5; goroutine of picky" in found["message"]
    assert _transition(cluster, namespace, "Delivering") == since
    assert [reason for _, reason, _ in cluster.events(namespace, "checkout")] == ["PushFailing"]
    receiver.fault(count=0)
    cluster.wait_for(namespace, "checkout", "Delivering", "True/Delivered")


def _transition(cluster: Cluster, namespace: str, kind: str) -> str:
    found: str = next(c["lastTransitionTime"] for c in cluster.status(namespace, "checkout")["conditions"] if c["type"] == kind)
    return found


@pytest.mark.reaches("Scraping/AllUp", "Scraping/TargetsDown")
def test_what_kubectl_shows(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    """The columns of both kinds, and `kubectl wait`, which also tells of one that does not become ready."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("up", app.ip, {"app": "checkout"}))
    cluster.run_pod(namespace, PodSpec("down", "127.0.21.77", {"app": "payments"}))
    cluster.write(namespace, "main", {"endpoints": [{"name": "eu", "url": receiver.url}]})
    goroutine = {
        **{name: {"enabled": False} for name in ("memory", "block", "mutex", "processCPU")},
        "goroutine": {"enabled": True},
    }
    spec = {**_FAST, "profilingConfig": goroutine, "forwardTo": [{"name": "main"}]}
    cluster.scrape(namespace, "checkout", spec)
    cluster.scrape(namespace, "payments", {**spec, "selector": {"matchLabels": {"app": "payments"}}})
    wait = ("wait", "-n", namespace, "--for=condition=Ready")
    assert "pyroscopescrape.pyroscope-operator.dev/checkout condition met" in cluster.kubectl(
        *wait, "pyscrape/checkout", "--timeout=60s"
    )
    assert "pyroscopewrite.pyroscope-operator.dev/main condition met" in cluster.kubectl(*wait, "pywrite/main", "--timeout=60s")
    cluster.wait_for(namespace, "payments", "Scraping", "False/TargetsDown")
    assert "timed out" in cluster.kubectl(*wait, "pyscrape/payments", "--timeout=1s", check=False)
    cluster.wait_for(namespace, "checkout", "Delivering", "True/Delivered")
    cluster.wait_for(namespace, "main", "Delivering", "True/Delivered", plural="pyroscopewrites")

    def shown(kind: str, *options: str) -> list[list[str]]:
        """The cells, row by row; what is said for people has single blanks in it."""
        lines = cluster.kubectl("get", kind, "-n", namespace, *options).splitlines()
        return [re.split(r" {2,}", line.strip()) for line in lines]

    head, *scrapes = shown("pyscrape")
    assert head == ["NAME", "READY", "TARGETS", "DELIVERING", "AGE"]
    assert [row[:4] for row in scrapes] == [["checkout", "True", "1/1", "True"], ["payments", "False", "0/1", "Unknown"]]
    head, *scrapes = shown("pyscrape", "-o", "wide")
    assert head == ["NAME", "READY", "TARGETS", "DELIVERING", "INTERVAL", "REASON", "MESSAGE", "AGE"]
    assert [row[4:6] for row in scrapes] == [["3s", "AllUp"], ["3s", "TargetsDown"]]
    assert scrapes[0][6] == "targets up: all 1" and "goroutine of down: ConnectFailed" in scrapes[1][6]
    head, *writes = shown("pywrite")
    assert head == ["NAME", "READY", "ENDPOINTS", "DELIVERING", "AGE"]
    assert [row[:4] for row in writes] == [["main", "True", "1/1", "True"]]
    head, *writes = shown("pywrite", "-o", "wide")
    assert head == ["NAME", "READY", "ENDPOINTS", "DELIVERING", "REASON", "MESSAGE", "AGE"]
    assert writes[0][4:6] == ["Delivered", "profiles arrive"]
    assert len(cluster.kubectl("get", "pyroscope", "-n", namespace, "-o", "name").splitlines()) == 3
