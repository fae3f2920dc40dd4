"""Direct connections and plain HTTP/1.1: httpx's interface over connections of our own.

What most scrapes take.  It does what they need and no more, at a fraction of what
aiohttp costs: no task, no timer and no copy per request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

import httpx

from pyroscope_operator.transport.dial import connected
from pyroscope_operator.transport.head import Head, head_of
from pyroscope_operator.transport.link import Link
from pyroscope_operator.transport.loop import CLOSING_SECONDS
from pyroscope_operator.transport.plain import KEEPALIVE
from pyroscope_operator.transport.reply import Reply, Response
from pyroscope_operator.transport.sockets import SocketFactory, Sockets


class LeanTransport(httpx.AsyncBaseTransport):
    """For http:// only. There is no timeout and no connection limit here: whoever sends bounds both."""

    def __init__(self, make_socket: SocketFactory) -> None:
        self._make_socket = make_socket
        self._loop = asyncio.get_running_loop()
        self._idle: dict[tuple[str, int], list[Link]] = {}
        self._open: set[Link] = set()
        self._none_open = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        head = head_of(request)
        link = self._take(head.origin)
        if link is not None:
            reply = await _ask(link, head, request)
            if reply.status:
                return Response(reply, request)
            if reply.wire or not head.is_repeatable:
                raise reply.failure()
            # Nothing came: the other side has closed it while it was idle.
        link = await self._dial(head.origin)
        reply = await _ask(link, head, request)
        if not reply.status:
            raise reply.failure()
        return Response(reply, request)

    def _take(self, origin: tuple[str, int]) -> Link | None:
        """The connection that was used last, if it is still good."""
        idle = self._idle.get(origin)
        while idle:
            link = idle.pop()
            if link.is_open and link.idle_since > self._loop.time() - KEEPALIVE:
                return link
            link.close()
        return None

    async def _dial(self, origin: tuple[str, int]) -> Link:
        link = Link(self, origin, self._loop)
        try:
            made = await connected(*origin, self._make_socket)
            try:
                await self._loop.create_connection(lambda: link, sock=made)
            except BaseException:
                link.abort()
                made.close()
                raise
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("no connection") from error
        if link.is_open:  # uvloop does not tell of the end of one that was cancelled before this
            self._open.add(link)
        return link

    # For connections

    def release(self, link: Link) -> None:
        link.idle_since = self._loop.time()
        idle = self._idle.get(link.origin)
        if idle is None:
            self._idle[link.origin] = [link]
        else:
            idle.append(link)

    def forget(self, link: Link) -> None:
        self._open.discard(link)
        idle = self._idle.get(link.origin)
        if idle is not None:
            if link in idle:
                idle.remove(link)
            if not idle:
                del self._idle[link.origin]
        if not self._open:
            self._none_open.set()

    # For the owner

    def sweep(self, before: float) -> None:
        """Close what is idle since `before`, by the event loop's clock."""
        old = [link for links in self._idle.values() for link in links if link.idle_since <= before]
        for link in old:
            self._idle[link.origin].remove(link)
            link.close()

    async def aclose(self) -> None:
        """End all connections, and wait until they are closed."""
        for link in tuple(self._open):
            link.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * CLOSING_SECONDS):
                while self._open:
                    self._none_open.clear()
                    await self._none_open.wait()


async def _ask(link: Link, head: Head, request: httpx.Request) -> Reply:
    """The answer to a request, once its headers are there or it is lost."""
    reply = link.begin()
    try:
        link.write(head.wire)
        if head.is_streamed:
            await _send(link, reply, cast(AsyncIterable[bytes], request.stream))
        else:
            link.is_sent = True
        while not reply.status and not reply.is_lost:
            await reply.wait()
    except BaseException:
        reply.close()  # the connection may be another's already
        raise
    return reply


async def _send(link: Link, reply: Reply, stream: AsyncIterable[bytes]) -> None:
    """The body of the request; no more of it once it was answered."""
    async for part in stream:
        while link.is_blocked and not reply.status and not reply.is_over:
            await reply.wait()
        if reply.status or reply.is_over:
            return
        link.write(part)
    link.is_sent = True


@asynccontextmanager
async def open_lean(make_socket: SocketFactory | None = None) -> AsyncIterator[LeanTransport]:
    """A transport that is properly closed at the end."""
    transport = LeanTransport(make_socket or Sockets().factory("httptools", guarded=False))
    try:
        yield transport
    finally:
        await transport.aclose()
