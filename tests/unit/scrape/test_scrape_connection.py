"""What a target may send besides one answer, and what a broken answer does to the connection and to the next request."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter

import pytest
import uvloop
from aiohttp import web
from engines import open_transport
from scrape_servers import SECRET, at, body_of, failure, fetch, serving, talking, wire

from pyroscope_operator.errors import ScrapeError
from pyroscope_operator.scrape.fetch import Fetcher, request_for
from pyroscope_operator.transport.connection import MAX_INFORMATIONAL, MAX_OVERHEAD

pytestmark = pytest.mark.usefixtures("engine")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def chunks(size: int, count: int) -> bytes:
    return (f"{size:x}\r\n".encode() + b"x" * size + b"\r\n") * count


# What an answer may weigh


@pytest.mark.parametrize("times", [1, MAX_INFORMATIONAL])
async def test_some_informational_answers_do_no_harm(times: int) -> None:
    async with wire(CONTINUE * times + OK) as address:
        assert await fetch(at(address)) == b"body"


@pytest.mark.parametrize(
    "answer",
    [
        CONTINUE * (MAX_INFORMATIONAL + 1),
        CONTINUE * 100_000,
        CHUNKED + b"1;" + b"x" * (MAX_OVERHEAD + 1),
        CHUNKED + chunks(1, MAX_OVERHEAD // 3) + b"0\r\n\r\n",
        CHUNKED + chunks(15, 140_000) + b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * MAX_OVERHEAD,
    ],
    ids=["informational", "informational for ever", "a chunk's extension", "tiny chunks", "small chunks", "headers"],
)
async def test_more_than_an_answer_needs_is_refused_at_once(answer: bytes) -> None:
    async with wire(answer, hold=True) as address:
        assert (await failure(at(address, body_limit=1 << 24))).reason == "InvalidHTTP"


@pytest.mark.parametrize(("size", "total"), [(16, 600_000), (100, 10_000_000), (1000, 600_000), (100_000, 600_000)])
async def test_a_body_in_chunks_is_taken(size: int, total: int) -> None:
    count = total // size
    async with wire(CHUNKED + chunks(size, count) + b"0\r\nX-Trailer: 1\r\n\r\n") as address:
        assert await fetch(at(address, body_limit=1 << 24)) == b"x" * (size * count)


async def test_informational_answers_leave_the_event_loop_to_others() -> None:
    """Eight megabytes of them arrive faster than they can be parsed. CPU time is looked at, for the machine may be busy."""
    ticks = [time.thread_time()]

    async def tick() -> None:
        while True:
            ticks.append(time.thread_time())
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    async with wire(CONTINUE * 320_000, hold=True) as address:
        assert (await failure(at(address))).reason == "InvalidHTTP"
    ticking.cancel()
    ticks.append(time.thread_time())
    assert max(b - a for a, b in itertools.pairwise(ticks)) < 0.5


def test_a_body_that_is_read_slowly_is_taken() -> None:
    """While reading is paused, some of what came counts as framing, since it has not been parsed."""

    async def read_slowly() -> int:
        size = 0
        answer = CHUNKED + chunks(512, 1 << 14) + b"0\r\n\r\n"
        async with wire(answer) as address, open_transport() as opened:
            response = await opened.handle_async_request(request_for(at(address)))
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size % (1 << 18) < len(chunk):
                    await asyncio.sleep(0.01)
            await response.aclose()
        return size

    assert uvloop.run(read_slowly()) == 8 << 20


# What comes unasked


@pytest.mark.parametrize(
    ("surplus", "later"),
    [
        (OK.replace(b"body", b"evil"), False),
        (OK.replace(b"body", b"evil"), True),
        (CONTINUE, False),
        (CONTINUE, True),
        (b"HTTP/1.1 500", True),
        (b"\r\n", True),
        (SECRET.encode() * 1000, True),
    ],
)
async def test_the_next_request_is_not_answered_by_what_came_before_it(surplus: bytes, later: bool) -> None:
    answered, closed = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK if later else OK + surplus)
        if later:
            await answered.wait()
            writer.write(surplus)
        assert await reader.read() == b"", "a second request on this connection"
        closed.set()

    async with talking(talk) as address, open_transport() as opened, asyncio.timeout(10):
        what = at(address)
        fetcher, request = Fetcher(lambda _: opened), request_for(what)
        for _ in range(3):
            assert await body_of(fetcher, what, request) == b"body"
            answered.set()
            await closed.wait()
            answered.clear()
            closed.clear()


async def test_who_speaks_first_is_no_http_server() -> None:
    """What comes before the request was sent breaks the connection that it is sent on."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"SSH-2.0-{SECRET}\r\n".encode())
        await reader.read()

    async with talking(talk) as address:
        assert (await failure(at(address))).reason in {"ConnectionLost", "InvalidHTTP"}


