"""Status of 500 objects: how often it is written, by the API server's own count."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.conftest import LOOPBACK
from e2e.harness.cluster import SCRAPES, Cluster, PodSpec
from e2e.harness.parts import DemoApp, Operator, Receiver
from e2e.harness.process import free_port
from e2e.harness.wait import eventually

_NAMESPACE = "many"
_OBJECTS = 500
_DOWN = 50
"""Objects whose only pod does not answer."""
_STATUS_INTERVAL = 10.0
"""Seconds between two writes of a status, at least; the default."""
_LATE = 1.0
"""Seconds by which a write may be seen later than the one before it, more or less."""
_RESTLESS, _QUIET = 35.0, 25.0
"""Seconds."""
_APP = "127.0.74.1"
_COLLECTION = f"{SCRAPES}/namespaces/{_NAMESPACE}/pyroscopescrapes"
_GOROUTINE = {
    **{name: {"enabled": False} for name in ("memory", "block", "mutex", "processCPU")},
    "goroutine": {"enabled": True},
}


class Watch:
    """When the API server told of a change of each object. Nobody but the operator changes any, and it changes only status."""

    def __init__(self, cluster: Cluster) -> None:
        self.seen: dict[str, list[float]] = defaultdict(list)
        """Monotonic time, by name."""
        version = cluster.api.get(_COLLECTION, params={"limit": 1}).json()["metadata"]["resourceVersion"]
        self._client = cluster.plane.client(cluster.api.headers["Authorization"].removeprefix("Bearer "))
        self._ended = False
        self._thread = threading.Thread(target=self._follow, args=(version,), daemon=True)
        self._thread.start()

    def _follow(self, version: str) -> None:
        params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "600"}
        try:
            with self._client.stream("GET", _COLLECTION, params=params, timeout=None) as response:
                for line in response.iter_lines():
                    event = json.loads(line)
                    self.seen[event["object"]["metadata"]["name"]].append(time.monotonic())
        except httpx.HTTPError:
            if not self._ended:
                raise

    def count(self) -> int:
        return sum(map(len, self.seen.values()))

    def close(self) -> None:
        self._ended = True
        self._client.close()


def _writes(cluster: Cluster) -> float:
    """Writes of a PyroscopeScrape's status that the API server has answered since it was started."""
    families = text_string_to_metric_families(cluster.api.get("/metrics").raise_for_status().text)
    samples = (sample for family in families for sample in family.samples if sample.name == "apiserver_request_total")
    return sum(sample.value for sample in samples if _is_status(sample.labels))


def _is_status(labels: Mapping[str, str]) -> bool:
    return labels["resource"] == "pyroscopescrapes" and labels["subresource"] == "status" and labels["verb"] != "GET"


def _pod(number: int, port: int) -> PodSpec:
    return PodSpec(f"pod-{number}", _APP, {"number": str(number)}, port=port)


@pytest.fixture(scope="module")
def app(binaries: None, folder: Path) -> Iterator[DemoApp]:
    app = DemoApp("everybody", folder, _APP, record=False)
    yield app
    app.stop()


