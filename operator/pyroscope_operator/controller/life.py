"""One run of Kopf, tuned, on an event loop and in a thread of its own.

Kopf cancels every task on its loop when it ends, so it gets its own loop.  It writes
nothing: no finalizers, no annotations, no Events, no peering (docs/design.md tells why
each setting is as it is).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import kopf
from kopf._core.engines.peering import Identity
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory  # the parameter is public, its type is not

from pyroscope_operator.controller.kube import POD_FIELDS, load_configuration
from pyroscope_operator.errors import SettingsError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.transport.loop import closed, impatient

_LOG = logging.getLogger(__name__)
_LOGIN_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
"""TLS included. Packets that are dropped without a word must not take minutes to be noticed."""
_REQUEST_SECONDS = 60.0
"""For one page of a list: by default the API server itself gives up after this time."""
_END_SECONDS = 3.0
"""For a task of Kopf's to end; its workers have 2 s for what they have begun."""
_END_ROUNDS = 3


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


class _NoMemories(ResourceMemories):
    """on.event needs nothing to be remembered of an object; Kopf would keep about 1 kB of each."""

    async def recall(self, raw_body: Any, **options: Any) -> ResourceMemory:
        return await super().recall(raw_body, **{**options, "ephemeral": True})


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


async def _credentials() -> kopf.ConnectionInfo:
    """Those of our own calls. Kopf's own logins need DNS in a pod and know no exec plugins outside of one."""
    try:
        found = await load_configuration()
    except SettingsError as error:  # without its cause, which may quote the file
        raise kopf.TemporaryError(error.message, delay=_LOGIN_SECONDS) from None
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


class Life:
    """What Kopf calls is in `registry`."""

    def __init__(self, registry: kopf.OperatorRegistry, metrics: Metrics, name: str, namespaces: Collection[str] = ()) -> None:
        """`name` is for the metrics. Only what is in `namespaces` is watched, if there are any."""
        kopf.on.login(registry=registry)(self._login)
        self._registry = registry
        self._name = name
        self._namespaces = namespaces
        self._metrics = metrics
        self._task: asyncio.Task[Any] | None = None
        self._stopping = False
        self._used: kopf.ConnectionInfo | None = None
        self._sessions: list[aiohttp.ClientSession] = []
        self._refused = asyncio.Event()

    def run(self) -> str:
        """Returns why it ended; in a thread."""
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                return runner.run(self._main())
        except asyncio.CancelledError:
            return "as asked"
        except Exception as error:
            # Kopf doesn't survive some refusals (404, 410). Their text is the API server's: it is not for the log.
            _LOG.debug("Kopf ended", exc_info=True)
            return type(error).__name__

    async def _main(self) -> str:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_left_behind)
        self._metrics.count_tasks(self._name, loop)
        self._task = asyncio.current_task()
        if self._stopping:
            return "as asked"
        # Not kopf.operator(): when one of its watches has failed, it may wait for the other one for ever.
        roots = await kopf.spawn_tasks(
            registry=self._registry,
            settings=_settings(),
            memories=_NoMemories(),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            standalone=True,
            # Else it asks for the name of its user, which a user of a container need not have.
            identity=Identity("pyroscope-operator"),
        )
        refused = loop.create_task(self._refused.wait())
        try:
            ended, _ = await asyncio.wait([*roots, refused], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(roots)
            for session in self._sessions:
                await session.close()
            await closed()
        if refused in ended:
            return "credentials refused"
        for task in ended:
            task.result()
        return "without a reason"

    async def _login(self, **_: Any) -> kopf.AiohttpSession:
        """Kopf asks once, and again when the API server has refused the credentials with 401.

        A session of ours, since Kopf leaves some open when it fails.
        """
        info = await _credentials()
        if info == self._used:  # it would ask all the time
            self._refused.set()
            await asyncio.Event().wait()
        self._used = info
        connector = aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context())
        self._sessions.append(aiohttp.ClientSession(connector=connector, headers=info.as_http_headers(), proxy=info.proxy_url))
        return kopf.AiohttpSession(server=info.server, aiohttp_session=self._sessions[-1])

    def stop(self) -> None:
        """Have it end soon; from any thread."""
        again, self._stopping = self._stopping, True
        if not again and self._task is not None:
            with suppress(RuntimeError):  # its loop is closed: it has ended
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)


async def _end(roots: Collection[asyncio.Task[Any]]) -> None:
    """End Kopf in its own order, then what it leaves behind when it has failed.

    One task after the other: a watch that is cancelled together with its helper takes
    that for a pause, and goes on.
    """
    for root in roots:
        root.cancel()
    await asyncio.wait(roots, timeout=_END_SECONDS)
    for _ in range(_END_ROUNDS):
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait({task}, timeout=_END_SECONDS)


def _left_behind(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """When Kopf fails, some of its tasks fail with it and nobody asks why; one line says that the watches ended."""
    if "exception" in context:
        _LOG.debug("%s", context.get("message"), exc_info=context["exception"])
    else:
        loop.default_exception_handler(context)
