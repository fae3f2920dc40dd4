"""The watches: what Kopf sees is recorded, nothing else.

Kopf runs in a thread of its own (life.py); what it sees is handed over with
`call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from typing import Any, ClassVar

import kopf

from pyroscope_operator.api import GROUP, VERSION
from pyroscope_operator.api.kinds import KINDS, Kind
from pyroscope_operator.controller.life import Life
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.engine.store import TYPES, Store
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

_LOG = logging.getLogger(__name__)
_PAUSE_SECONDS = 5.0


class Watch(ABC):
    """Keeps a store in step with what the API server has of some resources."""

    name: ClassVar[str]
    """For the metrics."""

    def __init__(self, store: Store, metrics: Metrics, namespaces: Collection[str] = (), pause: float = _PAUSE_SECONDS) -> None:
        """Only what is in `namespaces` is watched, if there are any."""
        self._store = store
        self._metrics = metrics
        self._namespaces = namespaces
        self._pause = pause
        """Seconds between two lives of Kopf."""
        self._life: Life | None = None
        self._loop = asyncio.get_running_loop()
        self._said = ""

    async def run(self) -> None:
        """Watch until cancelled. Kopf is started again whenever it ends."""
        while True:
            registry = kopf.OperatorRegistry()
            self._register(registry)
            self._life = Life(registry, self._metrics, self.name, self._namespaces)
            thread = asyncio.create_task(asyncio.to_thread(self._life.run), name=f"kopf {self.name}")
            try:
                reason = await asyncio.shield(thread)
            except asyncio.CancelledError:
                self._life.stop()
                await thread
                raise
            if reason != self._said:
                _LOG.warning("the watches ended and are started again: %s", reason)
            self._said = reason
            await asyncio.sleep(self._pause)

    def restart(self) -> None:
        """List and watch anew, for a watch that says nothing any more."""
        if self._life is not None:
            self._life.stop()

    @abstractmethod
    def _register(self, registry: kopf.OperatorRegistry) -> None:
        """Put the handlers of the resources into it."""

    def _record(self, resource: str, event: kopf.RawEvent, change: Callable[..., None], *what: Any) -> None:
        """Hand one change over to the operator's own event loop."""
        self._metrics.watch_events.labels(resource, event["type"] or "LISTED").inc()
        self._said = ""
        self._loop.call_soon_threadsafe(change, *what)


class ObjectWatch(Watch):
    """Of pods and our objects."""

    name = "watch"

    def _register(self, registry: kopf.OperatorRegistry) -> None:
        for kind in KINDS:
            kopf.on.event(GROUP, VERSION, kind.plural, registry=registry)(self._on_object(kind))
        kopf.on.event("", "v1", "pods", registry=registry)(self._on_pod)

    def _on_object(self, kind: Kind) -> Callable[..., Awaitable[None]]:
        async def handler(event: kopf.RawEvent, **_: Any) -> None:
            raw, deleted = event["object"], event["type"] == "DELETED"
            ref, uid = ObjectRef(raw["metadata"]["namespace"], raw["metadata"]["name"]), raw["metadata"]["uid"]
            if deleted or raw["metadata"].get("deletionTimestamp"):
                self._record(kind.plural, event, self._store.remove_object, ref, uid, kind)
            else:
                self._record(kind.plural, event, self._store.put_object, TYPES[kind].from_manifest(raw))

        return handler

    async def _on_pod(self, event: kopf.RawEvent, **_: Any) -> None:
        pod = Pod.from_manifest(event["object"])
        if event["type"] == "DELETED":
            # By uid: Kopf handles a pod and its namesake side by side, and the new one may be known already.
            self._record("pods", event, self._store.remove_pod, ObjectRef(pod.namespace, pod.name), pod.uid)
        else:
            self._record("pods", event, self._store.put_pod, pod)


class NamespaceWatch(Watch):
    """Of namespaces and their labels."""

    name = "namespaces"

    def _register(self, registry: kopf.OperatorRegistry) -> None:
        kopf.on.event("", "v1", "namespaces", registry=registry)(self._on_namespace)

    async def _on_namespace(self, event: kopf.RawEvent, **_: Any) -> None:
        meta, known = event["object"]["metadata"], self._store.namespaces
        if event["type"] == "DELETED":
            self._record("namespaces", event, known.remove, meta["name"], meta["uid"])
        else:
            self._record("namespaces", event, known.put, meta["name"], meta["uid"], dict(meta.get("labels") or {}))
