"""A push leaves nothing behind that only the cycle collector can free: its runs stop the event loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from push_fakes import EPOCH, SHOP, labels

from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.push.batch import encode, encode_labels
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import WriteEndpoint
from pyroscope_operator.push.ledger import Ledger
from pyroscope_operator.push.queue import Queue
from pyroscope_operator.push.sender import Sender

ROUNDS = 20


class _Bytes(httpx.AsyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


class _Transport(httpx.AsyncBaseTransport):
    """Reads the request and gives one answer, or fails: httpx's own mock makes garbage."""

    def __init__(self, answer: tuple[int, bytes] | type[Exception] | None) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async for _ in request.stream:  # type: ignore[union-attr]
            pass
        match self._answer:
            case (status, content):
                return httpx.Response(status, stream=_Bytes(content))
            case None:
                await asyncio.sleep(60)
                raise AssertionError
            case error:
                raise error("secret-text")


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.looptime
@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((200, b""), id="taken"),
        pytest.param((400, b'{"code": "invalid_argument"}'), id="refused"),
        pytest.param((500, b'{"code": "internal"}'), id="ambiguous"),
        pytest.param((503, b""), id="unavailable"),
        pytest.param((429, b""), id="rate limit"),
        pytest.param((302, b""), id="redirected"),
        pytest.param(httpx.ConnectError, id="unreachable"),
        pytest.param(httpx.ReadError, id="broken"),
        pytest.param(None, id="too late"),
    ],
)
async def test_no_cycles(answer: tuple[int, bytes] | type[Exception] | None) -> None:
    queue = Queue(1 << 20)
    metrics, book, transport = Metrics(), DeliveryBook(), _Transport(answer)
    client = PushClient(WriteEndpoint("http://pyroscope:4040", remote_timeout=1), lambda _: transport)
    sender = Sender(client, queue, Ledger(client.endpoint.key, metrics, book), clock=lambda: EPOCH)

    async def rounds(count: int) -> None:
        for _ in range(count):
            for number in range(3):
                profile = Profile(SHOP, labels(str(number)), b"pprof", 5, 1, EPOCH)
                queue.put(encode(profile, encode_labels(profile.labels), 0.0))
            await sender.push_next(aside=False)
            await sender.push_next(aside=True)
            queue.clear()

    await rounds(2)
    gc.collect()
    await rounds(ROUNDS)
    assert gc.collect() < ROUNDS, "something is left of every push"
