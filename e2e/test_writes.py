"""PyroscopeWrites: fan-out to several real receivers, one of which is dead, changed, removed or not there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import DemoApp, Operator, Receiver, check_deltas
from e2e.harness.process import free_port
from e2e.harness.wait import eventually

_QUIET = {"processCPU": {"enabled": False}}
_FAST = {"selector": {"matchLabels": {"app": "checkout"}}, "interval": "2s", "profilingConfig": _QUIET}
_HASTE = {"minBackoff": "100ms", "maxBackoff": "500ms"}
_WRITES = "pyroscopewrites"
_GOROUTINE = "/debug/pprof/goroutine"


class Scene:
    """Writes of one namespace, and the receivers that they are about."""

    def __init__(self, cluster: Cluster, operator: Operator, namespace: str, folder: Path, stack: ExitStack) -> None:
        self.cluster, self.operator, self.namespace = cluster, operator, namespace
        self._folder, self._stack = folder, stack

    def receiver(self, name: str, *flags: str, port: int = 0) -> Receiver:
        receiver = Receiver(self._folder, *flags, port=port, name=f"{self.namespace}-{name}")
        self._stack.callback(lambda: receiver.running and receiver.kill())
        return receiver

    def write(self, name: str, *endpoints: dict[str, Any], **spec: Any) -> None:
        self.cluster.write(self.namespace, name, {"endpoints": [{**_HASTE, **endpoint} for endpoint in endpoints], **spec})

    def scrape(self, name: str, *writes: str) -> None:
        self.cluster.scrape(self.namespace, name, {**_FAST, "forwardTo": [{"name": write} for write in writes]})

    def wait(self, name: str, kind: str, wanted: str) -> None:
        """For a condition of a PyroscopeScrape."""
        self.cluster.wait_for(self.namespace, name, kind, wanted)

    def wait_write(self, name: str, kind: str, wanted: str) -> None:
        self.cluster.wait_for(self.namespace, name, kind, wanted, plural=_WRITES)

    def status(self, name: str) -> dict[str, Any]:
        """Of a PyroscopeWrite."""
        return self.cluster.status(self.namespace, name, _WRITES)

    def message(self, name: str, kind: str) -> str:
        """Of a condition of a PyroscopeScrape."""
        conditions = self.cluster.status(self.namespace, name)["conditions"]
        return next(str(c["message"]) for c in conditions if c["type"] == kind)

    def delivery(self, write: str, endpoint: str) -> dict[str, Any]:
        return self.operator.delivery()[f"{self.namespace}/{write}", endpoint]


@pytest.fixture
def scene(cluster: Cluster, operator: Operator, namespace: str, folder: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(cluster, operator, namespace, folder, stack)


def _pod(scene: Scene, start_app: StartApp, name: str = "app") -> DemoApp:
    app = start_app(name)
    scene.cluster.run_pod(scene.namespace, PodSpec(name, app.ip, {"app": "checkout"}))
    return app


def _assert_complete(app: DemoApp, *receivers: Receiver, pod: str = "app") -> None:
    """By the app's own log: whatever it served arrived, once."""
    eventually(lambda: len(app.requests(_GOROUTINE)) >= 5, f"{app.name} is scraped")
    served = len(app.requests(_GOROUTINE))
    for receiver in receivers:
        eventually(lambda of=receiver: len(of.profiles(pod=pod, name="goroutine")) >= served, "nothing is missing")  # type: ignore[misc]
        assert receiver.stats()["duplicates"] == 0
        check_deltas(receiver, [app.recording], "/debug/pprof/allocs", {"pod": pod, "__name__": "memory"})


def _served(app: DemoApp, more: int) -> None:
    mark = len(app.requests(_GOROUTINE))
    eventually(lambda: len(app.requests(_GOROUTINE)) >= mark + more, f"{app.name} is scraped")


