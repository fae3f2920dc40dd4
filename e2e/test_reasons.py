"""Reasons that no other test brings about: what is idle, early, empty, odd or too much."""

from __future__ import annotations

import pytest

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec, conditions
from e2e.harness.parts import Operator, Receiver

_WRITES = "pyroscopewrites"
_SELECTOR = {"selector": {"matchLabels": {"app": "checkout"}}}
_FAST = {**_SELECTOR, "interval": "2s"}
_OFF = {name: {"enabled": False} for name in ("memory", "block", "mutex", "goroutine", "processCPU")}
_GOROUTINE = {**_OFF, "goroutine": {"enabled": True}}
_AFAR = "24h"
"""An interval of which no slot comes while a test runs, unless a target has a very odd hash."""
_NOWHERE = {"name": "nowhere", "key": "token"}


@pytest.mark.reaches("Discovered/NotAccepted", "Scraping/NotAccepted", "Delivering/NotAccepted")
def test_not_accepted(cluster: Cluster, operator: Operator, namespace: str) -> None:
    cluster.scrape(namespace, "wrong", {**_FAST, "relabelings": [{"action": "labeldrop", "regex": "(x"}]})
    cluster.wait_for(namespace, "wrong", "Ready", "False/InvalidSpec")
    idle = dict.fromkeys(("Discovered", "Scraping", "Delivering"), "Unknown/NotAccepted")
    assert conditions(cluster.status(namespace, "wrong")) == {
        "Ready": "False/InvalidSpec",
        "Accepted": "False/InvalidSpec",
        **idle,
    }


@pytest.mark.reaches("Ready/Suspended", "Discovered/Suspended", "Scraping/Suspended", "Delivering/Suspended", "Accepted/Accepted")
def test_suspended(cluster: Cluster, operator: Operator, namespace: str) -> None:
    cluster.scrape(namespace, "asleep", {**_FAST, "suspend": True})
    cluster.wait_for(namespace, "asleep", "Ready", "True/Suspended")
    idle = dict.fromkeys(("Discovered", "Scraping", "Delivering"), "Unknown/Suspended")
    assert conditions(cluster.status(namespace, "asleep")) == {"Ready": "True/Suspended", "Accepted": "True/Accepted", **idle}


@pytest.mark.reaches("Ready/Pending", "Discovered/TargetsFound", "Scraping/Pending", "Delivering/NothingPushed")
def test_nothing_was_tried_yet(cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp) -> None:
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("early", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "early", {**_SELECTOR, "interval": _AFAR, "profilingConfig": _GOROUTINE})
    cluster.wait_for(namespace, "early", "Scraping", "Unknown/Pending")
    assert conditions(cluster.status(namespace, "early")) == {
        "Ready": "False/Pending",
        "Accepted": "True/Accepted",
        "Discovered": "True/TargetsFound",
        "Scraping": "Unknown/Pending",
        "Delivering": "Unknown/NothingPushed",
    }


@pytest.mark.reaches("Ready/NoTargets", "Scraping/NoTargets", "Ready/NoPodHealthy")
def test_nothing_to_scrape(cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp) -> None:
    """Every profile type is disabled; then there is one, but no pod that is ready."""
    app = start_app("app")
    pod = PodSpec("idle", app.ip, {"app": "checkout"})
    cluster.run_pod(namespace, pod)
    cluster.scrape(namespace, "idle", {**_FAST, "profilingConfig": _OFF})
    cluster.wait_for(namespace, "idle", "Ready", "True/NoTargets")
    assert cluster.condition(namespace, "idle", "Scraping") == "Unknown/NoTargets"
    pod.ready = False
    cluster.set_status(namespace, pod)
    cluster.wait_for(namespace, "idle", "Ready", "True/NoPodHealthy")


@pytest.mark.reaches("failures/NotCumulative")
def test_a_custom_profile_without_a_counter(cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp) -> None:
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("odd", app.ip, {"app": "checkout"}))
    custom = [{"name": "stacks", "enabled": True, "path": "/debug/pprof/goroutine", "cumulative": True}]
    cluster.scrape(namespace, "odd", {**_FAST, "profilingConfig": {**_OFF, "custom": custom}})
    cluster.wait_for(namespace, "odd", "Scraping", "False/TargetsDown")
    assert [(f["profile"], f["reason"]) for f in cluster.status(namespace, "odd")["failures"]] == [("stacks", "NotCumulative")]


