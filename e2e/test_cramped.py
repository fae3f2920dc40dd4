"""What is told where the operator has hardly any room: connections, baselines and queue are as small as can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.conftest import LOOPBACK, StartApp, start_operator
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import Hostile, Operator, Receiver
from e2e.harness.wait import eventually

_CONNECTIONS = 10
_LIMITS = ("--max-connections", str(_CONNECTIONS), "--baseline-memory", "1KiB", "--queue-size", "64KiB")
_OFF = {name: {"enabled": False} for name in ("memory", "block", "mutex", "goroutine", "processCPU")}
_SELECTOR = {"selector": {"matchLabels": {"app": "checkout"}}}


@pytest.fixture(scope="module")
def operator(cluster: Cluster, receiver: Receiver, folder: Path) -> Iterator[Operator]:
    operator = start_operator(cluster, receiver, folder, *_LIMITS, *LOOPBACK)
    yield operator
    operator.end()


@pytest.mark.reaches("failures/MemoryFull")
def test_no_room_for_baselines(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    """What needs none is scraped as ever."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("large", app.ip, {"app": "checkout"}))
    profiles = {**_OFF, "memory": {"enabled": True}, "goroutine": {"enabled": True}}
    cluster.scrape(namespace, "large", {**_SELECTOR, "interval": "2s", "profilingConfig": profiles})
    cluster.wait_for(namespace, "large", "Scraping", "False/TargetsDown")
    (failure,) = cluster.status(namespace, "large")["failures"]
    assert (failure["profile"], failure["reason"]) == ("memory", "MemoryFull")
    assert "--baseline-memory" in failure["message"]
    eventually(lambda: len(receiver.profiles(pod="large", name="goroutine")) >= 2, "the other type arrives")


@pytest.mark.reaches("failures/TooManyClients")
def test_no_connection_left(cluster: Cluster, operator: Operator, namespace: str, folder: Path) -> None:
    """More targets that never answer than connections; when most of them are gone, there are enough."""
    hostile = Hostile(folder)
    try:
        for number in range(2 * _CONNECTIONS):
            pod = PodSpec(f"mute-{number}", f"127.0.73.{number + 1}", {"app": "checkout"}, port=hostile.port)
            cluster.run_pod(namespace, pod)
        profiles = {**_OFF, "goroutine": {"enabled": True}, "pathPrefix": "/hostile/black-hole"}
        cluster.scrape(namespace, "mute", {**_SELECTOR, "interval": "4s", "scrapeTimeout": "4s", "profilingConfig": profiles})

        def told() -> bool:
            failures = {f["reason"]: f["message"] for f in cluster.status(namespace, "mute").get("failures", ())}
            assert "--max-connections" in failures.get("TooManyClients", ""), failures
            return True

        eventually(told, "no connection is left", 40)
        for number in range(2, 2 * _CONNECTIONS):
            cluster.delete_pod(namespace, f"mute-{number}")
        eventually(
            lambda: {f["reason"] for f in cluster.status(namespace, "mute")["failures"]} == {"Timeout"}, "there are enough", 40
        )
    finally:
        hostile.stop()


@pytest.mark.reaches(
    *("Delivering/QueueFull", "Delivering/Delivered", "write:Delivering/QueueFull", "write:Delivering/Delivered")
)
def test_a_full_queue(cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp) -> None:
    """Pyroscope is away for longer than the queue lasts: both kinds say that profiles are lost, until it is back."""
    app = start_app("app")
    for number in range(8):
        cluster.run_pod(namespace, PodSpec(f"busy-{number}", app.ip, {"app": "checkout"}))
    endpoint = {"name": "main", "url": receiver.url, "minBackoff": "100ms", "maxBackoff": "1s"}
    cluster.write(namespace, "away", {"endpoints": [endpoint]})
    receiver.fault(status=503, count=1_000_000)
    profiles = {**_OFF, "goroutine": {"enabled": True}}
    spec = {**_SELECTOR, "interval": "1s", "profilingConfig": profiles, "forwardTo": [{"name": "away"}]}
    cluster.scrape(namespace, "busy", spec)
    cluster.wait_for(namespace, "busy", "Delivering", "False/QueueFull")
    cluster.wait_for(namespace, "away", "Delivering", "False/QueueFull", plural="pyroscopewrites")
    for name, plural in (("busy", "pyroscopescrapes"), ("away", "pyroscopewrites")):
        assert cluster.condition(namespace, name, "Ready", plural) == "False/QueueFull"
        conditions = cluster.status(namespace, name, plural)["conditions"]
        assert "the oldest profiles are lost" in next(c["message"] for c in conditions if c["type"] == "Delivering")
    receiver.fault(count=0)
    cluster.wait_for(namespace, "busy", "Delivering", "True/Delivered")
    cluster.wait_for(namespace, "away", "Delivering", "True/Delivered", plural="pyroscopewrites")
