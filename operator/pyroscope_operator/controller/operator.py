"""The controller: the cluster as the source of objects and pods, and the place of their status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pyroscope_operator.api.kinds import KINDS, Kind
from pyroscope_operator.controller.data import ClusterData
from pyroscope_operator.controller.events import EventRecorder
from pyroscope_operator.controller.kube import Kube, load_configuration, open_kube
from pyroscope_operator.controller.lease import Lease
from pyroscope_operator.controller.namespaces import NamespaceFeed
from pyroscope_operator.controller.status import StatusWriter
from pyroscope_operator.controller.sweep import Sweep, objects_and_pods
from pyroscope_operator.controller.watch import ObjectWatch
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.errors import ApiError, ClusterError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Times in seconds."""

    lease: ObjectRef
    identity: str
    """Of this process, in the Lease."""
    lease_duration: float
    sweep_period: float
    status_interval: float
    namespaces: tuple[str, ...] = ()
    """The only ones in which anything is looked at; all if there are none."""


class Controller:
    """Feeds an engine from a cluster."""

    def __init__(self, engine: Engine, settings: ControllerSettings, metrics: Metrics) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self.waiting_for = "the API server"
        """For /readyz; empty once everything is listed."""

    async def run(self) -> None:
        """Run until cancelled.

        Raises SettingsError without a cluster, ClusterError without the CRDs, and
        LeaseLost when another operator has taken over; scraping has stopped then.
        """
        async with open_kube(await load_configuration()) as kube:
            self._metrics.api_server_answered.set_function(lambda: kube.answered_at)
            settings = self._settings
            await _require_crds(kube, settings.namespaces)
            lease = Lease(kube, settings.lease, settings.identity, settings.lease_duration)
            self.waiting_for = "the lease, which another operator holds"
            await lease.acquire()
            self._metrics.leader.set(1)
            try:
                await self._lead(kube, lease)
            finally:
                self._metrics.leader.set(0)
                await lease.release()

    async def _lead(self, kube: Kube, lease: Lease) -> None:
        settings, engine = self._settings, self._engine
        watch = ObjectWatch(engine.store, self._metrics, settings.namespaces)
        swept = tuple(objects_and_pods(kube, engine.store, settings.namespaces))
        sweep = Sweep(swept, settings.sweep_period, self._metrics, watch.restart)
        feed = NamespaceFeed(kube, engine.store, self._metrics, settings.sweep_period)
        self.waiting_for = "the first list of objects and pods"
        async with asyncio.TaskGroup() as group:
            group.create_task(lease.hold(), name="lease")
            group.create_task(watch.run(), name="watch")
            group.create_task(engine.secrets.run(ClusterData(kube)), name="secrets")
            group.create_task(engine.run(), name="engine")
            await sweep.wait_until_synced()
            group.create_task(feed.run(), name="feed of namespaces")
            await self._namespaces_settled()
            store = engine.store
            _LOG.info("synced", extra={"objects": len(store.objects), "writes": len(store.writes), "pods": len(store.pod_uids())})
            engine.synced.set()
            self.waiting_for = ""
            group.create_task(sweep.run(), name="sweep")
            events = EventRecorder(kube, self._metrics, settings.identity)
            status = StatusWriter(kube, engine, self._metrics, events, interval=settings.status_interval)
            group.create_task(status.run(), name="status")

    async def _namespaces_settled(self) -> None:
        """Wait until it is known where each object looks for pods, or that it can't be known."""
        self._engine.reconciler.ask()
        namespaces = self._engine.store.namespaces
        if namespaces.wanted.is_set():
            self.waiting_for = "the first list of namespaces"
            await namespaces.settled.wait()


async def _require_crds(kube: Kube, namespaces: Sequence[str] = ()) -> None:
    """Wait for the API server; fail early, and say how to mend it, when a CRD is not installed."""
    said, what = "", KINDS[0]
    while True:
        try:
            for kind in KINDS:
                what = kind
                await _list_somewhere(kube, kind, namespaces or (None,))
        except ApiError as error:
            if error.status == 404:
                raise ClusterError("CRDNotInstalled", f"the cluster has no {what}s: kubectl apply -f crds/") from error
            if said != str(error):
                _LOG.warning("waiting for the API server: %s", error)
            said = str(error)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def _list_somewhere(kube: Kube, kind: Kind, namespaces: Sequence[str | None]) -> None:
    """Raises ApiError unless one of the namespaces can be looked into; the others may not exist yet."""
    refusal: ApiError | None = None
    for namespace in namespaces:
        try:
            await kube.object_uids(kind, namespace)
        except ApiError as error:
            if error.status != 403:
                raise
            refusal = error
        else:
            return
    if refusal is not None:
        raise refusal
