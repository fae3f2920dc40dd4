"""Finds what the watches missed, and knows when everything is listed.

After a watch has expired, Kopf lists anew and says what exists, but never what vanished
meanwhile; and it doesn't say when its first listing is complete.  A list of UIDs
answers both.  It also tells when a watch has gone deaf without an error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from pyroscope_operator.api.kinds import KINDS
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
_REFUSED_RETRY_SECONDS = 5.0
"""After a 403: somebody has to grant something."""
_REFUSED = 403
_DEAF_SECONDS = 30.0
"""Who hasn't told for so long what exists will not tell at all; after an outage Kopf comes back within 8 s."""

Uids = Mapping[ObjectRef, str]
Item = tuple[ObjectRef, str]


@dataclass(frozen=True, slots=True)
class Swept:
    """A resource that is swept."""

    resource: str
    """As in the API's paths."""
    listed: Callable[[], Awaitable[Uids]]
    known: Callable[[], Uids]
    remove: Callable[[ObjectRef, str], None]
    namespace: str | None = None
    """None: in the whole cluster.

    A namespace that is named may not exist yet, and its Roles with it: nobody waits for one that we may not look into.
    """

    def __str__(self) -> str:
        return self.resource if self.namespace is None else f"{self.resource} in {self.namespace}"


def objects_and_pods(kube: Kube, store: Store, namespaces: Collection[str] = ()) -> Iterator[Swept]:
    """Our objects and the pods, in these namespaces; in all if there are none."""
    for namespace in namespaces or (None,):
        for kind in KINDS:
            yield Swept(
                kind.plural,
                partial(kube.object_uids, kind, namespace),
                partial(store.object_uids, kind, namespace),
                partial(store.remove_object, kind=kind),
                namespace,
            )
        yield Swept("pods", partial(kube.pod_uids, namespace), partial(store.pod_uids, namespace), store.remove_pod, namespace)


def namespaces(kube: Kube, store: Store) -> Swept:
    """The namespaces themselves."""
    known = store.namespaces
    return Swept("namespaces", kube.namespace_uids, known.uids, lambda ref, uid: known.remove(ref.name, uid))


class Sweep:
    """Compares the store with what the API server lists."""

    def __init__(
        self, resources: Collection[Swept], period: float, metrics: Metrics, restart_watches: Callable[[], None]
    ) -> None:
        self._resources = resources
        self._period = period
        """Seconds between two sweeps."""
        self._metrics = metrics
        self._restart_watches = restart_watches
        self._unseen: dict[str, dict[Item, float]] = {}
        """What sweeps of a resource have listed and the watches have not told of, and since when."""
        self._failing: dict[str, ApiError] = {}

    async def wait_until_synced(self) -> None:
        """Return when all that existed at the beginning has been seen by the watches, or is gone."""
        for resource in self._resources:
            await self._seen(resource)

    async def wait_until_listed(self, refused: Callable[[], None]) -> None:
        """Return when everything can be listed; `refused` is called as long as the API server says that we may not."""
        for resource in self._resources:
            while await self._listed(resource) is None:
                if self._is_refused(resource):
                    refused()
                await self._pause(resource)

    async def _seen(self, resource: Swept) -> None:
        unseen: set[Item] | None = None
        stuck = 0.0
        while True:
            listed = await self._listed(resource)
            if listed is None:
                if self._is_refused(resource) and resource.namespace is not None:
                    return
                await self._pause(resource)
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
                self._metrics.swept.labels(resource.resource).set(time.time())

    async def _listed(self, resource: Swept) -> Uids | None:
        """None when the API server doesn't tell; said once for each kind of failure."""
        try:
            listed = await resource.listed()
        except ApiError as error:
            before = self._failing.get(str(resource))
            if str(before) != str(error):
                _LOG.warning("can't list %s, going on with what is known: %s", resource, error)
            self._failing[str(resource)] = error
            return None
        self._failing.pop(str(resource), None)
        return listed

    def _is_refused(self, resource: Swept) -> bool:
        return str(resource) in self._failing and self._failing[str(resource)].status == _REFUSED

    async def _pause(self, resource: Swept) -> None:
        await asyncio.sleep(_REFUSED_RETRY_SECONDS if self._is_refused(resource) else _RETRY_SECONDS)

    def _forget(self, resource: Swept, missed: list[tuple[ObjectRef, str]]) -> None:
        for ref, uid in missed:
            _LOG.warning("the watch missed that %s %s was deleted", resource.resource, ref)
            resource.remove(ref, uid)
        self._metrics.watch_missed.labels(resource.resource, "deleted").inc(len(missed))

    def _notice(self, resource: Swept, unseen: set[Item]) -> None:
        """A watch may be slow, but if a later sweep still misses the same, it is deaf."""
        now, before = asyncio.get_running_loop().time(), self._unseen.get(str(resource), {})
        since = {item: before.get(item, now) for item in unseen}
        missed = [item for item, at in since.items() if now - at >= _DEAF_SECONDS]
        self._unseen[str(resource)] = {} if missed else since
        self._metrics.watch_missed.labels(resource.resource, "added").inc(len(missed))
        if missed:
            self._restart(resource)

    def _restart(self, resource: Swept) -> None:
        _LOG.warning("the watch of %s is deaf: starting the watches again", resource)
        self._restart_watches()


def gone(known: Uids, listed: Uids) -> list[tuple[ObjectRef, str]]:
    """What is known but not listed, or listed with another uid."""
    return [(ref, uid) for ref, uid in known.items() if listed.get(ref) != uid]
