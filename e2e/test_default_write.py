"""The default write as an object. No other operator runs meanwhile: it would write status, too."""

from __future__ import annotations

from pathlib import Path

from e2e.conftest import StartApp, start_operator
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import Receiver
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
    operator = start_operator(cluster, None, folder, "--default-write", f"{namespace}/default")
    try:
        cluster.wait_for(namespace, "checkout", "Accepted", "False/WriteNotFound")
        cluster.write(namespace, "default", {"endpoints": [{"name": "main", "url": receiver.url, "tenantID": "all"}]})
        cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
        found = eventually(lambda: receiver.profiles(namespace=namespace, pod="app"), "profiles")
        assert found[0]["tenant"] == "all"
    finally:
        assert operator.stop() == 0
