"""Labels of namespaces: they are watched only while some object selects by them.

By a Kopf of its own, so that nothing happens to the watches of pods and objects when this one
comes and goes, or when the right to it is missing.
"""

from __future__ import annotations

import asyncio

from pyroscope_operator.controller import sweep
from pyroscope_operator.controller.kube import Kube
from pyroscope_operator.controller.sweep import Sweep
from pyroscope_operator.controller.watch import NamespaceWatch
from pyroscope_operator.engine.store import Store
from pyroscope_operator.metrics import Metrics


class NamespaceFeed:
    """Keeps a store in step with the API server's namespaces, whenever the store wants that."""

    def __init__(self, kube: Kube, store: Store, metrics: Metrics, sweep_period: float) -> None:
        self._kube = kube
        self._store = store
        self._metrics = metrics
        self._sweep_period = sweep_period

    async def run(self) -> None:
        """Run until cancelled."""
        known = self._store.namespaces
        while True:
            await known.wanted.wait()
            async with asyncio.TaskGroup() as group:
                following = group.create_task(self._follow(), name="namespaces")
                await known.unwanted.wait()
                following.cancel()
            known.forget()

    async def _follow(self) -> None:
        known = self._store.namespaces
        watch = NamespaceWatch(self._store, self._metrics)
        sweeping = Sweep([sweep.namespaces(self._kube, self._store)], self._sweep_period, self._metrics, watch.restart)
        await sweeping.wait_until_listed(known.refused)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run(), name="watch of namespaces")
            await sweeping.wait_until_synced()
            known.listed()
            await sweeping.run()
