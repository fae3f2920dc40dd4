"""What tests and the demo do in the cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.harness.build import BIN, ROOT
from e2e.harness.controlplane import ADMIN_TOKEN, ControlPlane
from e2e.harness.reasons import look
from e2e.harness.wait import eventually

SCRAPES = "/apis/pyroscope-operator.dev/v1alpha1"


@dataclass
class PodSpec:
    """A pod without a kubelet: a test says what its status is, a process plays the container."""

    name: str
    ip: str
    labels: Mapping[str, str]
    port: int = 6060
    port_name: str = "pprof"
    container: str = "app"
    annotations: Mapping[str, str] = field(default_factory=dict)
    phase: str = "Running"
    ready: bool = True
    restarts: int = 0
    more: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Further containers by name: what their port is called, and its number."""

    def manifest(self) -> dict[str, Any]:
        ports = {self.container: (self.port_name, self.port), **self.more}
        containers = [
            {"name": name, "image": "testbed/demoapp:1", "ports": [{"name": port_name, "containerPort": port}]}
            for name, (port_name, port) in ports.items()
        ]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "labels": dict(self.labels), "annotations": dict(self.annotations)},
            "spec": {"nodeName": "testbed", "containers": containers},
        }

    def status(self) -> dict[str, Any]:
        ready = "True" if self.ready else "False"
        return {
            "phase": self.phase,
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "hostIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [
                {
                    "name": name,
                    "ready": self.ready,
                    "restartCount": self.restarts,
                    "image": "testbed/demoapp:1",
                    "imageID": "",
                    "containerID": f"containerd://{self.name}-{self.restarts}",
                    "state": {"running": {}},
                }
                for name in (self.container, *self.more)
            ],
        }