def test_a_dead_endpoint_costs_the_others_nothing(scene: Scene, start_app: StartApp) -> None:
    """Two writes, one of them with two endpoints, of which one is dead at first."""
    app, port = _pod(scene, start_app), free_port()
    first, second = scene.receiver("first"), scene.receiver("second")
    scene.write("fan", {"name": "living", "url": first.url}, {"name": "dead", "url": f"http://127.0.0.1:{port}"})
    scene.write("other", {"name": "main", "url": second.url})
    scene.scrape("checkout", "fan", "other")
    scene.wait("checkout", "Delivering", "False/PushFailing")
    assert f"{scene.namespace}/fan/dead: Unreachable" in scene.message("checkout", "Delivering")
    scene.wait_write("fan", "Delivering", "False/PushFailing")
    scene.wait_write("other", "Ready", "True/Delivered")
    assert scene.status("fan")["summary"] == "1/2"
    by_name = {one["name"]: one for one in scene.status("fan")["endpoints"]}
    assert by_name["dead"]["reason"] == "Unreachable" and by_name["dead"]["failingSince"]
    assert "reason" not in by_name["living"]
    _served(app, 5)
    _assert_complete(app, first, second)
    assert scene.delivery("fan", "dead")["sent"] == 0
    columns = scene.cluster.kubectl("get", "pywrite", "-n", scene.namespace, "fan").splitlines()
    assert columns[0].split() == ["NAME", "READY", "ENDPOINTS", "DELIVERING", "AGE"]
    assert columns[1].split()[1:4] == ["False", "1/2", "False"]

    dead = scene.receiver("dead", port=port)
    scene.wait("checkout", "Delivering", "True/Delivered")
    scene.wait_write("fan", "Ready", "True/Delivered")
    assert scene.status("fan")["summary"] == "2/2"
    _assert_complete(app, first, second, dead)
    told = eventually(lambda: found if len(found := scene.cluster.events(scene.namespace, "fan")) >= 2 else [], "both Events")
    assert [(kind, reason) for kind, reason, _ in told] == [("Warning", "PushFailing"), ("Normal", "Delivered")]


@pytest.mark.reaches("Accepted/WriteNotFound")
def test_a_write_that_is_not_there(scene: Scene, start_app: StartApp) -> None:
    app = _pod(scene, start_app)
    scene.scrape("checkout", "missing")
    scene.wait("checkout", "Accepted", "False/WriteNotFound")
    assert f"there is no PyroscopeWrite {scene.namespace}/missing" in scene.message("checkout", "Accepted")
    assert not app.requests()
    receiver = scene.receiver("main")
    scene.write("missing", {"name": "main", "url": receiver.url})
    scene.wait("checkout", "Ready", "True/AllUp")
    _assert_complete(app, receiver)
    scene.cluster.kubectl("delete", "pywrite", "-n", scene.namespace, "missing", "--timeout=10s")
    scene.wait("checkout", "Accepted", "False/WriteNotFound")


def test_a_change_under_load_loses_nothing(scene: Scene, start_app: StartApp) -> None:
    """What waits for a dead address goes to the new one at once; then it moves between two living ones, several times."""
    app, first, second = _pod(scene, start_app), scene.receiver("first"), scene.receiver("second")
    scene.write("moving", {"name": "main", "url": f"http://127.0.0.1:{free_port()}", "maxBackoff": "10m"})
    scene.scrape("checkout", "moving")
    scene.wait("checkout", "Delivering", "False/PushFailing")
    _served(app, 3)
    scene.write("moving", {"name": "main", "url": first.url})
    scene.wait("checkout", "Delivering", "True/Delivered")
    for url in (second.url, first.url, second.url):
        scene.write("moving", {"name": "main", "url": url})
        _served(app, 2)
    served = len(app.requests(_GOROUTINE))

    def arrived() -> bool:
        found = [len(receiver.profiles(pod="app", name="goroutine")) for receiver in (first, second)]
        assert all(found) and sum(found) >= served, (found, served)
        return True

    eventually(arrived, "nothing is missing")
    assert scene.delivery("moving", "main")["dropped"] == 0