@pytest.fixture
def objects(cluster: Cluster, app: DemoApp) -> Iterator[None]:
    """500 objects with a pod each, all of them the same process; of some, nobody listens on the port."""
    cluster.namespace(_NAMESPACE)
    dead = free_port(_APP)
    for number in range(_OBJECTS):
        cluster.run_pod(_NAMESPACE, _pod(number, dead if number < _DOWN else app.port))
        spec = {"selector": {"matchLabels": {"number": str(number)}}, "interval": "10s", "profilingConfig": _GOROUTINE}
        kind = {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeScrape"}
        manifest = {**kind, "metadata": {"name": f"object-{number}"}, "spec": spec}
        cluster.api.post(_COLLECTION, json=manifest).raise_for_status()
    yield
    for collection in (_COLLECTION, f"/api/v1/namespaces/{_NAMESPACE}/pods", f"/api/v1/namespaces/{_NAMESPACE}/events"):
        done = cluster.api.request("DELETE", collection, json={"gracePeriodSeconds": 0, "kind": "DeleteOptions"}, timeout=30)
        assert done.is_success, done.text


def _conditions(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Of each object, by type."""
    items: list[dict[str, Any]] = cluster.api.get(_COLLECTION, timeout=30).raise_for_status().json()["items"]
    return {
        item["metadata"]["name"]: {c["type"]: c["reason"] for c in item.get("status", {}).get("conditions", ())} for item in items
    }


def _settled(cluster: Cluster) -> bool:
    """Every object was scraped, and what it has to say was written."""
    found = _conditions(cluster)
    down = {name for name, conditions in found.items() if conditions.get("Scraping") == "TargetsDown"}
    fine = {name for name, c in found.items() if (c.get("Scraping"), c.get("Delivering")) == ("AllUp", "Delivered")}
    assert len(down) == _DOWN and len(fine) == _OBJECTS - _DOWN, (len(down), len(fine))
    return True


def _shake(cluster: Cluster, receiver: Receiver) -> None:
    """For a while, Pyroscope is away and back all the time, and pods are not ready and ready again."""
    began, turn = time.monotonic(), 0
    while time.monotonic() < began + _RESTLESS:
        receiver.fault(status=503, count=1_000_000 if turn % 2 else 0)
        for number in range(_DOWN, _DOWN + 20):
            pod = _pod(number, 6060)
            pod.phase = "Running" if turn % 2 else "Pending"
            cluster.set_status(_NAMESPACE, pod)
        turn += 1
        time.sleep(3)
    receiver.fault(count=0)
    for number in range(_DOWN, _DOWN + 20):
        cluster.set_status(_NAMESPACE, _pod(number, 6060))


def test_status_of_500_objects(
    cluster: Cluster, receiver: Receiver, folder: Path, objects: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """While things change, at most one write for each object and 10 s; while nothing does, none at all; none by a restart."""
    flags = ("--pyroscope-url", receiver.url, *LOOPBACK)
    operator = Operator(folder, *flags, name="many", kubeconfig=cluster.plane.kubeconfig)
    watch = Watch(cluster)
    try:
        before = _writes(cluster)
        operator.wait_ready()
        eventually(lambda: _settled(cluster), "all objects are told of", 90, 1)
        first = watch.count()
        _shake(cluster, receiver)
        eventually(lambda: _settled(cluster), "all is as before", 90, 1)
        shaken = watch.count() - first
        gaps = [later - earlier for times in watch.seen.values() for earlier, later in pairwise(times)]
        assert min(gaps) > _STATUS_INTERVAL - _LATE
        assert shaken > _OBJECTS, "things did change"

        time.sleep(_STATUS_INTERVAL + 2)  # what came too early for its object has been written then
        written, counted = _writes(cluster), operator.metric("status_writes_total", result="ok")
        time.sleep(_QUIET)
        assert _writes(cluster) == written
        assert operator.metric("status_writes_total") == counted == written - before == watch.count()
        assert operator.metric("scrape_loops") == _OBJECTS
        with capsys.disabled():
            print(f"\n{_OBJECTS} objects: {first} writes at first, {shaken} while all changed, shortest gap {min(gaps):.2f} s")
        assert operator.stop() == 0, operator.log_tail()

        written, operator = _writes(cluster), Operator(folder, *flags, name="again", kubeconfig=cluster.plane.kubeconfig)
        operator.wait_ready()
        arrived = receiver.last_seq()
        eventually(lambda: operator.metric("scrapes_total") >= _OBJECTS, "the next operator has scraped all", 60)
        eventually(lambda: len(receiver.profiles(arrived)) >= _OBJECTS - _DOWN, "and pushed", 60)
        time.sleep(3)
        assert _writes(cluster) == written, "a restart is no news"
        assert operator.metric("events_total") == 0
        assert operator.stop() == 0, operator.log_tail()
    finally:
        watch.close()
        if operator.running:
            operator.kill()