@pytest.mark.reaches("Discovered/LimitExceeded")
def test_relabelings_that_take_too_long(cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp) -> None:
    """An annotation that is as large as a pod may have, and steps that look at all of it; a neighbour notices nothing."""
    app = start_app("app")
    text = {"text": "ab" * 100_000}
    cluster.run_pod(namespace, PodSpec("wordy", app.ip, {"app": "checkout"}, annotations=text))
    cluster.run_pod(namespace, PodSpec("terse", app.ip, {"app": "other"}))
    source = ["__meta_kubernetes_pod_annotation_text"]
    steps = [{"sourceLabels": source, "regex": f"(a|b)*{n}", "targetLabel": "x", "replacement": "y"} for n in range(50)]
    cluster.scrape(namespace, "heavy", {**_FAST, "profilingConfig": _GOROUTINE, "relabelings": steps})
    light = {"selector": {"matchLabels": {"app": "other"}}, "interval": "2s", "profilingConfig": _GOROUTINE}
    cluster.scrape(namespace, "light", {**light, "relabelings": steps})
    cluster.wait_for(namespace, "heavy", "Discovered", "False/LimitExceeded")
    message = next(c["message"] for c in cluster.status(namespace, "heavy")["conditions"] if c["type"] == "Discovered")
    assert "wordy: relabelings[" in message and "takes too long" in message
    assert cluster.condition(namespace, "heavy", "Ready") == "False/LimitExceeded"
    cluster.wait_for(namespace, "light", "Ready", "True/AllUp")


@pytest.mark.reaches(
    *("write:Accepted/Accepted", "write:Delivering/NothingPushed", "write:Delivering/NotAccepted", "write:Accepted/InvalidSpec")
)
def test_writes_that_write_nothing(cluster: Cluster, operator: Operator, receiver: Receiver, namespace: str) -> None:
    """Nobody forwards to it; its Secret is missing from the start; no schema sees that its URL is none."""
    cluster.write(namespace, "unused", {"endpoints": [{"name": "main", "url": receiver.url}]})
    cluster.wait_for(namespace, "unused", "Delivering", "Unknown/NothingPushed", plural=_WRITES)
    assert cluster.condition(namespace, "unused", "Accepted", _WRITES) == "True/Accepted"
    cluster.write(namespace, "never", {"endpoints": [{"name": "main", "url": receiver.url, "bearerTokenSecret": _NOWHERE}]})
    cluster.wait_for(namespace, "never", "Accepted", "False/SecretNotFound", plural=_WRITES)
    assert cluster.condition(namespace, "never", "Delivering", _WRITES) == "Unknown/NotAccepted"
    assert cluster.condition(namespace, "never", "Ready", _WRITES) == "False/SecretNotFound"
    cluster.write(namespace, "odd", {"endpoints": [{"name": "main", "url": "http://[:::]:4040"}]})
    cluster.wait_for(namespace, "odd", "Accepted", "False/InvalidSpec", plural=_WRITES)


@pytest.mark.reaches("write:Accepted/TooManyEndpoints")
def test_too_many_endpoints(cluster: Cluster, operator: Operator, namespace: str) -> None:
    """The last of 21 writes with ten endpoints each; it is accepted when another one goes."""
    endpoints = [{"name": f"n{n}", "url": f"http://127.0.0.1:{n + 1}"} for n in range(10)]
    for number in range(21):
        cluster.write(namespace, f"write-{number:02}", {"endpoints": endpoints})
    cluster.wait_for(namespace, "write-20", "Accepted", "False/TooManyEndpoints", plural=_WRITES)
    assert cluster.condition(namespace, "write-00", "Accepted", _WRITES) == "True/Accepted"
    cluster.kubectl("delete", "pywrite", "-n", namespace, "write-00", "--timeout=10s")
    cluster.wait_for(namespace, "write-20", "Accepted", "True/Accepted", plural=_WRITES)
