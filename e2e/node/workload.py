"""What runs in the cluster besides the operator: a receiver that plays Pyroscope, and demo apps to profile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from e2e.node.images import TAG

PYROSCOPE = "pyroscope"
"""The namespace of operator and receiver, and the Service of the receiver, as in the README."""
PYROSCOPE_PORT = 4040
SHOP = "shop"
APP_PORT = 6060
_SMALL = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}}
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def repository(name: str) -> str:
    """Of an image of ours; E2E_IMAGES is what stands before the name in somebody's own registry."""
    return f"{os.environ.get('E2E_IMAGES', 'localhost/')}{name}"


def image(name: str) -> str:
    return f"{repository(name)}:{TAG}"


def namespace(name: str) -> dict[str, Any]:
    """One in which nothing may run that the strictest of the pod security standards forbids."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/part-of": "e2e"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _deployment(
    where: tuple[str, str],
    program: str,
    arguments: list[str],
    port: tuple[str, int],
    replicas: int,
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    name, number = port
    container = {
        "name": "app",
        "image": image(program),
        "args": arguments,
        "ports": [{"name": name, "containerPort": number}],
        "readinessProbe": {"tcpSocket": {"port": name}, "periodSeconds": 1},
        "resources": _SMALL,
        "securityContext": _RESTRICTED,
    }
    template = {
        "metadata": {"labels": {"app": where[1]}, "annotations": dict(annotations)},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 2, "automountServiceAccountToken": False},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": where[1]}}, "template": template}
    meta = {"namespace": where[0], "name": where[1]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def receiver() -> list[dict[str, Any]]:
    """A Deployment, and the Service that is named in the README's install section."""
    where = (PYROSCOPE, PYROSCOPE)
    meta = {"namespace": PYROSCOPE, "name": PYROSCOPE}
    service = {"selector": {"app": PYROSCOPE}, "ports": [{"name": "http", "port": PYROSCOPE_PORT, "targetPort": "http"}]}
    return [
        _deployment(where, "receiver", [f"--listen=:{PYROSCOPE_PORT}"], ("http", PYROSCOPE_PORT), 1, {}),
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
    ]


def app(name: str, annotations: Mapping[str, str]) -> dict[str, Any]:
    """A Deployment of three demo apps in the namespace shop."""
    return _deployment((SHOP, name), "demoapp", [f"--listen=:{APP_PORT}"], ("pprof", APP_PORT), 3, annotations)
