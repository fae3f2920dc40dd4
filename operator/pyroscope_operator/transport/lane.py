"""Connections that are made alike, to whatever hosts: shared by all who trust, prove and take the same."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, cast

import httpcore
import httpx

from pyroscope_operator.errors import AccessError
from pyroscope_operator.model.access import TlsSettings
from pyroscope_operator.transport.exchange import Connection
from pyroscope_operator.transport.faults import (
    DESTINATION_DENIED,
    NETWORK_ERRORS,
    PROXY_UNREACHABLE,
    TOO_MANY_CLIENTS,
    access_error,
    cause,
    was_cut,
)
from pyroscope_operator.transport.plain import open_transport
from pyroscope_operator.transport.proxy import Proxy
from pyroscope_operator.transport.sockets import SocketFactory, Sockets
from pyroscope_operator.transport.tls import Contexts
from pyroscope_operator.transport.tunnel import refused, tunnel
from pyroscope_operator.transport.wire import Wire, connect

_MAX_REMEMBERED = 10_000
"""Origins that speak HTTP/1.1 only."""
_LAST_WORD_SECONDS = 0.5
"""For a server to say that it does not take our certificate."""
_IDEMPOTENT = frozenset({"GET", "HEAD"})
_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Whom a request is for."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class LaneKey:
    """What makes connections differ."""

    tls: TlsSettings
    http2: bool
    guarded: bool
    proxy: Proxy | None


class Lane:
    """The connections of one LaneKey: aiohttp's where it can do it, httpcore's for HTTP/2 and through proxies."""

    def __init__(self, key: LaneKey, contexts: Contexts, sockets: Sockets) -> None:
        self.key = key
        self.active = 0
        """Requests whose answers are not over."""
        self.last_used = 0.0
        self._contexts = contexts
        self._sockets = sockets
        self._context: ssl.SSLContext | None = None
        self._aiohttp: httpx.AsyncBaseTransport | None = None
        self._resources = AsyncExitStack()
        self._idle: dict[Origin, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._speak_http1: OrderedDict[Origin, None] = OrderedDict()

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The answer to `request`. Raises NETWORK_ERRORS and AccessError."""
        self.active += 1
        self.last_used = asyncio.get_running_loop().time()
        try:
            response = await self._send(request)
        except BaseException:
            self._leave()
            raise
        response.stream = _Leased(cast(httpx.AsyncByteStream, response.stream), self._leave)
        return response

    def _leave(self) -> None:
        self.active -= 1
        self.last_used = asyncio.get_running_loop().time()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        origin = _origin(request.url)
        try:
            return await self._answer(request, origin)
        except NETWORK_ERRORS as error:
            if origin.scheme == "https" and was_cut(error) and (told := await self._last_word(origin)):
                raise httpx.ReadError("TLS failed") from told
            raise

    async def _last_word(self, origin: Origin) -> ssl.SSLError | None:
        """Connect once more, say nothing, and listen to what TLS says.

        In TLS 1.3 our certificate is refused only after we may have begun to talk. A server that closes then
        resets the connection, and its alert is lost where we are still writing.
        """
        try:
            connection = await self._connect(origin)
        except (AccessError, *NETWORK_ERRORS):
            return None
        try:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await connection.ended()
        except TimeoutError:
            return None
        except httpx.ReadError as error:
            return error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else None
        finally:
            connection.abort()
        return None

    async def _answer(self, request: httpx.Request, origin: Origin) -> httpx.Response:
        if self.key.proxy is None and (not self.key.http2 or origin in self._speak_http1):
            return await self._send_by_aiohttp(request, origin)
        if self.key.proxy is not None and self.key.guarded:
            self._sockets.check_host(request.url.host)  # all that can be seen of what a proxy connects to
        response = await self._send_by_httpcore(request, origin)
        if self._is_forwarded(origin) and response.status_code == 407:
            await response.aclose()
            raise refused(407)
        return response

    async def _send_by_aiohttp(self, request: httpx.Request, origin: Origin) -> httpx.Response:
        if self._aiohttp is None:
            context = await self._tls_context()
            if self._aiohttp is None:
                make_socket = self._sockets.factory("aiohttp", guarded=self.key.guarded)
                self._aiohttp = await self._resources.enter_async_context(open_transport(context, make_socket))
        try:
            return await self._aiohttp.handle_async_request(request)
        except NETWORK_ERRORS:
            self._speak_http1.pop(origin, None)
            raise

    async def _send_by_httpcore(self, request: httpx.Request, origin: Origin) -> httpx.Response:
        core = _core_request(request, absolute=self._is_forwarded(origin), more=self._proxy_headers(origin))
        if connection := await self._take_idle(origin):
            try:
                return await self._exchange(connection, origin, core)
            except httpx.ReadError:
                if not connection.is_untouched or request.method not in _IDEMPOTENT:
                    raise  # else the other side closed it in this moment, as it may
        return await self._exchange(await self._connect(origin), origin, core)

    async def _exchange(self, connection: Connection, origin: Origin, core: httpcore.Request) -> httpx.Response:
        self._busy.add(connection)
        try:
            return await connection.send(core, partial(self._give_back, connection, origin))
        except BaseException:
            self._busy.discard(connection)
            connection.abort()
            raise

    async def _take_idle(self, origin: Origin) -> Connection | None:
        connections = self._idle.get(origin, [])
        while connections:
            connection = connections.pop()
            if connection.is_reusable:
                return connection
            await connection.aclose()
        self._idle.pop(origin, None)
        return None

    def _give_back(self, connection: Connection, origin: Origin) -> None:
        self._busy.discard(connection)
        if connection.is_reusable and origin not in self._speak_http1:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.setdefault(origin, []).append(connection)
        else:
            connection.abort()

    async def _connect(self, origin: Origin) -> Connection:
        scheme, host, port = origin
        context = await self._tls_context() if scheme == "https" else None
        proxy = self.key.proxy
        make_socket = self._sockets.factory("httpcore", guarded=proxy.guarded if proxy else self.key.guarded)
        if proxy is None:
            wire = await _reached(host, port, make_socket)
        else:
            wire = await self._reach_proxy(proxy, make_socket)
        try:
            if proxy is not None and not self._is_forwarded(origin):
                await tunnel(wire, proxy, host, port)
            if context is not None:
                await _secure(wire, context, self.key.tls.server_name or host.rstrip("."))
        except BaseException:
            wire.abort()
            raise
        connection = Connection(wire, httpcore.Origin(scheme.encode(), host.encode(), port))
        if context is not None and proxy is None and not connection.is_http2:
            self._remember(origin)
        return connection

    async def _reach_proxy(self, proxy: Proxy, make_socket: SocketFactory) -> Wire:
        try:
            wire = await connect(proxy.host, proxy.port, make_socket)
            if proxy.scheme == "https":
                # it is trusted as the other side is, and is told nothing of us
                trust = replace(self.key.tls, cert=None, key=None, server_name=None)
                await wire.start_tls(await self._contexts.of(trust, http2=False), proxy.host)
        except OSError as error:
            failure = access_error(error)
            if failure is not None and failure.reason in {DESTINATION_DENIED, TOO_MANY_CLIENTS}:
                raise failure from error
            raise AccessError(PROXY_UNREACHABLE, f"cannot connect to the proxy: {cause(error)}") from error
        return wire

    async def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await self._contexts.of(self.key.tls, http2=self.key.http2)
        return self._context

    def _remember(self, origin: Origin) -> None:
        self._speak_http1[origin] = None
        while len(self._speak_http1) > _MAX_REMEMBERED:
            self._speak_http1.popitem(last=False)

    def _is_forwarded(self, origin: Origin) -> bool:
        """Whether the proxy gets the request itself, and makes one of its own."""
        return self.key.proxy is not None and not self.key.proxy.is_socks and origin.scheme == "http"

    def _proxy_headers(self, origin: Origin) -> list[tuple[bytes, bytes]]:
        return self.key.proxy.headers() if self.key.proxy is not None and self._is_forwarded(origin) else []

    async def sweep(self, before: float) -> None:
        """Close httpcore's connections that are idle since `before`; aiohttp does that by itself."""
        for origin, connections in list(self._idle.items()):
            for connection in [one for one in connections if one.idle_since <= before or not one.is_reusable]:
                connections.remove(connection)
                await connection.aclose()
            if not connections:
                self._idle.pop(origin, None)

    async def aclose(self) -> None:
        await self.sweep(float("inf"))
        for connection in self._busy:
            connection.abort()
        await self._resources.aclose()
        self._aiohttp = self._context = None
        self._resources = AsyncExitStack()


