"""One transport for each way to the other side, and what they share."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import httpx

from pyroscope_operator.errors import AccessError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access, OAuth2Settings, ProxySettings
from pyroscope_operator.transport.destination import ANYWHERE, Destinations
from pyroscope_operator.transport.faults import NETWORK_ERRORS, TOO_MANY_CLIENTS, access_error
from pyroscope_operator.transport.lane import Lane, LaneKey
from pyroscope_operator.transport.lean import LeanTransport, open_lean
from pyroscope_operator.transport.loop import CLOSING_SECONDS
from pyroscope_operator.transport.plain import KEEPALIVE
from pyroscope_operator.transport.proxy import proxy_for
from pyroscope_operator.transport.sockets import MAX_CONNECTIONS, Sockets
from pyroscope_operator.transport.tls import Contexts
from pyroscope_operator.transport.token import TokenSource

MAX_WAYS = 1000
"""Ways that are remembered; one that was forgotten is made anew, and costs next to nothing."""
MAX_LANES = 256
"""Different TLS settings and proxies at a time: each may have an SSLContext of 0.8 MB."""
IDLE_SECONDS = 600.0
"""Connections of settings that nobody used for so long are closed."""
_RECENT_SECONDS = 60.0
"""What was used within these is not given up for others: it would be wanted again at the next slot."""
_SWEEP_SECONDS = 15.0
_RETRIED = 401

TransportFor = Callable[[Access], httpx.AsyncBaseTransport]
"""`Clients.of`, or what a test puts in its place."""


class Clients:
    """The transports. Open it with `open_clients`."""

    def __init__(
        self, plain: Mapping[bool, LeanTransport], sockets: Sockets, environment: Mapping[str, str], metrics: Metrics
    ) -> None:
        """`plain`: for http:// without a proxy; by whether destinations are guarded."""
        self._plain = plain
        self._sockets = sockets
        self._environment = environment
        self._metrics = metrics
        self._contexts = Contexts()
        self._ways: OrderedDict[Access, Way] = OrderedDict()
        self._lanes: OrderedDict[LaneKey, Lane] = OrderedDict()
        self._sources: OrderedDict[OAuth2Settings, TokenSource] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.transport_clients.set_function(lambda: len(self._lanes))
        metrics.tls_contexts.set_function(lambda: len(self._contexts))
        for engine in ("aiohttp", "httpcore", "httptools"):
            metrics.connections.labels(engine).set_function(lambda engine=engine: sockets.open[engine])  # type: ignore[misc]

    def of(self, access: Access) -> httpx.AsyncBaseTransport:
        """The transport for `access`: it adds credentials and headers, and goes through proxies.

        Besides NETWORK_ERRORS its requests raise AccessError when TLS, a proxy, a token or
        the destination is what is wrong.  It may be kept for ever: what it needs is opened
        when it is used, and closed when nobody used it for IDLE_SECONDS.
        """
        way = self._ways.get(access)
        if way is None:
            way = self._ways[access] = Way(access, self)
            while len(self._ways) > MAX_WAYS:
                self._ways.popitem(last=False)
        self._ways.move_to_end(access)
        return way

    async def send(self, access: Access, request: httpx.Request) -> httpx.Response:
        """The answer to `request`, which has all its headers."""
        proxy = proxy_for(access.proxy, request.url, self._environment)
        if request.url.scheme == "http" and proxy is None:
            return await self.plain(access).handle_async_request(request)
        return await (await self._lane(LaneKey(access.tls, access.http2, access.guarded, proxy))).send(request)

    def plain(self, access: Access) -> httpx.AsyncBaseTransport:
        """For http:// without a proxy: it never ends before the clients do."""
        return self._plain[access.guarded]

    def tokens(self, settings: OAuth2Settings) -> TokenSource:
        """The source of tokens that all with these settings share."""
        source = self._sources.get(settings)
        if source is None:
            transport = self.of(Access(tls=settings.tls, proxy=settings.proxy, guarded=True))
            source = self._sources[settings] = TokenSource(settings, transport, self._spawn, self._count_token)
            while len(self._sources) > MAX_WAYS:
                self._sources.popitem(last=False)
        self._sources.move_to_end(settings)
        return source

    def _count_token(self, result: str) -> None:
        self._metrics.token_requests.labels(result).inc()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="token")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _lane(self, key: LaneKey) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                await self._close_idle(_RECENT_SECONDS, at_most=1)
            if len(self._lanes) >= MAX_LANES:
                raise AccessError(TOO_MANY_CLIENTS, f"more than {MAX_LANES} different TLS settings and proxies are in use")
            lane = self._lanes.setdefault(key, Lane(key, self._contexts, self._sockets))
        self._lanes.move_to_end(key)
        return lane

    async def _close_idle(self, seconds: float, at_most: int) -> None:
        """Close lanes that nobody used for `seconds`, least recently used ones first."""
        before = asyncio.get_running_loop().time() - seconds
        idle = [key for key, lane in self._lanes.items() if not lane.active and lane.last_used <= before]
        for lane in [self._lanes.pop(key) for key in idle[:at_most]]:
            await lane.aclose()

    async def sweep(self) -> None:
        """Close what is idle, again and again."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            await self._close_idle(IDLE_SECONDS, at_most=MAX_LANES)
            for transport in self._plain.values():
                transport.sweep(now - KEEPALIVE)
            for lane in list(self._lanes.values()):
                await lane.sweep(now - KEEPALIVE)

    async def aclose(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._lanes:
            await self._lanes.popitem()[1].aclose()
        await self._contexts.aclose()


class Way(httpx.AsyncBaseTransport):
    """The transport for one Access. It holds no connections itself, and needs no closing."""

    def __init__(self, access: Access, clients: Clients) -> None:
        self._access = access
        self._clients = clients
        self._headers = [
            *access.headers,
            *([("Authorization", access.authorization)] if access.authorization is not None else []),
        ]
        self._is_bare = not self._headers and access.oauth2 is None and access.tls.server_name is None
        self._shortcut = clients.plain(access) if self._is_bare and access.proxy == ProxySettings() else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            if self._shortcut is not None and request.url.scheme == "http":
                return await self._shortcut.handle_async_request(request)
            if self._is_bare:
                return await self._clients.send(self._access, request)
            if self._access.oauth2 is None:
                return await self._clients.send(self._access, self._dressed(request))
            return await self._send_with_token(request, self._clients.tokens(self._access.oauth2))
        except NETWORK_ERRORS as error:
            if known := access_error(error):
                raise known from error
            raise
        except UnicodeError as error:  # of Python's own IDNA codec: labels of a name have 1 to 63 characters
            raise httpx.ConnectError("no valid host name") from error

    async def _send_with_token(self, request: httpx.Request, source: TokenSource) -> httpx.Response:
        token = await source.get()
        response = await self._clients.send(self._access, self._dressed(request, ("Authorization", f"Bearer {token}")))
        if response.status_code != _RETRIED or not source.reject(token):
            return response
        with suppress(*NETWORK_ERRORS):
            await response.aclose()
        again = ("Authorization", f"Bearer {await source.get()}")
        return await self._clients.send(self._access, self._dressed(request, again))

    def _dressed(self, request: httpx.Request, *more: tuple[str, str]) -> httpx.Request:
        """A copy with what this way adds; the caller's own may be sent again, or another way."""
        headers = request.headers.copy()
        for name, value in (*self._headers, *more):
            headers[name] = value
        extensions = dict(request.extensions)
        if self._access.tls.server_name is not None:
            extensions["sni_hostname"] = self._access.tls.server_name
        try:
            content = request.content
        except httpx.RequestNotRead:
            return httpx.Request(request.method, request.url, headers=headers, stream=request.stream, extensions=extensions)
        return httpx.Request(request.method, request.url, headers=headers, content=content, extensions=extensions)


@asynccontextmanager
async def open_clients(
    metrics: Metrics,
    *,
    destinations: Destinations = ANYWHERE,
    max_connections: int = MAX_CONNECTIONS,
    environment: Mapping[str, str] = os.environ,
) -> AsyncIterator[Clients]:
    """Clients whose connections are closed at the end. `environment` names the machine's proxies."""
    sockets = Sockets(max_connections, destinations)
    async with AsyncExitStack() as stack:
        plain = {
            guarded: await stack.enter_async_context(open_lean(sockets.factory("httptools", guarded=guarded)))
            for guarded in (False, True)
        }
        clients = Clients(plain, sockets, environment, metrics)
        stack.push_async_callback(clients.aclose)
        sweeping = asyncio.create_task(clients.sweep(), name="idle connections")
        try:
            yield clients
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
    with suppress(TimeoutError):  # TLS connections take a moment
        async with asyncio.timeout(2 * CLOSING_SECONDS):
            await sockets.all_closed()
