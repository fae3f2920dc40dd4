"""The operator's own process: lease, restart, being down, and life in a pod."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.conftest import StartApp, start_operator
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import DemoApp, Operator, Receiver, check_deltas
from e2e.harness.rights import Account
from e2e.harness.wait import eventually

_SPEC = {
    "selector": {"matchLabels": {"app": "checkout"}},
    "interval": "3s",
    "profilingConfig": {"processCPU": {"enabled": False}},
}
_FLAGS = ("--lease-duration", "3s")


def _holder(cluster: Cluster) -> str:
    lease = cluster.api.get("/apis/coordination.k8s.io/v1/namespaces/default/leases/pyroscope-operator")
    holder: str = lease.json()["spec"].get("holderIdentity", "") if lease.is_success else ""
    return holder


def test_one_is_active_the_other_takes_over(
    cluster: Cluster, receiver: Receiver, folder: Path, namespace: str, start_app: StartApp
) -> None:
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("one", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "checkout", _SPEC)
    first = start_operator(cluster, receiver, folder, *_FLAGS, name="first")
    second = Operator(folder, "--pyroscope-url", receiver.url, *_FLAGS, name="second", kubeconfig=cluster.plane.kubeconfig)
    try:
        cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
        eventually(lambda: any("standing by" in line["message"] for line in second.log_lines()), "the second stands by")
        assert second.get("/readyz").status_code == 503 and "lease" in second.get("/readyz").text
        assert not second.scrapes()
        times = [entry["unixNano"] / 1e9 for entry in app.requests("/debug/pprof/goroutine")]

        first.kill()  # no chance to release
        second.wait_ready(30)
        eventually(lambda: len(app.requests("/debug/pprof/goroutine")) >= len(times) + 2, "the second scrapes")
        phases = [entry["unixNano"] / 1e9 % 3 for entry in app.requests("/debug/pprof/goroutine")]
        assert max(phases) - min(phases) < 0.4 or max(phases) - min(phases) > 2.6, "the phase outlives the process"

        assert second.stop() == 0
        eventually(lambda: not _holder(cluster), "a clean end releases the lease")
        third = start_operator(cluster, receiver, folder, *_FLAGS, name="third")
        started = next(line for line in third.log_lines() if line["message"] == "started")["time"]
        held = next(line for line in third.log_lines() if line["message"] == "holding the lease")["time"]
        assert started[:16] == held[:16]
        assert third.stop() == 0
    finally:
        for operator in (first, second):
            if operator.running:
                operator.kill()


def test_deleting_with_the_operator_down(
    cluster: Cluster, receiver: Receiver, folder: Path, namespace: str, start_app: StartApp
) -> None:
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("left", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "checkout", _SPEC)
    before = start_operator(cluster, receiver, folder, *_FLAGS, name="before")
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    assert before.stop() == 0

    started = time.monotonic()
    cluster.delete_scrape(namespace, "checkout")
    assert time.monotonic() - started < 5
    gone = cluster.kubectl("get", "pyscrape", "-n", namespace, "checkout", check=False)
    assert "NotFound" in gone
    mark = len(app.requests())
    after = start_operator(cluster, receiver, folder, *_FLAGS, name="after")
    assert not after.scrapes()
    assert after.stop() == 0
    assert len(app.requests()) == mark


def test_status_survives_a_restart_unchanged(
    cluster: Cluster, receiver: Receiver, folder: Path, namespace: str, start_app: StartApp
) -> None:
    """Transition times are not moved by a new process, and the object is not written without need."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("kept", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "checkout", _SPEC)
    before = start_operator(cluster, receiver, folder, *_FLAGS, name="status-before")
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    time.sleep(2)
    kept = {c["type"]: c["lastTransitionTime"] for c in cluster.status(namespace, "checkout")["conditions"]}
    assert before.stop() == 0
    after = start_operator(cluster, receiver, folder, *_FLAGS, name="status-after")
    eventually(lambda: after.scrapes() and all(s["state"] == "up" for s in after.scrapes().values()), "all scraped again")
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    found = {c["type"]: c["lastTransitionTime"] for c in cluster.status(namespace, "checkout")["conditions"]}
    assert found["Accepted"] == kept["Accepted"]
    assert found["Discovered"] == kept["Discovered"]
    assert after.stop() == 0


