"""Targets on loopback, well-behaved and otherwise, and a fetch over the real transport."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from aiohttp import web
from engines import open_transport
from scrape_fakes import GOROUTINE, scrape

from pyroscope_operator.errors import FetchError, ProfileError, ScrapeError
from pyroscope_operator.model.target import Scrape
from pyroscope_operator.scrape.fetch import Answer, Fetcher, request_for
from pyroscope_operator.scrape.room import Room
from pyroscope_operator.transport import plain

SECRET = "s3cr3t"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A target on loopback; keeps requests and how many connections it has seen."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[web.Request] = []
        self.connections: set[tuple[str, int]] = set()
        self.address = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        assert request.transport is not None
        self.connections.add(request.transport.get_extra_info("peername"))
        return await self._handler(request)


@asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[Server]:
    server = Server(handler)
    app = web.Application()
    app.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0).start()
    port = runner.addresses[0][1]
    server.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """A server that says what `talk` says on each connection; yields its address."""
    tasks: set[asyncio.Task[None]] = set()

    async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass  # the client had enough
        finally:
            writer.close()

    async with await asyncio.start_server(until_closed, "127.0.0.1", 0) as server:
        try:
            yield "{}:{}".format(*server.sockets[0].getsockname())
        finally:
            await asyncio.gather(*tasks)


@asynccontextmanager
async def wire(answer: bytes, *, reset: bool = False, hold: bool = False) -> AsyncIterator[str]:
    """A server that reads a request and writes these bytes, whatever they are."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if hold:
            await reader.read()
        if reset:
            linger_0 = b"\x01\0\0\0\0\0\0\0"
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_0)

    async with talking(talk) as address:
        yield address


def at(address: str, what: Scrape | None = None, **fields: object) -> Scrape:
    what = what or scrape(GOROUTINE)
    return replace(what, target=replace(what.target, address=address), **fields)  # type: ignore[arg-type]


async def fetch(what: Scrape) -> bytes:
    """Over a transport of its own: whatever it leaves open is a ResourceWarning."""
    opening = plain.open_transport() if what.target.scheme == "https" else open_transport()
    async with opening as opened:
        return await body_of(Fetcher(lambda _: opened), what)


async def body_of(fetcher: Fetcher, what: Scrape, request: httpx.Request | None = None) -> bytes:
    return (await answer_of(fetcher, what, request)).body


async def answer_of(fetcher: Fetcher, what: Scrape, request: httpx.Request | None = None) -> Answer:
    with Room(1 << 24, "--body-memory").claim("shop") as claim:
        return await fetcher.fetch(request or request_for(what), what, claim)


async def failure(what: Scrape) -> ScrapeError:
    with pytest.raises((FetchError, ProfileError)) as caught:
        await fetch(what)
    assert SECRET not in str(caught.value)
    return caught.value
