"""The operator's own process: lease, restart, being down, and life in a pod."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from e2e.conftest import StartApp, start_operator
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import Operator, Receiver
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
