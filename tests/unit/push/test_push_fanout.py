"""Several endpoints at once, that come, change and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web
from engines import open_transport
from push_fakes import EPOCH, SHOP, FakePyroscope, bodies, profile

from pyroscope_operator._proto.push_pb2 import PushRequest
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.profile import Sink
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.batch import OVERHEAD
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.delivery import Delivery, DeliveryBook
from pyroscope_operator.push.endpoint import FLAGS, WriteEndpoint
from pyroscope_operator.push.fanout import LAST_LOOK, MAX_LEAVING, Fanout
from pyroscope_operator.push.memory import QueueMemory
from pyroscope_operator.push.writer import EndpointWriter

A, B = ObjectRef("shop", "a"), ObjectRef("shop", "b")
DOWN = httpx.ConnectError("refused")


def at(name: str, write: ObjectRef = A, **fields: Any) -> WriteEndpoint:
    """An endpoint at the host of its name."""
    return WriteEndpoint(**{"url": f"http://{name}", "name": name, "write": write, **fields})


class Scene:
    """A fan-out on fake time whose endpoints are fakes, by host."""

    def __init__(self, **hosts: FakePyroscope) -> None:
        self.hosts = hosts
        self.metrics, self.book, self.memory = Metrics(), DeliveryBook(), QueueMemory()
        self.fanout = Fanout(self._transport, self.metrics, self.book, grace=5.0, open_writer=self._open)

    def _transport(self, _: Access) -> httpx.AsyncBaseTransport:
        async def handle(request: httpx.Request) -> httpx.Response:
            return await self.hosts[request.url.host].transport.handle_async_request(request)

        return httpx.MockTransport(handle)

    def _open(self, client: PushClient) -> EndpointWriter:
        loop = asyncio.get_running_loop()
        return EndpointWriter(client, self.metrics, self.book, memory=self.memory, clock=self.now, monotonic=loop.time)

    @staticmethod
    def now() -> float:
        return EPOCH + asyncio.get_running_loop().time()

    def sync(self, *endpoints: WriteEndpoint) -> None:
        writes: dict[ObjectRef, list[WriteEndpoint]] = {}
        for endpoint in endpoints:
            writes.setdefault(endpoint.write, []).append(endpoint)
        self.fanout.sync(writes)

    def put(self, *bodies: bytes, to: tuple[ObjectRef, ...] = (A,), **fields: Any) -> None:
        for body in bodies:
            self.fanout.put(profile(body, scraped_at=self.now(), forward_to=to, **fields))

    def got(self, host: str) -> list[bytes]:
        return [body for batch in self.hosts[host].batches for body in batch]

    def dropped(self) -> dict[tuple[str, str, str], float]:
        """By write, endpoint and reason."""
        return {
            (sample.labels["write"], sample.labels["endpoint"], sample.labels["reason"]): sample.value
            for metric in self.metrics.profiles_dropped.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }


@asynccontextmanager
async def running(*endpoints: WriteEndpoint, **hosts: FakePyroscope) -> AsyncIterator[Scene]:
    scene = Scene(**hosts)
    scene.sync(*endpoints)
    task = asyncio.create_task(scene.fanout.run())
    await asyncio.sleep(0)
    yield scene
    await scene.fanout.drain(3)
    await asyncio.wait_for(task, 0.1)


@pytest.mark.looptime
class TestSeveral:
    async def test_no_endpoint_waits_for_another(self) -> None:
        async with running(at("good"), at("bad"), good=FakePyroscope(), bad=FakePyroscope(otherwise=DOWN)) as scene:
            sink: Sink = scene.fanout
            sink.put(profile(b"one", scraped_at=Scene.now(), forward_to=(A,)))
            await asyncio.sleep(2)
            scene.put(b"two")
            await asyncio.sleep(2)
            assert scene.hosts["good"].batches == [[b"one"], [b"two"]]
            bad, good = scene.fanout.snapshots()
            assert (good.key, good.queue_profiles, good.failing_since, good.sent) == ((A, "good"), 0, None, 2)
            assert (bad.key, bad.queue_profiles, bad.last_error_reason, bad.sent) == ((A, "bad"), 2, "Unreachable", 0)
            delivery = scene.book.get(SHOP)
            assert delivery.last_push is not None
            assert delivery.waiting == "shop/a/bad: Unreachable: ConnectError"
            await scene.fanout.drain(3)
            assert asyncio.get_running_loop().time() == pytest.approx(7, abs=0.01)
        assert scene.dropped() == {("shop/a", "bad", "Shutdown"): 2}

    async def test_each_write_gets_what_is_for_it(self) -> None:
        flags = WriteEndpoint("http://default")
        hosts = {name: FakePyroscope() for name in ("x", "y", "z", "default")}
        async with running(at("x"), at("y"), at("z", B), flags, **hosts) as scene:
            scene.put(b"for a")
            scene.put(b"for both", to=(A, B))
            scene.put(b"for nobody", to=())
        assert scene.got("x") == scene.got("y") == [b"for a", b"for both"]
        assert scene.got("z") == [b"for both"]
        assert scene.got("default") == [b"for nobody"]

    async def test_labels_and_tenants_are_those_of_the_endpoint(self) -> None:
        labelled = at("x", tenant_id="team", external_labels=Labels({"cluster": "eu"}))
        async with running(labelled, at("y"), x=FakePyroscope(), y=FakePyroscope()) as scene:
            scene.put(b"one")
        (mine,), (yours,) = scene.hosts["x"].http, scene.hosts["y"].http
        assert (mine.headers.get("x-scope-orgid"), yours.headers.get("x-scope-orgid")) == ("team", None)
        names = [{pair.name for pair in scene.hosts[host].requests[0].series[0].labels} for host in ("x", "y")]
        assert names[0] - names[1] == {"cluster"}


@pytest.mark.looptime
class TestNotAccepted:
    async def test_profiles_for_it_are_counted_and_told_until_it_is_there(self) -> None:
        async with running(x=FakePyroscope()) as scene:
            scene.put(b"lost", b"lost, too")
            assert scene.dropped() == {("shop/a", "", "WriteNotAccepted"): 2}
            ((_, trouble),) = scene.book.get(SHOP).troubles
            assert trouble.reason == "PushFailing"
            assert trouble.message == "shop/a: WriteNotAccepted: the PyroscopeWrite shop/a is not accepted: see its status"
            scene.sync(at("x"))
            assert scene.book.get(SHOP) == Delivery()
            assert scene.dropped() == {}
            assert scene.metrics.delivered() == (0, {"WriteNotAccepted": 2}), "the last line of the log counts them"
            scene.put(b"arrives")
        assert scene.got("x") == [b"arrives"]

    async def test_when_it_is_gone_its_troubles_are(self) -> None:
        async with running() as scene:
            scene.put(b"lost")
            scene.fanout.forget([A])
            assert scene.book.get(SHOP).troubles
            scene.fanout.forget([])
            assert scene.book.get(SHOP) == Delivery()


@pytest.mark.looptime
class TestChange:
    async def test_what_is_queued_goes_to_the_new_address_at_once(self) -> None:
        async with running(at("old"), old=FakePyroscope(otherwise=DOWN), new=FakePyroscope()) as scene:
            for number in range(20):
                scene.put(b"%d" % number)
                await asyncio.sleep(5)
            scene.sync(at("old", url="http://new"))
            await asyncio.sleep(0.1)
            assert scene.got("new")[0] == b"0", "the pause has ended"
            await asyncio.sleep(5)
            assert scene.got("new") == [b"%d" % number for number in range(20)]
            (snapshot,) = scene.fanout.snapshots()
            assert (snapshot.sent, snapshot.dropped, snapshot.failing_since) == (20, 0, None)

    async def test_other_bounds_do_not_end_the_pause(self) -> None:
        async with running(at("x", min_backoff=20.0), x=FakePyroscope([DOWN])) as scene:
            scene.put(b"one")
            await asyncio.sleep(2)
            scene.sync(at("x", min_backoff=1.0))
            await asyncio.sleep(5)
            assert len(scene.hosts["x"].requests) == 1
            await asyncio.sleep(30)
            assert scene.got("x") == [b"one", b"one"]

    async def test_an_answer_of_the_old_address_costs_nothing(self) -> None:
        """It refuses what is on its way to it while the endpoint is mended."""

        async def late(_: PushRequest) -> httpx.Response:
            await asyncio.sleep(5)
            return httpx.Response(403)

        async with running(at("old"), old=FakePyroscope(otherwise=late), new=FakePyroscope()) as scene:
            scene.put(b"one")
            await asyncio.sleep(2)
            scene.sync(at("old", url="http://new"))
            await asyncio.sleep(5)
        assert scene.got("new") == [b"one"]
        assert scene.dropped() == {}

    async def test_an_unchanged_endpoint_is_untouched(self) -> None:
        async with running(at("x"), x=FakePyroscope(), y=FakePyroscope()) as scene:
            (before,) = scene.fanout._writers.values()
            scene.sync(at("x"), at("y"))
            assert scene.fanout._writers[before.key] is before
            scene.sync(at("x", tenant_id="t"), at("y"))
            assert scene.fanout._writers[before.key] is before, "a changed one keeps its queue"


@pytest.mark.looptime
class TestRemoval:
    async def test_what_is_queued_is_delivered_and_its_figures_are_forgotten(self) -> None:
        async with running(at("x"), at("y"), x=FakePyroscope(), y=FakePyroscope()) as scene:
            scene.put(b"one")
            scene.sync(at("y"))
            scene.put(b"two")
            await asyncio.sleep(2)
            assert scene.got("x") == [b"one"]
            assert scene.got("y") == [b"one", b"two"]
            sent = {"write": "shop/a", "endpoint": "x"}
            read = scene.metrics.registry.get_sample_value
            assert read("pyroscope_operator_profiles_sent_total", sent) == 1
            await asyncio.sleep(LAST_LOOK + 1)
            text = [sample for family in scene.metrics.registry.collect() for sample in family.samples]
            assert not [sample for sample in text if sample.labels.get("endpoint") == "x"]
            assert scene.metrics.delivered() == (3, {})

    async def test_what_is_not_taken_in_time_is_dropped_and_told_no_more(self) -> None:
        async with running(at("x"), at("y"), x=FakePyroscope(otherwise=DOWN), y=FakePyroscope()) as scene:
            scene.put(b"one")
            await asyncio.sleep(2)
            assert "shop/a/x" in (scene.book.get(SHOP).waiting or "")
            scene.sync(at("y"))
            await asyncio.sleep(4)
            assert scene.dropped() == {}
            await asyncio.sleep(2)
            assert scene.dropped() == {("shop/a", "x", "EndpointRemoved"): 1}
            assert scene.book.get(SHOP).troubles == ()
            assert scene.book.get(SHOP).waiting is None

    async def test_at_shutdown_it_is_not_waited_for_longer(self) -> None:
        async with running(at("x"), x=FakePyroscope(otherwise=DOWN)) as scene:
            scene.put(b"one")
            scene.sync()
            await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
            await scene.fanout.drain(20)
            assert asyncio.get_running_loop().time() - began <= 4.1
        assert scene.metrics.delivered() == (0, {"EndpointRemoved": 1})

    async def test_it_is_there_again_while_it_is_drained(self) -> None:
        async with running(at("x"), x=FakePyroscope([DOWN, DOWN])) as scene:
            scene.put(b"one")
            await asyncio.sleep(1.1)
            scene.sync()
            scene.sync(at("x"))
            scene.put(b"two")
            await asyncio.sleep(LAST_LOOK + 10)
            assert sorted(set(scene.got("x"))) == [b"one", b"two"]
            read = scene.metrics.registry.get_sample_value
            assert read("pyroscope_operator_profiles_sent_total", {"write": "shop/a", "endpoint": "x"}) == 2

    async def test_many_at_once_are_bounded(self) -> None:
        count = MAX_LEAVING + 20
        endpoints = [at(f"e{number}", url="http://x") for number in range(count)]
        async with running(*endpoints, x=FakePyroscope(otherwise=DOWN)) as scene:
            scene.put(b"one")
            await asyncio.sleep(1.5)
            scene.sync()
            await asyncio.sleep(1)
            assert scene.metrics.delivered()[1] == {"EndpointRemoved": 20}
            await asyncio.sleep(5)
            assert scene.metrics.delivered()[1] == {"EndpointRemoved": count}


@pytest.mark.looptime
class TestMemory:
    async def test_the_dead_endpoint_gives_way_to_the_living_one(self) -> None:
        scene = Scene(dead=FakePyroscope(otherwise=DOWN), good=FakePyroscope())
        scene.memory = QueueMemory(40_000)
        scene.sync(at("dead"), at("good"))
        task = asyncio.create_task(scene.fanout.run())
        for number in range(30):
            scene.put(b"x" * (4000 - OVERHEAD), service=f"s{number}")
            await asyncio.sleep(2)
            assert scene.memory.held <= 40_000
        await scene.fanout.drain(1)
        await task
        assert len(scene.got("good")) == 30
        lost = scene.dropped()
        assert lost.keys() == {("shop/a", "dead", "QueueFull"), ("shop/a", "dead", "Shutdown")}
        assert sum(lost.values()) == 30
        ((_, snapshot), _) = [(one.key.endpoint, one) for one in scene.fanout.snapshots()]
        assert snapshot.dropped == 30


@pytest.mark.looptime
async def test_a_write_without_a_change_of_its_secret_is_looked_after_once_in_a_while() -> None:
    metrics, book, fake = Metrics(), DeliveryBook(), FakePyroscope(otherwise=httpx.Response(401))
    fanout = Fanout(lambda _: fake.transport, metrics, book)
    asked: list[ObjectRef] = []

    async def renew(write: ObjectRef) -> None:
        asked.append(write)

    fanout.renew = renew
    fanout.sync({A: [at("x")], FLAGS: [WriteEndpoint("http://y")]})
    task = asyncio.create_task(fanout.run())
    fanout.put(profile(b"one", scraped_at=4e9, forward_to=(A, FLAGS)))
    await fanout.drain(3)
    await task
    assert asked == [A], "there is nothing to look after about the flags"
    assert metrics.delivered() == (0, {"Unauthorized": 2})


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
        fanout = Fanout(lambda _: transport, Metrics(), DeliveryBook())
        fanout.sync({FLAGS: [endpoint]})
        async with asyncio.TaskGroup() as group:
            group.create_task(fanout.run())
            await asyncio.sleep(0)
            for i in range(5):
                fanout.put(profile(b"%d" % i, scraped_at=4e9))
            await fanout.drain(5)
    assert received == [b"broken", *(b"%d" % i for i in range(5))]