Start = Callable[..., Operator]


@pytest.fixture
def start(cluster: Cluster, receiver: Receiver, folder: Path) -> Iterator[Start]:
    """Starts operators; none outlives the test."""
    with ExitStack() as stack:

        def start(name: str, *flags: str, environment: dict[str, str]) -> Operator:
            flags = ("--pyroscope-url", receiver.url, *flags)
            operator = Operator(folder, *flags, name=name, kubeconfig=cluster.plane.kubeconfig, environment=environment)
            stack.callback(lambda: operator.kill() if operator.running else None)
            return operator

        yield start
        receiver.fault(count=0)


def _strict(start: Start, name: str, *flags: str) -> Operator:
    """In Python's development mode: asyncio's debug mode, and every warning is written to stderr."""
    return start(name, *_FLAGS, *flags, environment={"PYTHONDEVMODE": "1"})


def test_sigterm_at_any_moment(cluster: Cluster, receiver: Receiver, namespace: str, start_app: StartApp, start: Start) -> None:
    """Whatever it does: exit code 0 within the grace, nothing left over, the Lease released."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("one", app.ip, {"app": "checkout"}))
    cpu = {**_SPEC, "deltaProfilingDuration": "2s", "profilingConfig": {"processCPU": {"enabled": True}}}
    cluster.scrape(namespace, "checkout", cpu)

    early = _strict(start, "early")
    eventually(early.stderr.read_text, "it has begun", pause=0.01)
    assert early.end() < 5

    busy = _strict(start, "busy")
    busy.wait_ready()
    standby = _strict(start, "standby")
    profiles = "/debug/pprof/profile"
    eventually(lambda: app.requests(profiles), "a CPU profile was taken")
    eventually(lambda: standby.get("/readyz").text.startswith("the lease"), "it stands by")
    assert standby.end() < 5
    next_one = app.requests(profiles)[-1]["unixNano"] / 1e9 + 3
    time.sleep(max(0.0, next_one + 1 - time.time()))  # it takes 2 s
    assert busy.end() < 5
    assert not _holder(cluster)

    stalled = _strict(start, "stalled", "--shutdown-grace", "3s")
    stalled.wait_ready()
    _stall(receiver)
    assert 2 < stalled.end() < 3 + 3
    assert not _holder(cluster)


def test_a_second_sigterm_ends_at_once(
    cluster: Cluster, receiver: Receiver, namespace: str, start_app: StartApp, start: Start
) -> None:
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("one", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "checkout", _SPEC)
    operator = _strict(start, "impatient", "--shutdown-grace", "60s")
    operator.wait_ready()
    _stall(receiver)
    operator.process.send_signal(signal.SIGTERM)
    eventually(lambda: any(line["message"] == "stopping" for line in operator.log_lines()), "it stops")
    assert operator.stop(2) == 1
    operator.check_log()


def _stall(receiver: Receiver) -> None:
    """From now on pushes are not answered; returns when the first one waits."""
    before = receiver.stats()["requests"]
    receiver.fault(count=1_000_000, delayMs=60_000)
    eventually(lambda: receiver.stats()["requests"] > before, "a push stalls")


def test_killed_and_started_again(
    cluster: Cluster, receiver: Receiver, folder: Path, namespace: str, start_app: StartApp, start: Start
) -> None:
    """As the kubelet does it: the same pod, another process. The Lease is still its own."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("kept", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "checkout", {**_SPEC, "interval": "2s"})
    first = _life(start, "first-life")
    eventually(lambda: len(receiver.profiles(pod="kept", name="memory", life="first-life")) >= 2, "two differences")
    first.kill()
    killed = time.time()
    second = _life(start, "second-life")
    second.wait_ready()
    away = time.time() - killed
    eventually(lambda: len(receiver.profiles(pod="kept", name="memory", life="second-life")) >= 3, "three more")
    second.end()

    for path in ("goroutine", "allocs", "mutex", "block"):
        _assert_one_interval_lost(app, f"/debug/pprof/{path}", killed, away)
    assert not any(profile["negative"] for profile in receiver.profiles(pod="kept"))
    since_then = _recorded_since(app.recording, killed, folder / "second-life-recording")
    for name, path in (("memory", "allocs"), ("mutex", "mutex"), ("block", "block")):
        labels = {"pod": "kept", "__name__": name, "life": "second-life"}
        check_deltas(receiver, [since_then], f"/debug/pprof/{path}", labels, at_least=3)


