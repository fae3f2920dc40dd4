"""The API server goes away, hangs, forgets, forbids: scraping goes on, and catches up afterwards.

A control plane of its own, since other files' operators would suffer with it.
"""

from __future__ import annotations

import math
import os
import signal
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec, open_cluster
from e2e.harness.controlplane import ControlPlane
from e2e.harness.parts import DemoApp, Operator, Receiver, check_deltas
from e2e.harness.process import free_port
from e2e.harness.rights import ALL, LEASES, OBJECTS, PODS, Account
from e2e.harness.wait import eventually

_OUTAGE = 90.0
_INTERVAL = 3.0
_HANG = 20.0
_SWEEP = 5.0
_OFF = {name: {"enabled": False} for name in ("processCPU", "block", "mutex")}
_PROFILE = "/debug/pprof/goroutine"
_BACK = 8.0 + 5.0
"""Seconds after which the watches are back at the latest: Kopf's longest wait, and one restart of Kopf."""


@pytest.fixture(scope="module")
def cluster(binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with open_cluster(tmp_path_factory.mktemp("controlplane")) as cluster:
        yield cluster


@dataclass
class Scene:
    """Operators, each of which accepts the objects of one namespace only, that of its own name."""

    cluster: Cluster
    receiver: Receiver
    folder: Path
    pods: str
    """The namespace of the pods."""
    stack: ExitStack

    def operator(
        self, own: str, *flags: str, name: str = "", kubeconfig: Path | None = None, receiver: Receiver | None = None
    ) -> Operator:
        """`own`: its Lease, and the namespace of its objects."""
        common = ["--pyroscope-url", (receiver or self.receiver).url, "--privileged-namespaces", own, "--name", own]
        common += ["--lease-duration", "6s", "--sweep-period", f"{_SWEEP:g}s", "--status-interval", "1s"]
        kubeconfig = kubeconfig or self.cluster.plane.kubeconfig
        operator = Operator(self.folder, *common, *flags, name=f"{self.pods}-{name or own}", kubeconfig=kubeconfig)
        self.stack.callback(lambda: operator.kill() if operator.running else None)
        return operator

    def spec(self, app: str, **more: Any) -> dict[str, Any]:
        selector = {"selector": {"matchLabels": {"app": app}}, "namespaceSelector": {"matchNames": [self.pods]}}
        return {**selector, "interval": f"{_INTERVAL:g}s", "profilingConfig": _OFF, **more}


@pytest.fixture
def scene(cluster: Cluster, receiver: Receiver, folder: Path, namespace: str) -> Iterator[Scene]:
    with ExitStack() as stack:
        stack.callback(_revive, cluster.plane)
        yield Scene(cluster, receiver, folder, namespace, stack)


def _revive(plane: ControlPlane) -> None:
    """What failed is one test, not all that follow."""
    if not plane.apiserver.running:
        plane.apiserver = plane.start_apiserver()


def _pod(name: str, app: DemoApp, **options: Any) -> PodSpec:
    return PodSpec(name, app.ip, {"app": options.pop("label", name)}, **options)


def _times(app: DemoApp, path: str = _PROFILE) -> list[float]:
    return [entry["unixNano"] / 1e9 for entry in app.requests(path)]


def _assert_no_slot_missed(app: DemoApp, since: float, until: float) -> None:
    """By the target's own log: one scrape in each slot from one moment to another.

    A busy machine may be late by seconds; a scrape counts for its slot until the next one begins.
    """
    times = [at for at in _times(app) if since < at < until]
    offset = statistics.median((at - times[0] + _INTERVAL / 2) % _INTERVAL - _INTERVAL / 2 for at in times)
    slots = [math.floor((at - times[0] - offset + 0.3) / _INTERVAL) for at in times]
    assert slots == list(range(slots[0], slots[0] + len(slots))), [round(at - since, 2) for at in times]
    assert times[0] - since < 2 * _INTERVAL and until - times[-1] < 2 * _INTERVAL


def _assert_left_alone(apps: Sequence[DemoApp]) -> None:
    """Nobody asks them any more, though they would answer."""
    marks = [len(_times(app)) for app in apps]
    time.sleep(2 * _INTERVAL + 0.5)  # nothing to wait for: the proof is that nothing comes
    assert [len(_times(app)) for app in apps] == marks


def _scraped(app: DemoApp, path: str = _PROFILE, more: int = 1) -> None:
    mark = len(_times(app, path))
    eventually(lambda: len(_times(app, path)) >= mark + more, f"{app.name} is scraped at {path}")


def _addresses(operator: Operator) -> set[str]:
    return {address for address, _ in operator.scrapes()}


def _holder(cluster: Cluster, name: str) -> str:
    lease = cluster.api.get(f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{name}").raise_for_status().json()
    holder: str = lease["spec"]["holderIdentity"]
    return holder


def _assert_ready_without_api_server(operator: Operator) -> None:
    """A restart would not help, and would lose what the differences are taken from."""
    assert operator.get("/readyz").status_code == 200
    assert operator.get("/healthz").status_code == 200
    assert operator.metric("lease_held") == 1


def test_ninety_seconds_away(scene: Scene, start_app: StartApp) -> None:
    cluster, plane = scene.cluster, scene.cluster.plane
    app = {name: start_app(name) for name in ("steady", "orphan", "edited", "annotated", "replaced", "replacing", "added")}
    app["ghost"] = start_app("ghost", prefix="/deaf")
    main, deaf = _ninety_seconds_before(scene, app)
    standby = scene.operator("main", name="standby")
    leaver, leavers_receiver, leavers_app = _leaver(scene, start_app)
    eventually(lambda: "lease" in standby.get("/readyz").text, "the standby stands by")
    holder = _holder(cluster, "main")

    plane.apiserver.kill()  # in order, it would wait for the watches to end
    began = time.time()
    _change_behind_their_backs(scene, app)
    _start_and_stop(scene)
    late = scene.operator("late")
    _leave(leaver, leavers_receiver, leavers_app)
    eventually(lambda: late.get("/readyz").text == "the API server\n", "the late one waits")
    time.sleep(max(0.0, began + _OUTAGE - time.time()))
    for operator in (main, deaf):
        _assert_ready_without_api_server(operator)
        assert operator.metric("api_server_last_success_timestamp_seconds") < began + 1
    assert standby.get("/readyz").status_code == 503
    assert not _times(app["added"]) and not _times(app["replacing"])
    plane.apiserver = plane.start_apiserver()

    _assert_caught_up(scene, main, app)
    _assert_the_deaf_has_not(main, deaf, app)
    late.wait_ready()
    assert _holder(cluster, "main") == holder, "who stands by has waited through the outage, too"
    for name in ("steady", "edited", "annotated"):
        _assert_no_slot_missed(app[name], began - _INTERVAL, time.time())
    for operator in (standby, main, deaf, late):
        operator.end()
    memory = {"pod": "steady", "__name__": "memory"}
    check_deltas(scene.receiver, [app["steady"].recording], "/debug/pprof/allocs", memory, at_least=int(_OUTAGE / _INTERVAL))


def _ninety_seconds_before(scene: Scene, app: dict[str, DemoApp]) -> tuple[Operator, Operator]:
    """Everything is scraped; the second operator never sweeps, and scrapes only the ghost, below a path of its own."""
    cluster, later = scene.cluster, {"added", "replacing"}
    for name in ("main", "deaf"):
        cluster.namespace(name)
    for name in app.keys() - later:
        cluster.run_pod(scene.pods, _pod(name, app[name]))
    for name in app.keys() - {"replacing"}:
        cluster.scrape("main", name, scene.spec(name))
    cluster.scrape("deaf", "ghost", scene.spec("ghost", profilingConfig={**_OFF, "pathPrefix": "/deaf"}))
    main = scene.operator("main")
    # It may not write status, so that it doesn't contradict the first one.
    account = Account(cluster, "deaf", (PODS, OBJECTS, LEASES))
    deaf = scene.operator("deaf", "--sweep-period", "1h", kubeconfig=account.kubeconfig(scene.folder / "deaf-token"))
    for operator in (main, deaf):
        operator.wait_ready()
    for name in app.keys() - later:
        _scraped(app[name])
    _scraped(app["ghost"], "/deaf" + _PROFILE)
    return main, deaf


def _change_behind_their_backs(scene: Scene, app: dict[str, DemoApp]) -> None:
    """By another API server, of which the operators know nothing; what it has told is forgotten afterwards."""
    plane, pods, port = scene.cluster.plane, scene.pods, free_port()
    other = plane.start_apiserver(port)
    scene.stack.callback(other.kill)
    beside = Cluster(plane, port)
    scene.stack.callback(beside.close)
    beside.delete_pod(pods, "ghost")
    beside.delete_scrape("main", "orphan")
    beside.run_pod(pods, _pod("added", app["added"]))
    beside.scrape("main", "edited", scene.spec("edited", jobName="new-job"))
    beside.kubectl("annotate", "pod", "-n", pods, "annotated", "pyroscope.io/service_name=new-name")
    beside.delete_pod(pods, "replaced")
    beside.run_pod(pods, _pod("replaced", app["replacing"]))
    plane.compact()
    other.kill()


def _assert_caught_up(scene: Scene, main: Operator, app: dict[str, DemoApp]) -> None:
    back = time.time()
    wanted = {app[name].address for name in app.keys() - {"ghost", "orphan", "replaced"}}

    def caught_up() -> bool:
        assert _addresses(main) == wanted, _addresses(main) ^ wanted
        return True

    eventually(caught_up, "the dead are gone and the new are there", _BACK + _SWEEP + 5)
    print(f"caught up {time.time() - back:.1f} s after the API server was back")
    for name in ("added", "replacing"):
        _scraped(app[name])
    eventually(lambda: scene.receiver.profiles(pod="edited", job="new-job"), "the object's change is there")
    eventually(lambda: scene.receiver.profiles(pod="annotated", service_name="new-name"), "the pod's change is there")
    scene.cluster.wait_for("main", "added", "Ready", "True/AllUp")
    for resource in ("pods", "pyroscopescrapes"):
        assert main.metric("watch_missed_total", resource=resource, change="deleted") >= 1


def _assert_the_deaf_has_not(main: Operator, deaf: Operator, app: dict[str, DemoApp]) -> None:
    """The watches alone don't tell what was deleted: without sweeps the ghost is still scraped, with them nobody dead is."""
    eventually(lambda: deaf.metric("pods") == main.metric("pods") + 1, "the deaf one knows what was added, and the ghost")
    ghosts = "/deaf" + _PROFILE
    mark = len(_times(app["ghost"], ghosts))
    _assert_left_alone([app[name] for name in ("ghost", "orphan", "replaced")])
    assert len(_times(app["ghost"], ghosts)) > mark


def _start_and_stop(scene: Scene) -> None:
    """Without an API server: it waits, and ends when told so."""
    hopeless = scene.operator("hopeless")
    eventually(lambda: _says(hopeless, "waiting for the API server"), "it waits")
    answer = hopeless.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "the API server\n")
    assert hopeless.get("/healthz").status_code == 200
    assert hopeless.end() < 5


def _leaver(scene: Scene, start_app: StartApp) -> tuple[Operator, Receiver, DemoApp]:
    """An operator with a target and a Pyroscope of its own."""
    app, receiver = start_app("leaver"), Receiver(scene.folder / f"{scene.pods}-leaver")
    scene.stack.callback(receiver.kill)
    scene.cluster.namespace("leaver")
    scene.cluster.run_pod(scene.pods, _pod("leaver", app))
    scene.cluster.scrape("leaver", "leaver", scene.spec("leaver"))
    operator = scene.operator("leaver", receiver=receiver)
    operator.wait_ready()
    _scraped(app)
    return operator, receiver, app


def _leave(operator: Operator, receiver: Receiver, app: DemoApp) -> None:
    """SIGTERM without an API server: what is queued for a Pyroscope that is away, too, is pushed when that is back."""
    receiver.fault(count=1_000_000, status=503)
    _scraped(app, more=2)
    operator.process.send_signal(signal.SIGTERM)
    eventually(lambda: _says(operator, "stopping"), "it stops")
    receiver.fault(count=0)
    took = operator.ended()
    print(f"ended {took:.1f} s after SIGTERM")
    assert took < 15
    assert len(receiver.profiles(name="goroutine")) == len(_times(app))


def _says(operator: Operator, text: str) -> bool:
    return any(text in line["message"] for line in operator.log_lines())


def test_it_hangs_and_flaps(scene: Scene, start_app: StartApp) -> None:
    """First it takes connections and answers nothing, then it dies several times in a row, half started or just ready."""
    cluster, plane, pods = scene.cluster, scene.cluster.plane, scene.pods
    steady, ghost, added = start_app("steady"), start_app("ghost"), start_app("added")
    cluster.namespace("main")
    for name, app in (("steady", steady), ("ghost", ghost)):
        cluster.run_pod(pods, PodSpec(name, app.ip, {"app": "flapping"}))
    cluster.scrape("main", "flapping", scene.spec("flapping"))
    main = scene.operator("main")
    main.wait_ready()
    leaver, leavers_receiver, leavers_app = _leaver(scene, start_app)
    _scraped(steady)

    began = time.time()
    os.kill(plane.apiserver.pid, signal.SIGSTOP)
    _leave(leaver, leavers_receiver, leavers_app)
    time.sleep(max(0.0, began + _HANG - time.time()))
    _assert_ready_without_api_server(main)
    os.kill(plane.apiserver.pid, signal.SIGCONT)
    cluster.run_pod(pods, PodSpec("added", added.ip, {"app": "flapping"}))
    back = time.time()
    _scraped(added)
    print(f"scraped {time.time() - back:.1f} s after the API server went on")

    for lives in (1.0, 3.0):
        plane.apiserver.kill()
        plane.apiserver = plane.start_apiserver(wait=False)
        time.sleep(lives)  # it dies at whatever it does then
    plane.apiserver.kill()
    plane.apiserver = plane.start_apiserver()
    cluster.delete_pod(pods, "ghost")
    plane.apiserver.kill()
    plane.apiserver = plane.start_apiserver()
    eventually(lambda: _addresses(main) == {steady.address, added.address}, "the dead one is gone", _BACK + _SWEEP + 5)
    _assert_no_slot_missed(steady, began, time.time())
    main.end()


def test_forbidden_and_expired(scene: Scene, start_app: StartApp) -> None:
    """One right is taken away, then the other, then the token is worth nothing: what is left goes on, and all comes back."""
    account = Account(scene.cluster, "main")
    token = scene.folder / "main-token"
    app = {name: start_app(name) for name in ("steady", "first", "second", "third")}
    scene.cluster.namespace("main")
    scene.cluster.run_pod(scene.pods, PodSpec("steady", app["steady"].ip, {"app": "guarded"}))
    scene.cluster.scrape("main", "guarded", scene.spec("guarded"))
    main = scene.operator("main", kubeconfig=account.kubeconfig(token))
    main.wait_ready()
    _scraped(app["steady"])
    began = time.time()

    _without_pods(scene, account, main, app["first"])
    _without_objects(scene, account, app["second"])
    _without_a_valid_token(scene, account, main, token, app["third"])

    _assert_no_slot_missed(app["steady"], began, time.time())
    main.end()


def _cut_the_watches(plane: ControlPlane) -> None:
    """Rights and tokens are looked at when a watch begins, not while it goes on."""
    plane.apiserver.kill()
    plane.apiserver = plane.start_apiserver()


def _arrives(scene: Scene, pod: str, **labels: str) -> None:
    eventually(lambda: scene.receiver.profiles(pod=pod, name="goroutine", **labels), f"{pod} with {labels} arrives")


def _without_pods(scene: Scene, account: Account, main: Operator, added: DemoApp) -> None:
    """403 on pods: objects are still noticed."""
    account.allow(*(rule for rule in ALL if rule is not PODS))
    _cut_the_watches(scene.cluster.plane)
    eventually(lambda: _says(main, "can't list pods"), "it is told")
    scene.cluster.run_pod(scene.pods, PodSpec("first", added.ip, {"app": "guarded"}))
    scene.cluster.scrape("main", "guarded", scene.spec("guarded", jobName="without-pods"))
    _arrives(scene, "steady", job="without-pods")
    assert main.get("/readyz").status_code == 200
    assert not _times(added)
    account.allow(*ALL)
    _scraped(added)


def _without_objects(scene: Scene, account: Account, added: DemoApp) -> None:
    """403 on objects: pods are still noticed, and also those that are gone."""
    account.allow(*(rule for rule in ALL if rule is not OBJECTS))
    _cut_the_watches(scene.cluster.plane)
    scene.cluster.delete_pod(scene.pods, "first")
    scene.cluster.run_pod(scene.pods, PodSpec("second", added.ip, {"app": "guarded"}))
    scene.cluster.scrape("main", "guarded", scene.spec("guarded", jobName="without-objects"))
    _scraped(added)
    _arrives(scene, "second", job="without-pods")
    account.allow(*ALL)
    _arrives(scene, "second", job="without-objects")


def _without_a_valid_token(scene: Scene, account: Account, main: Operator, token: Path, added: DemoApp) -> None:
    """401 on everything, until there is another token in the file."""
    account.replace()
    _cut_the_watches(scene.cluster.plane)
    scene.cluster.run_pod(scene.pods, PodSpec("third", added.ip, {"app": "guarded"}))
    eventually(lambda: _says(main, "the watches ended and are started again: credentials refused"), "the watches are refused")
    eventually(lambda: _says(main, "the API server answered 401"), "our own calls are refused")
    assert main.get("/readyz").status_code == 200
    assert not _times(added)
    renewed = time.time()
    fresh = token.with_name("fresh-token")
    fresh.write_text(account.token())
    fresh.rename(token)
    _scraped(added)
    for resource in ("pods", "pyroscopescrapes"):
        eventually(lambda of=resource: main.metric("sweep_last_success_timestamp_seconds", resource=of) > renewed, resource)  # type: ignore[misc]
    eventually(lambda: scene.cluster.status("main", "guarded")["summary"] == "3/3", "the status is written")
    eventually(lambda: _says(main, "the lease is renewed again"), "the lease is renewed")
    took = time.time() - renewed
    print(f"everything is back {took:.1f} s after the new token")
    assert took < 30
