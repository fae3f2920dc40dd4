"""The default write as an object. No other operator runs meanwhile: it would write status, too."""

from __future__ import annotations

from pathlib import Path

from e2e.conftest import LOOPBACK, StartApp, start_operator
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import Gate, Receiver
from e2e.harness.wait import eventually

_QUIET = {"processCPU": {"enabled": False}}
_FAST = {"selector": {"matchLabels": {"app": "checkout"}}, "interval": "2s", "profilingConfig": _QUIET}


def test_a_default_that_is_an_object(
    cluster: Cluster, receiver: Receiver, folder: Path, namespace: str, start_app: StartApp
) -> None:
    """--default-write instead of --pyroscope-url: objects without forwardTo wait for it, and go where it says."""
    app = start_app("app")
    cluster.run_pod(namespace, PodSpec("app", app.ip, {"app": "checkout"}))
    cluster.scrape(namespace, "checkout", _FAST)
    operator = start_operator(cluster, None, folder, "--default-write", f"{namespace}/default", *LOOPBACK)
    try:
        cluster.wait_for(namespace, "checkout", "Accepted", "False/WriteNotFound")
        cluster.write(namespace, "default", {"endpoints": [{"name": "main", "url": receiver.url, "tenantID": "all"}]})
        cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
        found = eventually(lambda: receiver.profiles(namespace=namespace, pod="app"), "profiles")
        assert found[0]["tenant"] == "all"
    finally:
        assert operator.stop() == 0


def test_a_default_behind_tls(
    cluster: Cluster, receiver: Receiver, folder: Path, namespace: str, start_app: StartApp, tmp_path: Path
) -> None:
    """The flags write-tls-*: who wants our certificate gets it, and is trusted by its own authority only."""
    gate = Gate(folder, "127.0.30.1", "127.0.30.2", name="gate-of-default-write")
    operators = []
    try:
        gate.forward_to(receiver)
        app = start_app("app")
        cluster.run_pod(namespace, PodSpec("app", app.ip, {"app": "checkout"}))
        cluster.scrape(namespace, "checkout", _FAST)
        for name in ("ca.crt", "other-ca.crt", "client.crt", "client.key"):
            (tmp_path / name).write_text(gate.pem(name))
        url = ("--pyroscope-url", f"https://{gate.faces['mtls']}")
        mine = ("--write-tls-cert-file", str(tmp_path / "client.crt"), "--write-tls-key-file", str(tmp_path / "client.key"))
        for authority, delivering in (("other-ca.crt", "False/PushFailing"), ("ca.crt", "True/Delivered")):
            flags = (*url, *mine, "--write-tls-ca-file", str(tmp_path / authority), "--shutdown-grace", "1s")
            operator = start_operator(cluster, None, folder, *flags, name=f"tls-{authority}")
            operators.append(operator)
            cluster.wait_for(namespace, "checkout", "Delivering", delivering)
            operator.end()
        assert receiver.profiles(namespace=namespace, pod="app")
    finally:
        for operator in operators:
            if operator.running:
                operator.end()
        gate.stop()
