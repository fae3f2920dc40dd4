"""One active operator per name, by a Lease.

The usual rules of leader election: the holder renews; who sees no renewal for a whole
lease duration, by its own clock, takes over.  Unlike the usual, a holder that can't reach
the API server goes on: nobody else can take the Lease through the same outage, and
scraping must survive it.  Therefore an outage counts as no silence of the holder: who
stands by begins to wait anew.  A holder that *sees* another one stops at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pyroscope_operator.controller.kube import Kube
from pyroscope_operator.errors import ApiError, LeaseLost
from pyroscope_operator.model.ref import ObjectRef

_LOG = logging.getLogger(__name__)
_RELEASE_SECONDS = 3.0
"""For the release: the time of a shutdown belongs to the profiles that are still queued."""


class Lease:
    """The Lease `ref`, as the process `identity` sees it. Times in seconds."""

    def __init__(
        self, kube: Kube, ref: ObjectRef, identity: str, duration: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kube = kube
        self._ref = ref
        self._identity = identity
        self._duration = duration
        self._clock = clock
        self._observed: tuple[Any, Any] | None = None
        self._observed_at = 0.0
        self._missed = False
        self.held = False

    async def acquire(self) -> None:
        """Return once the Lease is ours."""
        said = ""
        while True:
            try:
                if await self._try():
                    self.held = True
                    _LOG.info("holding the lease", extra={"lease": str(self._ref)})
                    return
                if said != "standing by":
                    _LOG.info("standing by: another operator holds the lease", extra={"lease": str(self._ref)})
                said = "standing by"
            except ApiError as error:
                self._observed = None
                if said != str(error):
                    _LOG.warning("can't take the lease yet: %s", error)
                said = str(error)
            await asyncio.sleep(self._duration / 5)

    async def hold(self) -> None:
        """Renew until cancelled. Raises LeaseLost when another holder is seen."""
        failing = False
        while True:
            await asyncio.sleep(self._duration / 3)
            try:
                renewed = await self._try()
            except ApiError as error:
                if not failing:
                    _LOG.warning("can't renew the lease, scraping goes on: %s", error)
                failing = True
                continue
            if not renewed:
                self.held = False
                raise LeaseLost(f"another operator has taken over the lease {self._ref}")
            if failing:
                _LOG.info("the lease is renewed again")
            failing = False

    async def release(self) -> None:
        """Let the next one take over at once; best effort."""
        if not self.held:
            return
        self.held = False
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                lease = await self._kube.read_lease(self._ref)
                if lease and _spec(lease).get("holderIdentity") == self._identity:
                    free = {**_spec(lease), "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                    await self._kube.write_lease(self._ref, {**lease, "spec": free})
        except (ApiError, TimeoutError) as error:
            _LOG.info("the lease was not released, it will expire: %s", str(error) or "no answer in time")

    async def _try(self) -> bool:
        """Take or renew; False when somebody else holds it. Raises ApiError.

        Ends in time for another try before others may take the Lease.
        """
        try:
            async with asyncio.timeout(self._duration / 3):
                return await self._written()
        except TimeoutError as error:
            raise ApiError(0, "lease") from error

    async def _written(self) -> bool:
        lease = await self._kube.read_lease(self._ref)
        if lease is None and self.held and not self._missed:
            # Deleted with all that belongs to us, perhaps: whoever is about to end must not leave another one behind.
            self._missed = True
            return True
        self._missed = False
        if lease is not None and self._belongs_to_another(_spec(lease)):
            return False
        try:
            await self._kube.write_lease(self._ref, self._renewed(lease))
        except ApiError as error:
            if error.status == 409:  # somebody was faster; the next look tells who
                return self.held
            raise
        return True

    def _belongs_to_another(self, spec: dict[str, Any]) -> bool:
        holder = spec.get("holderIdentity")
        if holder in {None, "", self._identity}:
            return False
        seen = (holder, spec.get("renewTime"))
        if seen != self._observed:
            self._observed, self._observed_at = seen, self._clock()
        # Clocks of two machines are never compared: only how long nothing has changed here.
        return self.held or self._clock() - self._observed_at < (spec.get("leaseDurationSeconds") or self._duration)

    def _renewed(self, lease: dict[str, Any] | None) -> dict[str, Any]:
        now = _now()
        spec = dict(_spec(lease)) if lease else {}
        if spec.get("holderIdentity") != self._identity:
            spec.update(acquireTime=now, leaseTransitions=(spec.get("leaseTransitions") or 0) + 1 if lease else 0)
        spec.update(holderIdentity=self._identity, leaseDurationSeconds=max(1, round(self._duration)), renewTime=now)
        metadata = lease["metadata"] if lease else {"name": self._ref.name, "namespace": self._ref.namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def _spec(lease: dict[str, Any]) -> dict[str, Any]:
    """Empty for a Lease that somebody made by hand."""
    return lease.get("spec") or {}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