async def test_answers_to_nothing_are_not_kept() -> None:
    """A connection that is idle takes nothing in, however much comes."""
    refused = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            while True:
                writer.write(OK * 1000)
                await writer.drain()
        except ConnectionError:
            refused.set()

    async with talking(talk) as address, open_transport() as opened:
        what = at(address)
        assert await body_of(Fetcher(lambda _: opened), what) == b"body"
        async with asyncio.timeout(5):
            await refused.wait()


# What a broken answer leaves behind


async def test_a_body_that_breaks_later_is_not_waited_for() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED + chunks(3, 1))
        await asyncio.sleep(0.05)
        writer.write(b"zzz\r\n")
        await reader.read()

    async with talking(talk) as address:
        error = await failure(at(address))
    assert error.reason == "InvalidHTTP"


def test_a_large_body_does_not_fail_the_next_request() -> None:
    """No timer of a request runs on while the connection is idle.

    On uvloop, as in production: it depends on how much comes with one read.
    """
    large = bytes(600_000)

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=large)

    async def scrape_again_and_again() -> None:
        async with serving(handler) as server, open_transport() as opened:
            what = at(server.address, timeout=0.3)
            fetcher, request = Fetcher(lambda _: opened), request_for(what)
            for _ in range(5):
                assert await body_of(fetcher, what, request) == large
                await asyncio.sleep(0.4)
            assert len(server.connections) == 1

    uvloop.run(scrape_again_and_again())


@pytest.mark.parametrize("words", [b"\xff\xfe", "grüß".encode(), b"", SECRET.encode()])
async def test_the_reason_phrase_does_not_matter(words: bytes) -> None:
    async with wire(OK.replace(b"OK", words)) as address:
        assert await fetch(at(address)) == b"body"


async def test_mutated_answers_are_failures_and_nothing_else() -> None:
    """Whatever the bytes: the fetch ends in time with a body or with an error of our own."""
    draw = random.Random(20261125)
    seeds = (
        OK,
        CONTINUE + OK,
        CHUNKED + chunks(5, 2) + b"0\r\na: b\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /x/../y;%41?a=b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\nSet-Cookie: a=b; Path=/\r\n\r\n\x1f\x8b",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nabc",
    )
    pieces = (
        b"\r\n",
        b"\r\n\r\n",
        b":",
        b"\0",
        b"-1",
        b"9" * 25,
        b"\xff\xfe",
        b"[::1]",
        b"@",
        b"chunked",
        b"Content-Length: 5\r\n",
    )

    def mutated() -> bytes:
        answer = bytearray(draw.choice(seeds))
        for _ in range(draw.choice((1, 2, 4))):
            position = draw.randrange(len(answer))
            answer[position : position + draw.choice((0, 1, 5))] = draw.choice((*pieces, draw.randbytes(1)))
        return bytes(answer)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(10_000):
            writer.write(mutated())

    results: Counter[str] = Counter()
    async with talking(talk) as address, open_transport() as opened:
        what = at(address, timeout=0.05)
        fetcher, request = Fetcher(lambda _: opened), request_for(what)
        for _ in range(400):
            try:
                await body_of(fetcher, what, request)
            except ScrapeError as error:
                results[error.reason] += 1
            else:
                results["ok"] += 1
    assert {"ok", "InvalidHTTP", "HTTPStatus", "Timeout"} <= results.keys()
