"""The operator's own server and the end of the operator: nobody who asks can hold it up."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from web_builder import nothing

from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.web.server import Pages, serve

PAGES = ["/healthz", "/readyz", "/metrics", "/targets", "/api/v1/targets", "/api/v1/explain?namespace=a&pod=b"]


def pages() -> Pages:
    return Pages(Metrics(), lambda: "", nothing)


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /metr",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
    ],
    ids=["silent", "half a line", "half a head", "kept alive", "half a body"],
)
async def test_open_connections_do_not_hold_up_the_shutdown(sent: bytes) -> None:
    loop = asyncio.get_running_loop()
    async with serve("127.0.0.1:0", pages()) as address:
        reader, writer = await connect(address)
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.1)
        began = loop.time()
    assert loop.time() - began < 2
    async with asyncio.timeout(1):
        await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_reader_that_is_slow_does_not_hold_up_the_shutdown() -> None:
    metrics = Metrics()
    for i in range(20_000):
        metrics.pushes.labels("default", f"endpoint-{i:050}", "ok").inc()
    loop = asyncio.get_running_loop()
    async with serve("127.0.0.1:0", Pages(metrics, lambda: "", nothing)) as address:
        _, writer = await connect(address)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.7)
        began = loop.time()
    assert loop.time() - began < 2
    writer.transport.abort()


async def test_the_port_is_free_again_at_once() -> None:
    async with (
        serve("127.0.0.1:0", pages()) as address,
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}/healthz"),
    ):
        pass
    async with serve(address, pages()) as again:
        assert again == address


async def test_a_page_that_fails_is_an_answer() -> None:
    async def broken() -> Snapshot:
        raise RuntimeError("s3cr3t")

    async with serve("127.0.0.1:0", Pages(Metrics(), lambda: "", broken)) as address, aiohttp.ClientSession() as session:
        for path in ("/targets", "/api/v1/targets", "/targets"):
            async with session.get(f"http://{address}{path}") as answer:
                assert answer.status == 500
                assert "s3cr3t" not in await answer.text()
        async with session.get(f"http://{address}/healthz") as answer:
            assert answer.status == 200


@pytest.mark.parametrize("path", PAGES)
async def test_only_reading_is_allowed(path: str) -> None:
    async with serve("127.0.0.1:0", pages()) as address, aiohttp.ClientSession(f"http://{address}") as session:
        async with session.head(path) as answer:
            assert answer.status == 200
        async with session.post(path, data=b"x") as answer:
            assert answer.status == 405


async def test_metrics_have_samples_with_their_labels() -> None:
    metrics = Metrics()
    metrics.fanout_latency.labels("default", "default").observe(0.3)
    async with (
        serve("127.0.0.1:0", Pages(metrics, lambda: "", nothing)) as address,
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}/metrics") as answer,
    ):
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = await answer.text()
    assert 'pyroscope_fanout_latency_bucket{endpoint="default",le="0.5",write="default"} 1.0' in text
    assert 'pyroscope_fanout_latency_count{endpoint="default",write="default"} 1.0' in text
    assert "_created" not in text
