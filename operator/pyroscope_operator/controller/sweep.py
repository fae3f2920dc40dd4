"""Finds what the watches missed, and knows when everything is listed.

After a watch has expired, Kopf lists anew and says what exists, but never what vanished
meanwhile; and it doesn't say when its first listing is complete.  A list of UIDs
answers both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from pyroscope_operator.controller.kube import Kube
from pyroscope_operator.engine.store import Store
from pyroscope_operator.errors import ApiError
from pyroscope_operator.model.ref import ObjectRef

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 2.0

Uids = Mapping[ObjectRef, str]


class Sweep:
    """Compares the store with what the API server lists."""

    def __init__(self, kube: Kube, store: Store, period: float) -> None:
        self._kube = kube
        self._store = store
        self._period = period
        """Seconds between two sweeps."""

    async def wait_until_synced(self) -> None:
        """Return when all that exists now has been seen by the watches."""
        await self._seen("pyroscopescrapes", self._kube.object_uids, self._store.object_uids)
        await self._seen("pods", self._kube.pod_uids, self._store.pod_uids)

    async def _seen(self, what: str, listed: Callable[[], Awaitable[Uids]], known: Callable[[], Uids]) -> None:
        """Wait for the watches to know what `listed` says; list again now and then, since things get deleted."""
        while True:
            try:
                expected = await listed()
            except ApiError as error:
                _LOG.warning("can't list %s yet: %s", what, error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            for _ in range(50):
                if expected.items() <= known().items():
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def run(self) -> None:
        """Sweep once per period until cancelled."""
        while True:
            await asyncio.sleep(self._period)
            try:
                await self.sweep()
            except ApiError as error:
                _LOG.info("no sweep this time: %s", error)

    async def sweep(self) -> None:
        """Forget what no longer exists. Raises ApiError."""
        # Known before listed: what is created in between is in neither or only in the list.
        known_pods, known_objects = self._store.pod_uids(), self._store.object_uids()
        for ref, uid in gone(known_objects, await self._kube.object_uids()):
            _LOG.warning("the watch missed that %s was deleted", ref, extra={"object": str(ref)})
            self._store.remove_object(ref, uid)
        for ref, uid in gone(known_pods, await self._kube.pod_uids()):
            _LOG.warning("the watch missed that pod %s was deleted", ref, extra={"pod": str(ref)})
            self._store.remove_pod(ref, uid)


def gone(known: Uids, listed: Uids) -> list[tuple[ObjectRef, str]]:
    """What is known but not listed, or listed with another uid."""
    return [(ref, uid) for ref, uid in known.items() if listed.get(ref) != uid]
