"""The fake API server of `controller_fakes` with more trouble: races, refusals, answers that never come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from controller_fakes import FakeKube

from pyroscope_operator.errors import ApiError
from pyroscope_operator.model.ref import ObjectRef


def _nothing() -> None: ...


class TroubledKube(FakeKube):
    """`refuse`: the HTTP status of every answer; `hang`: there is none; `meanwhile`: called just before a write or in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse = 0
        self.hang = False
        self.meanwhile: Callable[[], None] = _nothing
        self.calls: list[str] = []

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.hang:
            await asyncio.Event().wait()
        if self.refuse:
            raise ApiError(self.refuse, name)

    async def pod_uids(self) -> dict[ObjectRef, str]:
        await self._call("pods")
        listed = await super().pod_uids()
        self.meanwhile()
        return listed

    async def object_uids(self) -> dict[ObjectRef, str]:
        await self._call("objects")
        return await super().object_uids()

    async def apply_status(self, ref: ObjectRef, uid: str, status: Mapping[str, Any]) -> None:
        await self._call("status")
        await super().apply_status(ref, uid, status)

    async def read_lease(self, ref: ObjectRef) -> dict[str, Any] | None:
        await self._call("read")
        return await super().read_lease(ref)

    async def write_lease(self, ref: ObjectRef, lease: Mapping[str, Any]) -> None:
        await self._call("write")
        meanwhile, self.meanwhile = self.meanwhile, _nothing
        meanwhile()
        await super().write_lease(ref, lease)

    def put_lease(self, spec: Mapping[str, Any] | None) -> None:
        """What somebody else writes; None: a Lease without a spec."""
        self.version += 1
        self.lease = {"metadata": {"name": "op", "namespace": "ns", "resourceVersion": str(self.version)}}
        if spec is not None:
            self.lease["spec"] = dict(spec)
