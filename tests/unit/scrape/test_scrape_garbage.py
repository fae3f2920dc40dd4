"""A scrape leaves no cycles behind, however it ends: the garbage collector would have to look for them among all objects."""

from __future__ import annotations

import asyncio
import gc
import gzip
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest
from aiohttp import web
from pprof_builder import ALLOCS, raw
from scrape_fakes import GOROUTINE, MEMORY, Answer, Bench, FakeTargets, cumulative, response, scrape, snapshot, sync, target
from scrape_servers import at, serving

from pyroscope_operator.scrape.fetch import Fetcher
from pyroscope_operator.scrape.room import Room
from pyroscope_operator.scrape.scraper import Scraper
from pyroscope_operator.scrape.workers import Workers
from pyroscope_operator.transport.plain import open_transport

TIMES = 20


async def garbage_of(once: Callable[[], Awaitable[object]]) -> int:
    """Objects in cycles that are left by TIMES calls, beyond what a first few leave for good."""
    for _ in range(3):
        await once()
    gc.collect()
    gc.disable()
    try:
        for _ in range(TIMES):
            await once()
        await asyncio.sleep(0)
        return gc.collect()
    finally:
        gc.enable()


async def stuck() -> bytes:
    await asyncio.sleep(1e6)
    return b""


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (snapshot, ""),
        (lambda: snapshot(4000), ""),
        (lambda: response(gzip.compress(snapshot()), content_encoding="gzip"), ""),
        (lambda: b"<html>", "NotAProfile"),
        (lambda: snapshot()[:-9], "BrokenGzip"),
        (lambda: bytes(2 << 20), "BodyTooLarge"),
        (lambda: response(status=500), "HTTPStatus"),
        (lambda: response(status=401), "Unauthorized"),
        (lambda: response(status=302, location="/"), "TooManyRedirects"),
        (lambda: response(status=302, location="http://10.9.9.9/"), "RedirectRefused"),
        (lambda: response(b"x", content_encoding="br"), "ContentEncoding"),
        (lambda: httpx.ConnectError("refused"), "ConnectFailed"),
        (lambda: ConnectionResetError(104, "reset"), "ConnectionLost"),
        (lambda: RuntimeError("bug"), "InternalError"),
        (stuck, "Timeout"),
    ],
)
async def test_no_cycles(answer: Callable[[], Answer], reason: str) -> None:
    bench = Bench(FakeTargets(lambda _: answer()))
    scraper = Scraper(scrape(GOROUTINE), bench.context)
    left = await garbage_of(scraper.once)
    assert (scraper.health.reason, left) == (reason, 0)


async def test_no_cycles_of_differences() -> None:
    bench = Bench()
    bench.targets.answer = lambda _: cumulative(len(bench.targets.requests), 4)
    scraper = Scraper(scrape(MEMORY), bench.context)
    assert await garbage_of(scraper.once) == 0
    assert len(bench.sink) == TIMES + 2


@pytest.mark.looptime
async def test_no_cycles_of_what_is_given_up() -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield bytes(900)
        await asyncio.sleep(1e6)

    bench = Bench(FakeTargets(lambda _: httpx.Response(200, content=silent())))
    bench.bodies = Room(1000, "--body-memory")
    scraper = Scraper(scrape(at=target(namespace="hostile"), timeout=1e5), bench.context)

    async def once() -> None:
        task = asyncio.create_task(scraper.once())
        await asyncio.sleep(1)
        with bench.bodies.claim("shop") as claim:
            claim.grow(200)
            await task

    assert await garbage_of(once) == 0
    assert scraper.health.reason == "MemoryFull"


@pytest.mark.looptime
async def test_no_cycles_of_loops() -> None:
    bench = Bench()
    pool = bench.pool()
    await sync(pool, [scrape(), scrape(MEMORY)])
    assert await garbage_of(lambda: asyncio.sleep(15)) == 0
    assert len(bench.targets.requests) >= 2 * TIMES

    async def come_and_go() -> None:
        await sync(pool, [scrape()])
        await asyncio.sleep(20)
        await sync(pool, [])

    assert await garbage_of(come_and_go) == 0
    await pool.close()


async def test_no_cycles_of_what_fails_in_a_thread() -> None:
    """The future holds the error, the error its traceback, that a frame, and the frame must not hold the future."""
    rng = random.Random(1)
    samples = [((rng.randrange(1, 1 << 40),), (rng.randrange(1, 1 << 40), i + 1, 1, 1)) for i in range(2000)]
    body = gzip.compress(raw(samples, ALLOCS))
    bench = Bench(FakeTargets(lambda _: body[:-9]))
    with ThreadPoolExecutor(2) as executor:
        bench.workers = Workers(executor, 2)
        scraper = Scraper(scrape(GOROUTINE), bench.context)
        assert await garbage_of(scraper.once) == 0
    assert scraper.health.reason == "BrokenGzip"


async def test_no_cycles_over_a_real_connection() -> None:
    """One that is kept: what is closed leaves cycles of aiohttp's."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=snapshot())

    bench = Bench()
    async with open_transport() as opened, serving(answer) as server:
        context = replace(bench.context, fetcher=Fetcher(lambda _: opened))
        scraper = Scraper(at(server.address), context)
        assert await garbage_of(scraper.once) == 0
        assert len(server.connections) == 1
    assert scraper.health.up
