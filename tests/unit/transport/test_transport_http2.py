"""HTTP/2 and HTTP/1.1 over TLS: what is agreed on, what is kept open, and what is left behind."""

from __future__ import annotations

import asyncio
import itertools
import time
import tracemalloc
from collections.abc import AsyncIterator

import hpack
import httpx
import pytest
from transport_servers import (
    ANSWER,
    frame,
    get,
    hostile_http2,
    http1,
    http2,
    send,
    server_context,
    talking,
    trusting,
)

from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access
from pyroscope_operator.transport.clients import open_clients
from pyroscope_operator.transport.faults import Truncated

ACCESS = Access(tls=trusting())
NAME = "pyroscope_operator_connections"
HEADERS, BODY = frame(1, b"\x88", flags=4, stream=1), frame(0, b"hello", flags=1, stream=1)
"""An answer with status 200."""


def connections(metrics: Metrics, engine: str = "httpcore") -> float:
    return metrics.registry.get_sample_value(NAME, {"engine": engine}) or 0


async def test_http2_is_spoken_where_it_is_offered_and_the_connection_kept() -> None:
    metrics = Metrics()
    async with http2() as server, open_clients(metrics) as clients:
        for size in (0, 5, 100_000, 3_000_000):
            status, body = await get(clients, ACCESS, f"{server.url}{size}")
            assert (status, len(body)) == (200, size)
        assert (server.connections, connections(metrics)) == (1, 1)
    assert connections(metrics) == 0


async def test_http2_may_be_turned_off() -> None:
    async with http1(context=server_context(http2=False)) as server, open_clients(Metrics()) as clients:
        assert await get(clients, Access(tls=trusting(), http2=False), server.url) == (200, b"hello")


class Slices(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 50_000


async def test_a_large_body_is_sent() -> None:
    async with http2() as server, open_clients(Metrics()) as clients:
        request = httpx.Request("POST", f"{server.url}echo", headers={"Content-Length": "1000000"}, stream=Slices())
        assert await send(clients.of(ACCESS), request) == (200, b"x" * 1_000_000)


async def test_many_at_once_have_a_connection_each_and_share_them_later() -> None:
    async with http2() as server, open_clients(Metrics()) as clients:
        for _ in range(3):
            answers = await asyncio.gather(*(get(clients, ACCESS, f"{server.url}{n}") for n in range(5)))
            assert [len(body) for _, body in answers] == [0, 1, 2, 3, 4]
        assert server.connections == 5


async def test_aiohttp_takes_over_where_http2_is_not_offered() -> None:
    metrics = Metrics()
    async with http1(context=server_context()) as server, open_clients(metrics) as clients:
        for _ in range(3):
            assert await get(clients, ACCESS, server.url) == (200, b"hello")
        assert len(server.peers) == 2
        assert (connections(metrics), connections(metrics, "aiohttp")) == (0, 1)


async def test_what_was_learned_is_forgotten_when_the_connection_fails() -> None:
    """The other side is replaced by one that speaks HTTP/2."""
    metrics = Metrics()
    async with open_clients(metrics) as clients:
        async with http1(context=server_context()) as first:
            await get(clients, ACCESS, first.url)
            await get(clients, ACCESS, first.url)
        port = int(first.url.rsplit(":", 1)[1].strip("/"))
        with pytest.raises(httpx.HTTPError):
            await get(clients, ACCESS, first.url)
        server = await asyncio.start_server(_one_answer, "127.0.0.1", port, ssl=server_context())
        async with server:
            assert await get(clients, ACCESS, first.url) == (200, b"hello")
            assert connections(metrics, "aiohttp") == 0


async def _one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)
    await writer.drain()
    writer.close()


async def test_a_get_that_meets_a_closing_connection_is_sent_once_more() -> None:
    async with http2() as server, open_clients(Metrics()) as clients:
        await get(clients, ACCESS, f"{server.url}1")
        server.hang_up_on_next = True
        assert await get(clients, ACCESS, f"{server.url}2") == (200, b"xx")
        assert server.connections == 2
        server.hang_up_on_next = True
        with pytest.raises(httpx.ReadError):
            await get(clients, ACCESS, f"{server.url}echo", "POST", b"profile")
        assert len(server.requests) == 2


async def test_a_connection_that_was_closed_while_idle_is_not_used() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER.replace(b"Connection: close\r\n", b""))

    async with talking(once) as (host, port), open_clients(Metrics()) as clients:
        for _ in range(3):
            assert await get(clients, Access(), f"http://{host}:{port}/", "POST", b"") == (200, b"hello")
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", ["status/404", "status/503", "never"])
async def test_what_is_not_read_to_its_end_leaves_nothing_behind(path: str) -> None:
    metrics = Metrics()
    async with http2() as server, open_clients(metrics) as clients:
        tasks = asyncio.all_tasks()
        for _ in range(3):
            try:
                async with asyncio.timeout(0.1 if path == "never" else 10):
                    response = await clients.of(ACCESS).handle_async_request(httpx.Request("GET", server.url + path))
                    await response.aclose()
            except TimeoutError:
                assert path == "never"
        async with asyncio.timeout(5):
            while connections(metrics):
                await asyncio.sleep(0.01)
            while asyncio.all_tasks() - tasks:
                await asyncio.sleep(0.01)
        assert await get(clients, ACCESS, f"{server.url}2") == (200, b"xx")