def test_a_removed_endpoint(scene: Scene, start_app: StartApp) -> None:
    """What it does not take in time is counted, and nobody is in trouble because of it."""
    app, first = _pod(scene, start_app), scene.receiver("first")
    gone = {"name": "gone", "url": f"http://127.0.0.1:{free_port()}"}
    scene.write("fan", {"name": "stays", "url": first.url}, gone)
    scene.scrape("checkout", "fan")
    scene.wait("checkout", "Delivering", "False/PushFailing")
    scene.write("fan", {"name": "stays", "url": first.url})
    scene.wait("checkout", "Delivering", "True/Delivered")
    where = {"write": f"{scene.namespace}/fan", "endpoint": "gone"}
    eventually(
        lambda: scene.operator.metric("profiles_dropped_total", **where, reason="EndpointRemoved") > 0, "the rest is counted"
    )
    assert (f"{scene.namespace}/fan", "gone") not in scene.operator.delivery()
    assert [one["name"] for one in scene.status("fan")["endpoints"]] == ["stays"]
    _assert_complete(app, first)


def test_labels_and_tenants_arrive(scene: Scene, start_app: StartApp) -> None:
    _pod(scene, start_app)
    strict, open_to_all = scene.receiver("strict", "--require-tenant", "team-a"), scene.receiver("open")
    labels = {"cluster": "eu-1", "service_repository": "https://git.example.com/shop"}
    scene.write(
        "labelled",
        {"name": "strict", "url": strict.url, "tenantID": "team-a"},
        {"name": "open", "url": open_to_all.url},
        externalLabels=labels,
    )
    scene.scrape("checkout", "labelled")
    scene.wait("checkout", "Ready", "True/AllUp")
    for receiver, tenant in ((strict, "team-a"), (open_to_all, "")):
        found = eventually(lambda of=receiver: of.profiles(pod="app", cluster="eu-1"), "labelled profiles")  # type: ignore[misc]
        assert labels.items() <= found[0]["labels"].items()
        assert found[0]["labels"]["namespace"] == scene.namespace
        assert found[0].get("tenant", "") == tenant


def test_a_write_that_breaks_goes_on(scene: Scene, start_app: StartApp) -> None:
    """Its Secret is missing from now on: what ran runs on, and the status says why. One that never ran does not."""
    app, receiver = _pod(scene, start_app), scene.receiver("main")
    scene.write("main", {"name": "main", "url": receiver.url})
    token = {"name": "nowhere", "key": "token"}
    scene.write("never", {"name": "main", "url": receiver.url, "bearerTokenSecret": token})
    scene.scrape("checkout", "main")
    scene.wait("checkout", "Ready", "True/AllUp")
    scene.write("main", {"name": "main", "url": receiver.url, "bearerTokenSecret": token})
    scene.wait_write("main", "Accepted", "False/SecretNotFound")
    assert "profiles are written as before" in scene.status("main")["conditions"][1]["message"]
    _served(app, 3)
    _assert_complete(app, receiver)
    assert scene.cluster.condition(scene.namespace, "checkout", "Ready") == "True/AllUp"

    scene.wait_write("never", "Accepted", "False/SecretNotFound")
    scene.scrape("checkout", "never")
    scene.wait("checkout", "Delivering", "False/PushFailing")
    assert f"{scene.namespace}/never: WriteNotAccepted" in scene.message("checkout", "Delivering")
    where = {"write": f"{scene.namespace}/never", "reason": "WriteNotAccepted"}
    assert scene.operator.metric("profiles_dropped_total", **where) > 0
    scene.write("never", {"name": "main", "url": receiver.url})
    scene.wait("checkout", "Delivering", "True/Delivered")


def test_figures(scene: Scene, start_app: StartApp) -> None:
    """They are in the status, and change without a write for each profile."""
    _pod(scene, start_app)
    receiver = scene.receiver("main")
    scene.write("main", {"name": "main", "url": receiver.url})
    scene.scrape("checkout", "main")
    scene.wait_write("main", "Ready", "True/Delivered")
    eventually(lambda: scene.delivery("main", "main")["sent"] >= 15, "more is sent")
    before = scene.cluster.get(scene.namespace, "main", _WRITES)["metadata"]["resourceVersion"]
    (endpoint,) = scene.status("main")["endpoints"]
    assert 0 < endpoint["sent"] < 15 and endpoint["dropped"] == 0 and endpoint["lastPushTime"]
    sent = scene.delivery("main", "main")["sent"]
    eventually(lambda: scene.delivery("main", "main")["sent"] >= sent + 10, "even more is sent")
    assert scene.cluster.get(scene.namespace, "main", _WRITES)["metadata"]["resourceVersion"] == before
