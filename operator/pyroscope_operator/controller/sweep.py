"""Finds what the watches missed, and knows when everything is listed.

After a watch has expired, Kopf lists anew and says what exists, but never what vanished
meanwhile; and it doesn't say when its first listing is complete.  A list of UIDs
answers both.  It also tells when a watch has gone deaf without an error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from pyroscope_operator.api.kinds import KINDS, Kind
from pyroscope_operator.controller.kube import Kube
from pyroscope_operator.engine.store import Store
from pyroscope_operator.errors import ApiError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_POLLS = 50
"""Before the API server is asked for a new list."""
_RETRY_SECONDS = 2.0
_DEAF_SECONDS = 30.0
"""Who hasn't told for so long what exists will not tell at all; after an outage Kopf comes back within 8 s."""

Uids = Mapping[ObjectRef, str]
Item = tuple[ObjectRef, str]


@dataclass(frozen=True, slots=True)
class _Resource:
    name: str
    """As in the API's paths."""
    listed: Callable[[], Awaitable[Uids]]
    known: Callable[[], Uids]
    remove: Callable[[ObjectRef, str], None]


def _objects(kind: Kind, kube: Kube, store: Store) -> _Resource:
    return _Resource(
        kind.plural,
        partial(kube.object_uids, kind),
        partial(store.object_uids, kind),
        partial(store.remove_object, kind=kind),
    )


class Sweep:
    """Compares the store with what the API server lists."""

    def __init__(self, kube: Kube, store: Store, period: float, metrics: Metrics, restart_watches: Callable[[], None]) -> None:
        self._resources = (
            *(_objects(kind, kube, store) for kind in KINDS),
            _Resource("pods", kube.pod_uids, store.pod_uids, store.remove_pod),
        )
        self._period = period
        """Seconds between two sweeps."""
        self._metrics = metrics
        self._restart_watches = restart_watches
        self._unseen: dict[str, dict[Item, float]] = {}
        """What sweeps of a resource have listed and the watches have not told of, and since when."""
        self._failing: dict[str, str] = {}

    async def wait_until_synced(self) -> None:
        """Return when all that existed at the beginning has been seen by the watches, or is gone."""
        for resource in self._resources:
            await self._seen(resource)

    async def _seen(self, resource: _Resource) -> None:
        unseen: set[Item] | None = None
        stuck = 0.0
        while True:
            listed = await self._listed(resource)
            if listed is None:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            # Only what was there at first is waited for: in a cluster where pods come and go there is always a newer one.
            before, unseen = unseen, set(listed.items()) if unseen is None else unseen & listed.items()
            for _ in range(_POLLS):
                unseen -= resource.known().items()
                if not unseen:
                    return
                await asyncio.sleep(_POLL_SECONDS)
            stuck = stuck + _POLLS * _POLL_SECONDS if unseen == before else 0.0
            if stuck >= _DEAF_SECONDS:
                self._restart(resource)
                stuck = 0.0

    async def run(self) -> None:
        """Sweep once per period until cancelled."""
        while True:
            await asyncio.sleep(self._period)
            await self.sweep()

    async def sweep(self) -> None:
        """Forget what no longer exists; a resource that can't be listed doesn't keep the others from being swept."""
        for resource in self._resources:
            known = resource.known()  # before listing: what is created in between is only in the list
            listed = await self._listed(resource)
            if listed is not None:
                self._forget(resource, gone(known, listed))
                self._notice(resource, set(listed.items() - resource.known().items()))
                self._metrics.swept.labels(resource.name).set(time.time())

    async def _listed(self, resource: _Resource) -> Uids | None:
        """None when the API server doesn't tell; said once for each kind of failure."""
        try:
            listed = await resource.listed()
        except ApiError as error:
            if self._failing.get(resource.name) != str(error):
                _LOG.warning("can't list %s, going on with what is known: %s", resource.name, error)
            self._failing[resource.name] = str(error)
            return None
        self._failing.pop(resource.name, None)
        return listed

    def _forget(self, resource: _Resource, missed: list[tuple[ObjectRef, str]]) -> None:
        for ref, uid in missed:
            _LOG.warning("the watch missed that %s %s was deleted", resource.name, ref)
            resource.remove(ref, uid)
        self._metrics.watch_missed.labels(resource.name, "deleted").inc(len(missed))

    def _notice(self, resource: _Resource, unseen: set[Item]) -> None:
        """A watch may be slow, but if a later sweep still misses the same, it is deaf."""
        now, before = asyncio.get_running_loop().time(), self._unseen.get(resource.name, {})
        since = {item: before.get(item, now) for item in unseen}
        missed = [item for item, at in since.items() if now - at >= _DEAF_SECONDS]
        self._unseen[resource.name] = {} if missed else since
        self._metrics.watch_missed.labels(resource.name, "added").inc(len(missed))
        if missed:
            self._restart(resource)

    def _restart(self, resource: _Resource) -> None:
        _LOG.warning("the watch of %s is deaf: starting the watches again", resource.name)
        self._restart_watches()


def gone(known: Uids, listed: Uids) -> list[tuple[ObjectRef, str]]:
    """What is known but not listed, or listed with another uid."""
    return [(ref, uid) for ref, uid in known.items() if listed.get(ref) != uid]
