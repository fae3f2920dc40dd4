"""An API server that keeps what it is told, and makes trouble: races, refusals, answers that never come."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pyroscope_operator.api.kinds import SCRAPE, Kind
from pyroscope_operator.controller.kube import Kube
from pyroscope_operator.controller.sweep import Sweep, objects_and_pods
from pyroscope_operator.engine.store import Store
from pyroscope_operator.errors import ApiError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef


def _nothing() -> None: ...


class FakeKube(Kube):
    """The same methods as Kube, over dictionaries.

    `away`: no call gets through; `refuse`: the HTTP status of every answer, `refuse_call`: of those to one call,
    `refuse_object`: of those about the status of one object;
    `refuse_namespace`: of lists in a namespace; `hang`: there is none; `slow`: seconds until there is one;
    `meanwhile`: called just before a Lease is written, once, or in a list of pods; `calls`: what was asked for.
    """

    def __init__(self) -> None:
        self.away = False
        self.refuse = 0
        self.refuse_call: dict[str, int] = {}
        self.refuse_object: dict[ObjectRef, int] = {}
        self.refuse_namespace: dict[str | None, int] = {}
        self.hang = False
        self.slow = 0.0
        self.meanwhile: Callable[[], None] = _nothing
        self.calls: list[str] = []
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.pods: dict[ObjectRef, str] = {}
        self.objects: dict[ObjectRef, str] = {}
        self.writes: dict[ObjectRef, str] = {}
        self.namespaces: dict[ObjectRef, str] = {}
        self.kinds: list[Kind] = []
        """Of the objects in `statuses`."""
        self.statuses: list[tuple[ObjectRef, str, dict[str, Any]]] = []
        self.events: list[dict[str, Any]] = []

    async def _call(self, name: str, namespace: str | None = None) -> None:
        self.calls.append(name if namespace is None else f"{name} in {namespace}")
        if namespace in self.refuse_namespace:
            raise ApiError(self.refuse_namespace[namespace], name)
        if name in self.refuse_call:
            raise ApiError(self.refuse_call[name], name)
        if self.hang:
            await asyncio.Event().wait()
        await asyncio.sleep(self.slow)
        if self.away or self.refuse:
            raise ApiError(0 if self.away else self.refuse, name)

    async def pod_uids(self, namespace: str | None = None) -> dict[ObjectRef, str]:
        await self._call("pods", namespace)
        listed = _inside(self.pods, namespace)
        self.meanwhile()
        return listed

    async def object_uids(self, kind: Kind, namespace: str | None = None) -> dict[ObjectRef, str]:
        await self._call("objects" if kind is SCRAPE else "writes", namespace)
        return _inside(self.objects if kind is SCRAPE else self.writes, namespace)

    async def namespace_uids(self) -> dict[ObjectRef, str]:
        await self._call("namespaces")
        return dict(self.namespaces)

    async def apply_status(self, kind: Kind, ref: ObjectRef, uid: str, status: Mapping[str, Any]) -> None:
        await self._call("status")
        if ref in self.refuse_object:
            raise ApiError(self.refuse_object[ref], "status")
        self.statuses.append((ref, uid, dict(status)))
        self.kinds.append(kind)

    async def create_event(self, event: Mapping[str, Any]) -> None:
        await self._call("event")
        self.events.append(dict(event))

    async def read_lease(self, ref: ObjectRef) -> dict[str, Any] | None:
        await self._call("read")
        return copy.deepcopy(self.lease)

    async def write_lease(self, ref: ObjectRef, lease: Mapping[str, Any]) -> None:
        await self._call("write")
        meanwhile, self.meanwhile = self.meanwhile, _nothing
        meanwhile()
        known = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if lease["metadata"].get("resourceVersion") != known:
            raise ApiError(409, "lease")
        self.version += 1
        self.lease = copy.deepcopy(dict(lease))
        self.lease["metadata"]["resourceVersion"] = str(self.version)

    def put_lease(self, spec: Mapping[str, Any] | None) -> None:
        """What somebody else writes; None: a Lease without a spec."""
        self.version += 1
        self.lease = {"metadata": {"name": "op", "namespace": "ns", "resourceVersion": str(self.version)}}
        if spec is not None:
            self.lease["spec"] = dict(spec)

    @property
    def holder(self) -> str:
        return self.lease["spec"]["holderIdentity"] if self.lease else ""


def _inside(listed: Mapping[ObjectRef, str], namespace: str | None) -> dict[ObjectRef, str]:
    return {ref: uid for ref, uid in listed.items() if namespace in {None, ref.namespace}}


def sweep_of(
    kube: Kube,
    store: Store,
    period: float,
    metrics: Metrics | None = None,
    restart: Callable[[], None] = _nothing,
    namespaces: Collection[str] = (),
) -> Sweep:
    return Sweep(tuple(objects_and_pods(kube, store, namespaces)), period, metrics or Metrics(), restart)
