"""An API server that keeps what it is told, for what the controller asks of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pyroscope_operator.controller.kube import Kube
from pyroscope_operator.errors import ApiError
from pyroscope_operator.model.ref import ObjectRef


class FakeKube(Kube):
    """The same methods as Kube, over dictionaries. `away` makes every call fail."""

    def __init__(self) -> None:
        self.away = False
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.pods: dict[ObjectRef, str] = {}
        self.objects: dict[ObjectRef, str] = {}
        self.statuses: list[tuple[ObjectRef, str, dict[str, Any]]] = []
        self.status_error = 0

    def _check(self) -> None:
        if self.away:
            raise ApiError(0, "call")

    async def pod_uids(self) -> dict[ObjectRef, str]:
        self._check()
        return dict(self.pods)

    async def object_uids(self) -> dict[ObjectRef, str]:
        self._check()
        return dict(self.objects)

    async def apply_status(self, ref: ObjectRef, uid: str, status: Mapping[str, Any]) -> None:
        self._check()
        if self.status_error:
            raise ApiError(self.status_error, "status")
        self.statuses.append((ref, uid, dict(status)))

    async def read_lease(self, ref: ObjectRef) -> dict[str, Any] | None:
        self._check()
        return copy.deepcopy(self.lease)

    async def write_lease(self, ref: ObjectRef, lease: Mapping[str, Any]) -> None:
        self._check()
        known = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if lease["metadata"].get("resourceVersion") != known:
            raise ApiError(409, "lease")
        self.version += 1
        self.lease = copy.deepcopy(dict(lease))
        self.lease["metadata"]["resourceVersion"] = str(self.version)

    @property
    def holder(self) -> str:
        return self.lease["spec"]["holderIdentity"] if self.lease else ""
