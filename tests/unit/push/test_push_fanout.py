"""Several endpoints at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest
from aiohttp import web
from push_fakes import Bench, FakePyroscope, bodies, profile

from pyroscope_operator._proto.push_pb2 import PushRequest
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.profile import Sink
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import WriteEndpoint
from pyroscope_operator.push.fanout import Fanout
from pyroscope_operator.push.writer import EndpointWriter
from pyroscope_operator.transport.plain import open_transport


@pytest.mark.looptime
async def test_no_endpoint_waits_for_another() -> None:
    good, bad = FakePyroscope(), FakePyroscope(otherwise=httpx.ConnectError("refused"))
    benches = [Bench(fake, endpoint=WriteEndpoint("http://p", name=name)) for name, fake in (("a", good), ("b", bad))]
    fanout = Fanout([bench.writer for bench in benches])
    sink: Sink = fanout
    running = asyncio.create_task(fanout.run())
    sink.put(profile(b"one", scraped_at=Bench.now()))
    await asyncio.sleep(2)
    sink.put(profile(b"two", scraped_at=Bench.now()))
    await asyncio.sleep(2)
    assert good.batches == [[b"one"], [b"two"]]
    first, second = fanout.snapshots()
    assert (first.endpoint, first.queue_profiles, first.backing_off_since) == ("a", 0, None)
    assert (second.endpoint, second.queue_profiles, second.last_error_reason) == ("b", 2, "Unreachable")
    await fanout.drain(3)
    assert asyncio.get_running_loop().time() == pytest.approx(7, abs=0.01)
    await asyncio.wait_for(running, 0.1)
    assert benches[1].dropped() == {"Shutdown": 2}


async def test_over_real_http() -> None:
    """A server that breaks the first connection, then takes all; nothing stays open."""
    received: list[bytes] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        message = PushRequest.FromString(await request.read())
        if not received:
            received.append(b"broken")
            assert request.transport is not None
            request.transport.abort()
        else:
            received.extend(bodies(message))
        return web.Response(content_type="application/proto")

    app = web.Application()
    app.router.add_post("/pyro/push.v1.PusherService/Push", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        transport = await stack.enter_async_context(open_transport())
        endpoint = WriteEndpoint(f"http://127.0.0.1:{runner.addresses[0][1]}/pyro", min_backoff=0.01, max_backoff=0.02)
        fanout = Fanout([EndpointWriter(PushClient(endpoint, transport), Metrics(), DeliveryBook())])
        async with asyncio.TaskGroup() as group:
            group.create_task(fanout.run())
            await asyncio.sleep(0)
            for i in range(5):
                fanout.put(profile(b"%d" % i, scraped_at=4e9))
            await fanout.drain(5)
    assert received == [b"broken", *(b"%d" % i for i in range(5))]