class Cluster:
    """A control plane with the CRDs installed, as the administrator sees it."""

    def __init__(self, plane: ControlPlane, port: int = 0, *, crds: bool = True) -> None:
        """`port`: that of another API server than the plane's own, which has the CRDs already. `crds`: install them."""
        self.plane = plane
        self.api = plane.client(ADMIN_TOKEN, port)
        self.api.event_hooks = {"response": [look]}
        self._kubeconfig = (
            plane.write_kubeconfig(f"kubeconfig-{port}", {"token": ADMIN_TOKEN}, port) if port else plane.kubeconfig
        )
        self._cache = ("--cache-dir", str(plane.folder / "kubectl-cache"))
        if crds and not port:
            self._install()

    def _install(self) -> None:
        self.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        crds = [f"crd/{kind}.pyroscope-operator.dev" for kind in ("pyroscopescrapes", "pyroscopewrites")]
        self.kubectl("wait", "--for=condition=Established", *crds, "--timeout=30s")
        # Discovery lags behind, and kubectl believes its cache: both must know the new kinds.
        listing = ("api-resources", "--api-group=pyroscope-operator.dev", "--cached=false")
        eventually(lambda: "pywrite" in self.kubectl(*listing, check=False), "kubectl knows pywrite")

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run the real kubectl; returns what it printed."""
        command = [str(BIN / "kubectl"), "--kubeconfig", str(self._kubeconfig), *self._cache, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout if check else done.stdout + done.stderr

    def namespace(self, name: str, **labels: str) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        assert self.api.post("/api/v1/namespaces", json=body).status_code in {201, 409}

    def apply(self, manifest: Mapping[str, Any] | str) -> None:
        self.kubectl("apply", "-f", "-", stdin=manifest if isinstance(manifest, str) else json.dumps(manifest))

    def scrape(self, namespace: str, name: str, spec: Mapping[str, Any]) -> None:
        """Apply a PyroscopeScrape."""
        kind = {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeScrape"}
        self.apply({**kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec})

    def write(self, namespace: str, name: str, spec: Mapping[str, Any]) -> None:
        """Apply a PyroscopeWrite."""
        kind = {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeWrite"}
        self.apply({**kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec})

    def get(self, namespace: str, name: str, plural: str = "pyroscopescrapes") -> dict[str, Any]:
        """A PyroscopeScrape, or an object of another kind, as the API server has it."""
        response = self.api.get(f"{SCRAPES}/namespaces/{namespace}/{plural}/{name}")
        assert response.is_success, f"{namespace}/{name}: HTTP {response.status_code}"
        found: dict[str, Any] = response.json()
        return found

    def status(self, namespace: str, name: str, plural: str = "pyroscopescrapes") -> dict[str, Any]:
        status: dict[str, Any] = self.get(namespace, name, plural).get("status", {})
        return status

    def condition(self, namespace: str, name: str, kind: str, plural: str = "pyroscopescrapes") -> str:
        """`<status>/<reason>` of a condition, such as `False/InvalidSpec`; empty where there is none."""
        conditions = self.status(namespace, name, plural).get("conditions", ())
        return next((f"{c['status']}/{c['reason']}" for c in conditions if c["type"] == kind), "")

    def events(self, namespace: str, name: str) -> list[tuple[str, str, str]]:
        """Type, reason and message of the Events about an object, oldest first."""
        found = self.api.get(f"/api/v1/namespaces/{namespace}/events").raise_for_status().json()["items"]
        mine = [event for event in found if event["involvedObject"]["name"] == name]
        mine.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [(event["type"], event["reason"], event["message"]) for event in mine]

    def wait_for(
        self, namespace: str, name: str, kind: str, wanted: str, timeout: float = 60, plural: str = "pyroscopescrapes"
    ) -> None:
        def reached() -> bool:
            seen = self.condition(namespace, name, kind, plural)
            assert seen == wanted, f"{seen or 'no condition'}: {self.status(namespace, name, plural)}"
            return True

        eventually(reached, f"{kind} of {namespace}/{name} is {wanted}", timeout)

    def delete_scrape(self, namespace: str, name: str) -> None:
        self.kubectl("delete", "pyscrape", "-n", namespace, name, "--timeout=10s")

    def run_pod(self, namespace: str, pod: PodSpec) -> None:
        """Create the pod and say that it runs."""
        created = self.api.post(f"/api/v1/namespaces/{namespace}/pods", json=pod.manifest())
        assert created.is_success, created.text
        self.set_status(namespace, pod)

    def annotate(self, namespace: str, pod: str, annotations: Mapping[str, str | None]) -> None:
        """Change annotations of a pod; None removes one."""
        done = self.api.patch(
            f"/api/v1/namespaces/{namespace}/pods/{pod}",
            json={"metadata": {"annotations": annotations}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert done.is_success, done.text

    def set_status(self, namespace: str, pod: PodSpec) -> None:
        done = self.api.patch(
            f"/api/v1/namespaces/{namespace}/pods/{pod.name}/status",
            json={"status": pod.status()},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert done.is_success, done.text

    def delete_pod(self, namespace: str, name: str) -> None:
        """No kubelet confirms the end of a pod, so it gets no grace."""
        done = self.api.request(
            "DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", json={"gracePeriodSeconds": 0, "kind": "DeleteOptions"}
        )
        assert done.is_success, done.text

    def close(self) -> None:
        self.api.close()


@contextmanager
def open_cluster(folder: Path, *, crds: bool = True, **options: Any) -> Iterator[Cluster]:
    """A control plane of its own in `folder` (`options` are its), by default with the CRDs; stopped at the end."""
    plane = ControlPlane(folder, **options)
    try:
        cluster = Cluster(plane, crds=crds)
        yield cluster
        cluster.close()
    finally:
        plane.stop()


def conditions(status: Mapping[str, Any]) -> dict[str, str]:
    """type → `<status>/<reason>`."""
    found: Sequence[Mapping[str, str]] = status.get("conditions", ())
    return {c["type"]: f"{c['status']}/{c['reason']}" for c in found}
