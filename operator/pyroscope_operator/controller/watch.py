"""Kopf, tuned and in a thread of its own, with handlers that only record what they see.

Kopf cancels every task on its loop when it ends, so it gets its own loop; what it
sees is handed over with `call_soon_threadsafe`.  It writes nothing: no finalizers, no
annotations, no Events, no peering (docs/design.md tells why each setting is as it is).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import kopf

from pyroscope_operator.api import GROUP, VERSION
from pyroscope_operator.api.scrape import PLURAL
from pyroscope_operator.controller.kube import POD_FIELDS, load_configuration
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.errors import SettingsError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.transport import closed, impatient

_LOG = logging.getLogger(__name__)
_PAUSE_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
"""TLS included. Packets that are dropped without a word must not take minutes to be noticed."""
_REQUEST_SECONDS = 60.0
"""For one page of a list: by default the API server itself gives up after this time."""


class _Endless:
    """Back-off between attempts on the API server. Without a length, Kopf never gives up."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2, 4)
        while True:
            yield 8


class _NoDiffBase(kopf.DiffBaseStorage):
    """on.event needs no memory of what was handled; building one deep-copies every object."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None: ...


class _NoProgress(kopf.ProgressStorage):
    """on.event is never retried; clearing progress deep-copies every object."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None: ...

    def purge(self, **_: Any) -> None: ...

    def touch(self, **_: Any) -> None: ...

    def clear(self, *, essence: Any) -> Any:
        return essence


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = 0.2
    settings.networking.error_backoffs = _Endless()
    settings.networking.connect_timeout = _CONNECT_SECONDS
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.watching.field_selectors["", "v1", "pods"] = POD_FIELDS
    return settings


async def _login(**_: Any) -> kopf.ConnectionInfo:
    """The credentials of our own calls; Kopf asks again when they have expired.

    Kopf's own logins need DNS in a pod and know no exec plugins outside of one.
    """
    try:
        found = await load_configuration()
    except SettingsError as error:  # without its cause, which may quote the file
        raise kopf.TemporaryError(error.message, delay=_PAUSE_SECONDS) from None
    scheme, _, token = found.api_key.get("BearerToken", "").partition(" ")
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        scheme=scheme.capitalize() or None,
        token=token.strip() or None,
        proxy_url=found.proxy,
    )


class _Loop(asyncio.SelectorEventLoop):
    """Kopf's event loop."""

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        return await super().create_connection(*args, **impatient(options))


class _Life:
    """One run of Kopf, on an event loop and in a thread of its own."""

    def __init__(self, registry: kopf.OperatorRegistry, metrics: Metrics) -> None:
        self._registry = registry
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def run(self) -> str:
        """Returns why it ended; in a thread."""
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(self._main())
        except asyncio.CancelledError:
            return "as asked"
        except Exception as error:
            # Kopf doesn't survive some refusals (401, 404, 410). Their text is the API server's: it is not for the log.
            _LOG.debug("Kopf ended", exc_info=True)
            return type(error).__name__
        return "without a reason"

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_left_behind)
        self._metrics.count_tasks("watch", loop)
        # Not by Kopf's stop_flag: a thread that the loop waits for would wait for the flag, also after Kopf has failed.
        self._task = loop.create_task(
            kopf.operator(registry=self._registry, settings=_settings(), clusterwide=True, standalone=True), name="kopf"
        )
        if self._stopping:
            self._task.cancel()
        try:
            await self._task
        finally:
            await closed()

    def stop(self) -> None:
        """Have it end soon; from any thread."""
        self._stopping = True
        if self._task is not None:
            with suppress(RuntimeError):  # its loop is closed: it has ended
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)


def _left_behind(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """When Kopf fails, some of its tasks fail with it and nobody asks why; one line says that the watches ended."""
    if "exception" in context:
        _LOG.debug("%s", context.get("message"), exc_info=context["exception"])
    else:
        loop.default_exception_handler(context)


class Watch:
    """Keeps a store in step with the API server's pods and PyroscopeScrapes."""

    def __init__(self, store: Store, metrics: Metrics, pause: float = _PAUSE_SECONDS) -> None:
        self._store = store
        self._metrics = metrics
        self._pause = pause
        """Seconds between two lives of Kopf."""
        self._life: _Life | None = None
        self._loop = asyncio.get_running_loop()
        self._said = ""

    async def run(self) -> None:
        """Watch until cancelled. Kopf is started again whenever it ends."""
        while True:
            self._life = _Life(self._registry(), self._metrics)
            thread = asyncio.create_task(asyncio.to_thread(self._life.run), name="kopf")
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

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(self._on_object)
        kopf.on.event("", "v1", "pods", registry=registry)(self._on_pod)
        return registry

    async def _on_object(self, event: kopf.RawEvent, **_: Any) -> None:
        raw, deleted = event["object"], event["type"] == "DELETED"
        ref = ObjectRef(raw["metadata"]["namespace"], raw["metadata"]["name"])
        if deleted or raw["metadata"].get("deletionTimestamp"):
            self._record("pyroscopescrapes", event, self._store.remove_object, ref, raw["metadata"]["uid"])
        else:
            self._record("pyroscopescrapes", event, self._store.put_object, ScrapeObject.from_manifest(raw))

    async def _on_pod(self, event: kopf.RawEvent, **_: Any) -> None:
        pod = Pod.from_manifest(event["object"])
        if event["type"] == "DELETED":
            # By uid: Kopf handles a pod and its namesake side by side, and the new one may be known already.
            self._record("pods", event, self._store.remove_pod, ObjectRef(pod.namespace, pod.name), pod.uid)
        else:
            self._record("pods", event, self._store.put_pod, pod)

    def _record(self, resource: str, event: kopf.RawEvent, change: Callable[..., None], *what: Any) -> None:
        """Hand one change over to the operator's own event loop."""
        self._metrics.watch_events.labels(resource, event["type"] or "LISTED").inc()
        self._said = ""
        self._loop.call_soon_threadsafe(change, *what)