def _life(start: Start, name: str) -> Operator:
    return start(name, "--write-external-labels", f"life={name}", environment={"POD_NAME": "operator-0"})


def _assert_one_interval_lost(app: DemoApp, path: str, killed: float, away: float) -> None:
    """The slots stay where they were; besides those of the time that the process was away, one at most is missing."""
    times = [entry["unixNano"] / 1e9 for entry in app.requests(path)]
    before, after = max(at for at in times if at < killed), min(at for at in times if at > killed)
    slots = [(at - before) / 2 for at in times]
    assert all(abs(slot - round(slot)) * 2 < 0.4 for slot in slots), slots
    assert after - before < away + 2 * 2 + 0.4


def _recorded_since(recording: Path, moment: float, folder: Path) -> Path:
    """The part of a recording that a new process has seen: it begins with a baseline of its own."""
    folder.mkdir()
    lines = [line for line in (recording / "index.jsonl").read_text().splitlines() if json.loads(line)["unixNano"] > moment * 1e9]
    (folder / "index.jsonl").write_text("".join(f"{line}\n" for line in lines))
    for line in lines:
        name = json.loads(line)["file"]
        (folder / name).hardlink_to(recording / name)
    return folder


def test_without_the_crd_or_a_cluster(binaries: None, folder: Path) -> None:
    alone = Operator(folder, "--pyroscope-url", "http://127.0.0.1:1", name="alone", environment={"HOME": str(folder)})
    assert alone.process.wait(30) == 2
    assert "KUBECONFIG" in alone.log_tail() and "--standalone" in alone.log_tail()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a mount namespace plays the pod's file system")
def test_in_cluster_with_least_rights(
    cluster: Cluster, receiver: Receiver, folder: Path, namespace: str, start_app: StartApp
) -> None:
    """A service account's token and CA where a pod has them, and only the rights that the operator needs."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("inside", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "checkout", _SPEC)
    mounted = _service_account(cluster, folder)
    host, port = cluster.plane.url.removeprefix("https://").split(":")
    operator = Operator(
        folder,
        "--pyroscope-url",
        receiver.url,
        "--status-interval",
        "1s",
        name="in-pod",
        wrapper=_as_in_a_pod(mounted),
        environment={"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "HOME": str(folder)},
    )
    try:
        operator.wait_ready()
        cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
        assert _holder(cluster)
        assert operator.stop() == 0
        assert not [line for line in operator.log_lines() if line["level"] != "INFO"]
    finally:
        if operator.running:
            operator.kill()


def _as_in_a_pod(mounted: Path) -> list[str]:
    """Runs a command in a mount namespace of its own, in which /run/secrets is as a pod has it."""
    script = "mount -t tmpfs tmpfs /run && mkdir -p /run/secrets/kubernetes.io && "
    script += f'ln -s {mounted} /run/secrets/kubernetes.io/serviceaccount && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


def _service_account(cluster: Cluster, folder: Path) -> Path:
    mounted = folder / "serviceaccount"
    mounted.mkdir()
    (mounted / "token").write_text(Account(cluster, "pyroscope-operator").token())
    (mounted / "ca.crt").write_bytes((cluster.plane.folder / "certs/apiserver.crt").read_bytes())
    (mounted / "namespace").write_text("default")
    return mounted
