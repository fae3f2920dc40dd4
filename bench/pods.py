"""Pods as a real cluster has them, about 8 kB each as JSON, and two ways to bring them into one."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPSConnection
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener
from uuid import uuid4

from e2e.harness.controlplane import ADMIN_TOKEN, ControlPlane

NAMESPACE = "bench"
_BATCH = 100
"""Of etcd's 128 operations for each transaction."""
_SINCE = "2026-11-25T06:00:00Z"
_HTTP = build_opener(ProxyHandler({}))
_ENVIRONMENT = 13
"""Variables of the container: most of the size."""


@dataclass(frozen=True)
class BenchPod:
    """One pod with one container that is called app."""

    name: str
    ip: str
    port: int
    group: str
    """Value of its label `group`, by which objects select."""

    def created(self) -> dict[str, Any]:
        """What a client sends to create it."""
        owner = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": f"{self.group}-5d8f7c9b6d",
            "uid": _UID,
            "controller": True,
        }
        meta = {
            "name": self.name,
            "namespace": NAMESPACE,
            "labels": {
                "group": self.group,
                "app.kubernetes.io/name": "checkout",
                "app.kubernetes.io/instance": "checkout-production",
                "app.kubernetes.io/version": "2026.11.3",
                "app.kubernetes.io/managed-by": "Helm",
                "pod-template-hash": "5d8f7c9b6d",
            },
            "annotations": {
                "checksum/config": "3b2c" * 16,
                "checksum/secret": "9f1a" * 16,
                "prometheus.io/scrape": "true",
                "kubectl.kubernetes.io/default-container": "app",
                "kubectl.kubernetes.io/restartedAt": _SINCE,
            },
            "ownerReferences": [owner],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": _spec(self.port)}

    def status(self) -> dict[str, Any]:
        """That of one that runs."""
        conditions = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
        image = "registry.example.com/shop/checkout"
        container = {
            "name": "app",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "image": f"{image}:2026.11.3",
            "imageID": f"{image}@sha256:{'5d' * 32}",
            "containerID": f"containerd://{self.name:0>64}",
            "state": {"running": {"startedAt": _SINCE}},
        }
        return {
            "phase": "Running",
            "qosClass": "Burstable",
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "startTime": _SINCE,
            "conditions": [
                {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": _SINCE} for kind in conditions
            ],
            "containerStatuses": [container],
        }

    def stored(self, uid: str) -> dict[str, Any]:
        """As the API server would have written it, with what clients and the kubelet are said to manage."""
        pod = self.created()
        update = {"operation": "Update", "apiVersion": "v1", "time": _SINCE, "fieldsType": "FieldsV1"}
        written = {"kube-controller-manager": pod["spec"], "kubelet": self.status()}
        managed = [{"manager": manager, **update, "fieldsV1": _managed(part)} for manager, part in written.items()]
        pod["metadata"] |= {"uid": uid, "creationTimestamp": _SINCE, "managedFields": managed}
        return {**pod, "status": self.status()}


_UID = "11111111-2222-4333-8444-555555555555"


def _spec(port: int) -> dict[str, Any]:
    variables = [
        {"name": f"CHECKOUT_SETTING_{number}", "value": f"https://service-{number}.shop.svc.cluster.local:8443/api"}
        for number in range(_ENVIRONMENT)
    ]
    probe = {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10}
    container = {
        "name": "app",
        "image": "registry.example.com/shop/checkout:2026.11.3",
        "imagePullPolicy": "IfNotPresent",
        "args": ["--config=/etc/checkout/config.yaml", "--log-level=info", "--shutdown-grace=20s"],
        "ports": [{"name": n, "containerPort": p, "protocol": "TCP"} for n, p in (("http", 8080), ("pprof", port))],
        "env": variables,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "livenessProbe": {**probe, "failureThreshold": 3, "successThreshold": 1},
        "readinessProbe": {**probe, "failureThreshold": 3, "successThreshold": 1},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/checkout", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
    }
    taints = ("not-ready", "unreachable")
    return {
        "nodeName": "node-1",
        "serviceAccountName": "default",
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "checkout", "defaultMode": 420}}, {"name": "tmp", "emptyDir": {}}],
        "tolerations": [
            {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for taint in taints
        ],
    }


def _managed(value: Any) -> dict[str, Any]:
    """Names of the fields, as FieldsV1 has them."""
    if isinstance(value, dict):
        return {f"f:{key}": _managed(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict) and "name" in value[0]:
        return {f'k:{{"name":"{inner["name"]}"}}': {".": {}, **_managed(inner)} for inner in value}
    return {}


def put_all(plane: ControlPlane, pods: Iterable[BenchPod]) -> Mapping[str, str]:
    """Write them to etcd, past the API server: 10,000 in seconds. Watches see them as if they came the usual way.

    Returns their UIDs by IP address.
    """
    uids: dict[str, str] = {}
    batch: list[dict[str, Any]] = []
    for pod in pods:
        uids[pod.ip] = str(uuid4())
        key, value = f"/registry/pods/{NAMESPACE}/{pod.name}", json.dumps(pod.stored(uids[pod.ip]))
        batch.append({"requestPut": {"key": _base64(key), "value": _base64(value)}})
        if len(batch) == _BATCH:
            _commit(plane, batch)
            batch = []
    if batch:
        _commit(plane, batch)
    return uids


def _commit(plane: ControlPlane, batch: Sequence[Mapping[str, Any]]) -> None:
    body = json.dumps({"success": batch}).encode()
    url = f"http://127.0.0.1:{plane.etcd_port}/v3/kv/txn"
    with _HTTP.open(Request(url, body, {"Content-Type": "application/json"}), timeout=30) as answer:
        assert json.load(answer)["succeeded"]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class PodClient:
    """Creates, runs and deletes pods at the API server over one kept connection, at little cost; for one thread."""

    def __init__(self, plane: ControlPlane) -> None:
        context = ssl.create_default_context(cafile=str(plane.folder / "certs/apiserver.crt"))
        self._connection = HTTPSConnection("127.0.0.1", plane.port, timeout=30, context=context)

    def create(self, pod: BenchPod) -> None:
        self._do("POST", "", pod.created())

    def run(self, pod: BenchPod) -> None:
        """Say that it runs."""
        self._do("PATCH", f"/{pod.name}/status", {"status": pod.status()})

    def delete(self, pod: BenchPod) -> None:
        self._do("DELETE", f"/{pod.name}", {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})

    def _do(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": kind}
        self._connection.request(method, f"/api/v1/namespaces/{NAMESPACE}/pods{path}", json.dumps(body), headers)
        with self._connection.getresponse() as answer:
            said = answer.read()
            assert answer.status < 300, f"{method} pods{path}: HTTP {answer.status}: {said[:500]!r}"

    def close(self) -> None:
        self._connection.close()
