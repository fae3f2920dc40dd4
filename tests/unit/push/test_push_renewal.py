"""HTTP 401: before anything is given up, somebody looks whether the credentials have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import httpx
import pytest
from push_fakes import Bench, FakePyroscope

from pyroscope_operator.model.access import Access
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.endpoint import WriteEndpoint
from pyroscope_operator.push.sender import RENEW_PAUSE, RENEW_TIMEOUT

pytestmark = pytest.mark.looptime

OLD, NEW = Access(authorization="Bearer old"), Access(authorization="Bearer new")


class Server:
    """Lets `welcome` in. Which credentials came is known by the transport that was asked for."""

    def __init__(self, welcome: Access = NEW) -> None:
        self.welcome = welcome
        self.seen: list[Access] = []
        self.good = FakePyroscope()

    def transport(self, access: Access) -> httpx.AsyncBaseTransport:
        async def handle(request: httpx.Request) -> httpx.Response:
            self.seen.append(access)
            if access != self.welcome:
                return httpx.Response(401)
            return await self.good.transport.handle_async_request(request)

        return httpx.MockTransport(handle)


class Rotation:
    """A bench whose endpoint gets other credentials when somebody looks after them."""

    def __init__(self, server: Server, becomes: Access | None, slow: float = 0.0) -> None:
        self.server, self.becomes, self.slow, self.looks = server, becomes, slow, 0
        self.bench = Bench(FakePyroscope(), endpoint=WriteEndpoint("http://p", access=OLD), renew=self.renew)
        self.bench.writer.update(self.client(OLD))

    def client(self, access: Access) -> PushClient:
        return PushClient(replace(self.bench.endpoint, access=access), self.server.transport)

    async def renew(self) -> None:
        self.looks += 1
        await asyncio.sleep(self.slow)
        if self.becomes is not None:
            self.bench.writer.update(self.client(self.becomes))


async def pushed(rotation: Rotation, *bodies: bytes, apart: float = 2.0) -> None:
    async with rotation.bench as bench:
        for body in bodies:
            bench.put(body)
            await asyncio.sleep(apart)
        await bench.writer.drain(3)


async def test_the_batch_is_sent_once_more() -> None:
    rotation = Rotation(Server(), becomes=NEW)
    await pushed(rotation, b"one", b"two")
    assert rotation.server.seen == [OLD, NEW, NEW]
    assert rotation.server.good.batches == [[b"one"], [b"two"]]
    assert rotation.looks == 1
    assert rotation.bench.dropped() == {}
    assert rotation.bench.value("push_retries_total") == 1


async def test_without_a_change_it_is_given_up() -> None:
    rotation = Rotation(Server(), becomes=None)
    await pushed(rotation, b"one")
    assert rotation.server.seen == [OLD]
    assert rotation.bench.dropped() == {"Unauthorized": 1}


async def test_one_more_time_is_enough() -> None:
    rotation = Rotation(Server(), becomes=Access(authorization="Bearer wrong"))
    await pushed(rotation, b"one")
    assert len(rotation.server.seen) == 2
    assert rotation.bench.dropped() == {"Unauthorized": 1}


async def test_it_is_not_looked_after_for_every_batch() -> None:
    rotation = Rotation(Server(), becomes=None)
    await pushed(rotation, *(b"%d" % number for number in range(10)), apart=2.0)
    assert rotation.looks <= 20 / RENEW_PAUSE + 1
    assert rotation.bench.dropped() == {"Unauthorized": 10}


async def test_nobody_waits_for_long() -> None:
    rotation = Rotation(Server(), becomes=NEW, slow=60.0)
    async with rotation.bench as bench:
        bench.put(b"one")
        await asyncio.sleep(RENEW_TIMEOUT + 1.5)
        assert bench.dropped() == {"Unauthorized": 1}


@pytest.mark.parametrize("status", [403, 400])
async def test_other_refusals_say_nothing_of_credentials(status: int) -> None:
    looks: list[int] = []

    async def renew() -> None:
        looks.append(1)

    wanted: Callable[[], Awaitable[None]] = renew
    async with Bench(FakePyroscope(otherwise=httpx.Response(status)), renew=wanted) as bench:
        bench.put(b"one")
        await asyncio.sleep(3)
        assert sum(bench.dropped().values()) == 1
    assert not looks
