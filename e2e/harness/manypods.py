"""Very many pods: put into an API server fast, over many connections, each as large as a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import httpx

from e2e.harness.cluster import Cluster

_CONNECTIONS = 16
_NOISE = "x" * 60


def manifest(number: int, ip: str, labels: dict[str, str], containers: int = 2) -> dict[str, Any]:
    """A pod of about 8 kB with the annotations, variables, volumes and probes that pods have."""
    app = f"service-{number % 200}"
    names = [("app", 6060), ("istio-proxy", 15090)][:containers]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{app}-7d9c6b5f4d-{number:05d}",
            "labels": {
                "app": app,
                "app.kubernetes.io/name": app,
                "pod-template-hash": "7d9c6b5f4d",
                "team": f"team-{number % 20}",
            }
            | labels,
            "annotations": {
                "checksum/config": f"{number % 200:064x}",
                "cni.projectcalico.org/containerID": f"{number:064x}",
                "cni.projectcalico.org/podIP": f"{ip}/32",
                "kubectl.kubernetes.io/restartedAt": "2026-11-01T08:00:00Z",
                "prometheus.io/scrape": "true",
            },
        },
        "spec": {
            "nodeName": f"node-{number % 100}",
            "containers": [
                {
                    "name": name,
                    "image": f"registry.example.com/team-{number % 20}/{app}/{name}:v1.{number % 200}.0",
                    "ports": [{"name": "pprof" if name == "app" else "http-envoy", "containerPort": port}],
                    "env": [{"name": f"SETTING_{n}", "value": _NOISE} for n in range(20)],
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": port}},
                    "livenessProbe": {"httpGet": {"path": "/live", "port": port}},
                }
                for name, port in names
            ],
            "tolerations": [{"key": f"node.kubernetes.io/{n}", "operator": "Exists", "effect": "NoExecute"} for n in range(4)],
        },
    }


def status(number: int, ip: str, containers: int = 2) -> dict[str, Any]:
    """That of a pod that runs and is ready."""
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "hostIP": f"172.16.0.{number % 100}",
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": "2026-11-01T08:00:00Z"} for kind in kinds],
        "containerStatuses": [
            {
                "name": name,
                "ready": True,
                "restartCount": 0,
                "image": f"registry.example.com/{name}:v1",
                "imageID": f"registry.example.com/{name}@sha256:{number:064x}",
                "containerID": f"containerd://{number * 2 + place:064x}",
                "state": {"running": {"startedAt": "2026-11-01T08:00:00Z"}},
            }
            for place, name in enumerate(("app", "istio-proxy")[:containers])
        ],
    }


def load(cluster: Cluster, namespaces: list[str], numbers: range, labels: dict[str, str] | None = None) -> None:
    """Create a pod for each number, spread over the namespaces, and say that they run."""
    for namespace in namespaces:
        cluster.namespace(namespace)
    parts: Iterator[range] = (numbers[start::_CONNECTIONS] for start in range(_CONNECTIONS))
    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        list(threads.map(lambda part: _load(cluster, namespaces, part, labels or {}), islice(parts, _CONNECTIONS)))


def _load(cluster: Cluster, namespaces: list[str], numbers: range, labels: dict[str, str]) -> None:
    with cluster.plane.client(_token(cluster)) as client:
        for number in numbers:
            ip = f"10.{64 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
            pod = manifest(number, ip, labels)
            path = f"/api/v1/namespaces/{namespaces[number % len(namespaces)]}/pods"
            _done(client.post(path, json=pod))
            name = pod["metadata"]["name"]
            content = json.dumps({"status": status(number, ip)})
            headers = {"Content-Type": "application/merge-patch+json"}
            _done(client.patch(f"{path}/{name}/status", content=content, headers=headers))


def _token(cluster: Cluster) -> str:
    return str(cluster.api.headers["authorization"]).removeprefix("Bearer ")


def _done(answer: httpx.Response) -> None:
    assert answer.is_success, answer.text[:500]