async def test_a_body_that_is_given_up_leaves_nothing_behind() -> None:
    metrics = Metrics()
    async with http2() as server, open_clients(metrics) as clients:
        response = await clients.of(ACCESS).handle_async_request(httpx.Request("GET", f"{server.url}3000000"))
        async for _ in response.aiter_raw():
            break
        await response.aclose()
        async with asyncio.timeout(5):
            while connections(metrics):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("after", [0.0, 0.001, 0.003, 0.01])
async def test_cancelled_while_connecting(after: float) -> None:
    metrics = Metrics()
    async with http2() as server, open_clients(metrics) as clients:
        for _ in range(5):
            try:
                async with asyncio.timeout(after):
                    await get(clients, Access(tls=trusting(), authorization="x"), f"{server.url}never")
            except TimeoutError:
                pass
        async with asyncio.timeout(5):
            while connections(metrics):
                await asyncio.sleep(0.01)


async def test_cut_off_within_the_body() -> None:
    head = frame(1, b"\x88", flags=4, stream=1)
    async with (
        hostile_http2(head + frame(0, b"x" * 100, stream=1) + frame(7, bytes(8))) as url,
        open_clients(Metrics()) as clients,
    ):
        with pytest.raises(Truncated):
            await get(clients, ACCESS, url)


GOODBYE = frame(7, (1).to_bytes(4, "big") + bytes(4))


@pytest.mark.parametrize("pieces", [(GOODBYE, HEADERS, BODY), (HEADERS, GOODBYE, BODY), (HEADERS, BODY, GOODBYE)])
async def test_an_answer_that_comes_with_a_goodbye(pieces: tuple[bytes, ...]) -> None:
    """It is taken, and the connection is not used again."""
    metrics = Metrics()
    async with hostile_http2(*pieces) as url, open_clients(metrics) as clients:
        for _ in range(3):
            assert await get(clients, ACCESS, url) == (200, b"hello")
            assert connections(metrics) <= 1


@pytest.mark.parametrize("goaway", [(0, 0), (1, 2)], ids=["not our stream", "an error"])
async def test_any_other_goaway_is_the_end(goaway: tuple[int, int]) -> None:
    last, error = goaway
    said = frame(7, last.to_bytes(4, "big") + error.to_bytes(4, "big"))
    async with hostile_http2(said, HEADERS, BODY) as url, open_clients(Metrics()) as clients:
        with pytest.raises(httpx.TransportError):
            await get(clients, ACCESS, url)


# Hostile servers


def headers(*fields: tuple[str, str]) -> bytes:
    """An answer's head of these, in as many frames as it takes."""
    block = hpack.Encoder().encode([(":status", "200"), *fields])
    parts = [block[start : start + 16384] for start in range(0, len(block), 16384)]
    return b"".join(frame(9 if n else 1, part, flags=4 if n == len(parts) - 1 else 0, stream=1) for n, part in enumerate(parts))


HEAD = headers()
SETTINGS = b"\x00\x03" + (50).to_bytes(4, "big")
HOSTILE = {
    "ping": (b"", frame(6, bytes(8)) * 1000),
    "settings": (b"", frame(4, SETTINGS) * 1000),
    "empty data": (HEAD, frame(0, stream=1) * 1000),
    "tiny data": (HEAD, frame(0, b"x", stream=1) * 1000),
    "padded data": (HEAD, frame(0, b"\xff" + bytes(256), flags=8, stream=1) * 100),
    "window updates": (HEAD, frame(8, b"\0\0\0\1", stream=1) * 1000),
    "continuations": (frame(1, b"", flags=0, stream=1), frame(9, b"", stream=1) * 1000),
    "informational": (b"", frame(1, b"\x08\x03100", flags=4, stream=1) * 500),
    "unknown frames": (b"", frame(99, b"x" * 100) * 100),
    "resets of others": (b"", frame(3, bytes(4), stream=3) * 1000),
    "priority": (b"", frame(2, bytes(5), stream=1) * 1000),
    "header list": (headers(*((f"name-{n}", "v" * 400) for n in range(300))), b""),
    "header bomb": (headers(*[("name", "v" * 4000)] * 10_000), b""),
    "headers again and again": (b"", headers(*[("name", "v" * 4000)] * 15) * 50),
    "status": (frame(1, b"\x08\x03abc", flags=4, stream=1), b""),
    "no status": (frame(1, b"\x40\x01a\x01b", flags=5, stream=1), b""),
    "garbage": (b"", b"\xff" * 1000),
    "not hpack": (frame(1, b"\xff" * 50, flags=4, stream=1), b""),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_http2_holds_up_nobody(name: str) -> None:
    """CPU time between two turns of the loop, since the machine may be busy."""
    ticks = []

    async def tick() -> None:
        while True:
            ticks.append(time.thread_time())
            await asyncio.sleep(0.001)

    pieces, forever = HOSTILE[name]
    async with hostile_http2(pieces, forever=forever) as url, open_clients(Metrics()) as clients:
        await clients._contexts.of(ACCESS.tls, http2=True)
        tracemalloc.start()
        ticking = asyncio.create_task(tick())
        try:
            if name in {"no status"}:
                await get(clients, ACCESS, url)
            else:
                with pytest.raises(httpx.TransportError):
                    await get(clients, ACCESS, url)
        finally:
            ticking.cancel()
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    assert peak < 8_000_000
    assert max((b - a for a, b in itertools.pairwise(ticks)), default=0) < 0.4  # tracemalloc doubles it


async def test_hostile_http1_holds_up_nobody() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
            await writer.drain()
            await asyncio.sleep(0)

    async with talking(talk, server_context()) as (host, port), open_clients(Metrics()) as clients:
        with pytest.raises(httpx.RemoteProtocolError):
            await get(clients, ACCESS, f"https://{host}:{port}/")