class _Leased(httpx.AsyncByteStream):
    """A body that tells when it is over."""

    def __init__(self, stream: httpx.AsyncByteStream, leave: Callable[[], None]) -> None:
        self._stream = stream
        self._leave: Callable[[], None] | None = leave

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            if self._leave is not None:
                self._leave()
                self._leave = None


def _origin(url: httpx.URL) -> Origin:
    return Origin(url.scheme, url.raw_host.decode(), url.port or _PORTS[url.scheme])


def _core_request(request: httpx.Request, *, absolute: bool, more: list[tuple[bytes, bytes]]) -> httpcore.Request:
    origin = _origin(request.url)
    target = b"http://" + request.url.netloc + request.url.raw_path if absolute else request.url.raw_path
    if "host" not in request.headers:
        more = [(b"Host", request.url.netloc), *more]
    return httpcore.Request(
        request.method.encode(),
        httpcore.URL(scheme=origin.scheme.encode(), host=origin.host.encode(), port=origin.port, target=target),
        headers=[*request.headers.raw, *more],
        content=request.stream,
    )


async def _reached(host: str, port: int, make_socket: SocketFactory) -> Wire:
    try:
        return await connect(host, port, make_socket)
    except OSError as error:
        raise httpx.ConnectError("cannot connect") from error


async def _secure(wire: Wire, context: ssl.SSLContext, name: str) -> None:
    try:
        await wire.start_tls(context, name)
    except OSError as error:
        raise httpx.ConnectError("TLS failed") from error
