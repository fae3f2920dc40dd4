"""A pod, cut down to what discovery reads: 10,000 of them are kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyroscope_operator.model.ref import ObjectRef

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
        annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k not in _UNREAD_ANNOTATIONS}
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            phase=status.get("phase") or "Pending",
            ip=status.get("podIP") or "",
            host_ip=status.get("hostIP") or "",
            node=spec.get("nodeName") or "",
            ready=any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()),
            controller_kind=owner.get("kind", ""),
            controller_name=owner.get("name", ""),
            labels=meta.get("labels") or {},
            annotations=annotations,
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
            name=c["name"],
            image=c.get("image") or "",
            ports=tuple(Port(p.get("name") or "", p["containerPort"], p.get("protocol") or "TCP") for p in c.get("ports") or ()),
            init=init,
            id=ids.get(c["name"], ""),
        )
        for c, init in found
    )
