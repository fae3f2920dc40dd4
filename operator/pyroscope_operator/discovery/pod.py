"""A pod, cut down to what discovery reads: 10,000 of them are kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from typing import Any

from pyroscope_operator.model.ref import ObjectRef

_SHARED = 4096
"""Labels and ports that are kept for the next pod that has the same: replicas have them in common."""
_UNREAD_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration",)


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a container declares."""

    name: str
    number: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class Container:
    name: str
    image: str = ""
    ports: tuple[Port, ...] = ()
    init: bool = False
    """An init container that runs on as a sidecar (`restartPolicy: Always`)."""
    id: str = ""
    """Container ID from the status; empty until it was started."""


@dataclass(frozen=True, slots=True)
class Pod:
    namespace: str
    name: str
    uid: str
    phase: str = "Pending"
    ip: str = ""
    host_ip: str = ""
    node: str = ""
    ready: bool = False
    controller_kind: str = ""
    controller_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    containers: tuple[Container, ...] = ()

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(self.namespace, self.name)

    @classmethod
    def from_manifest(cls, raw: Mapping[str, Any]) -> Pod:
        """Read a Pod as the API server sends it."""
        meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
        owner: Mapping[str, Any] = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), {})
        annotations = meta.get("annotations") or {}
        return cls(
            namespace=intern(meta["namespace"]),
            name=meta["name"],
            uid=meta["uid"],
            phase=intern(status.get("phase") or "Pending"),
            ip=status.get("podIP") or "",
            host_ip=intern(status.get("hostIP") or ""),
            node=intern(spec.get("nodeName") or ""),
            ready=any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()),
            controller_kind=intern(owner.get("kind", "")),
            controller_name=intern(owner.get("name", "")),
            labels=_shared_labels(tuple((meta.get("labels") or {}).items())),
            annotations={intern(name): value for name, value in annotations.items() if name not in _UNREAD_ANNOTATIONS},
            containers=_containers(spec, status),
        )


def _containers(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[Container, ...]:
    """App containers, then sidecars: init containers that end are no targets."""
    statuses = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    ids = {s["name"]: s.get("containerID") or "" for s in statuses}
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    found = [(c, False) for c in spec.get("containers") or ()] + [(c, True) for c in sidecars]
    return tuple(
        Container(
            name=intern(c["name"]),
            image=intern(c.get("image") or ""),
            ports=_shared_ports(
                tuple((p.get("name") or "", p["containerPort"], p.get("protocol") or "TCP") for p in c.get("ports") or ())
            ),
            init=init,
            id=ids.get(c["name"], ""),
        )
        for c, init in found
    )


@lru_cache(_SHARED)
def _shared_labels(labels: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return {intern(name): intern(value) for name, value in labels}


@lru_cache(_SHARED)
def _shared_ports(ports: tuple[tuple[str, int, str], ...]) -> tuple[Port, ...]:
    return tuple(Port(*port) for port in ports)
