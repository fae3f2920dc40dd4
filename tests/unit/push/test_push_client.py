"""One push request, over a fake transport and over a real one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web
from engines import open_transport
from push_fakes import EPOCH, FakePyroscope, bodies, connect_error, entry, failed_id, ok

from pyroscope_operator import __version__
from pyroscope_operator._proto.push_pb2 import PushRequest
from pyroscope_operator.errors import OutcomeUnknown, PartlyFailed, PushError, Rejected, RetryLater
from pyroscope_operator.push.batch import request_body
from pyroscope_operator.push.client import MAX_ANSWER, PushClient
from pyroscope_operator.push.endpoint import WriteEndpoint
from pyroscope_operator.transport.faults import cause

pytestmark = pytest.mark.usefixtures("engine")

BODY = request_body([entry(b"one"), entry(b"two")])
URL = "http://pyroscope:4040/prefix"


def client(fake: FakePyroscope, **fields: object) -> PushClient:
    return PushClient(WriteEndpoint(URL, **fields), lambda _: fake.transport, lambda: EPOCH)  # type: ignore[arg-type]


async def test_the_request() -> None:
    fake = FakePyroscope()
    await client(fake, tenant_id="team-a").push(BODY, series=2)
    (request,) = fake.http
    assert request.method == "POST"
    assert str(request.url) == f"{URL}/push.v1.PusherService/Push"
    assert request.content == b"".join(BODY.pieces)
    expected = {
        "content-type": "application/proto",
        "connect-protocol-version": "1",
        "content-length": str(len(BODY)),
        "accept-encoding": "identity",
        "user-agent": f"pyroscope-operator/{__version__}",
        "host": "pyroscope:4040",
        "x-scope-orgid": "team-a",
    }
    assert expected.items() <= dict(request.headers).items()
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectTimeout("no secret-text"),
        httpx.ReadError("no secret-text"),
        httpx.RemoteProtocolError("no secret-text"),
        httpx.ReadTimeout("no secret-text"),
        OSError(111, "no secret-text"),
    ],
)
async def test_connection_errors(failure: Exception) -> None:
    with pytest.raises(RetryLater) as caught:
        await client(FakePyroscope([failure])).push(BODY, series=2)
    assert caught.value.reason == "ConnectionFailed"
    assert "secret-text" not in str(caught.value)


def test_causes_are_told_in_our_own_words() -> None:
    outer = httpx.ConnectError("secret-text")
    outer.__cause__ = OSError(111, "secret-text")
    assert cause(outer) == "connection refused"
    certificate = ssl.SSLCertVerificationError("secret-text")
    certificate.verify_message = "self-signed certificate"
    assert cause(certificate) == "certificate not accepted, self-signed certificate"
    assert cause(httpx.ReadError("secret-text")) == "ReadError"


@pytest.mark.looptime
async def test_the_deadline() -> None:
    async def never(request: PushRequest) -> httpx.Response:
        await asyncio.sleep(3600)
        return ok()

    with pytest.raises(RetryLater) as caught:
        await client(FakePyroscope([never]), remote_timeout=7.5).push(BODY, series=2)
    assert asyncio.get_running_loop().time() == 7.5
    assert caught.value.reason == "DeadlineExceeded"


@pytest.mark.parametrize(
    ("value", "seconds"), [("3", 3.0), ("Fri, 15 Jan 2027 08:00:20 GMT", 20.0), ("later", None), (None, None)]
)
async def test_retry_after(value: str | None, seconds: float | None) -> None:
    answer = httpx.Response(503, headers={"retry-after": value} if value else {})
    with pytest.raises(RetryLater) as caught:
        await client(FakePyroscope([answer])).push(BODY, series=2)
    assert caught.value.retry_after == seconds


async def test_redirects_are_not_followed() -> None:
    fake = FakePyroscope([httpx.Response(307, headers={"location": "http://elsewhere/"})])
    with pytest.raises(Rejected) as caught:
        await client(fake).push(BODY, series=2)
    assert caught.value.reason == "Redirected"
    assert len(fake.http) == 1


class Stream(httpx.AsyncByteStream):
    """An endless body, or one that breaks after its first chunk."""

    def __init__(self, breaks: bool) -> None:
        self.breaks, self.chunks, self.closed = breaks, 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.chunks += 1
            yield b"x" * 1000
            if self.breaks:
                raise httpx.ReadError("reset")

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("breaks", [True, False])
@pytest.mark.parametrize(("status", "kind"), [(400, OutcomeUnknown), (503, RetryLater)])
async def test_the_answer_is_read_within_bounds(breaks: bool, status: int, kind: type[PushError]) -> None:
    stream = Stream(breaks)
    with pytest.raises(kind):
        await client(FakePyroscope([httpx.Response(status, stream=stream)])).push(BODY, series=2)
    assert stream.chunks * 1000 <= MAX_ANSWER + 1000
    assert stream.closed


# From here on: a real server on the loopback and the transport of production.


@asynccontextmanager
async def server(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/push.v1.PusherService/Push", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_real_requests_share_a_connection_and_may_be_large() -> None:
    peers, headers, received = set(), [], []

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        headers.append(dict(request.headers))
        received.append(await request.read())
        answer = web.Response(body=b"", content_type="application/proto")
        answer.set_cookie("session", "x")
        return answer

    large = request_body([entry(b"x" * (5 << 20)), entry(b"y")])
    async with server(handle) as url, open_transport() as transport:
        pushing = PushClient(WriteEndpoint(url), lambda _: transport)
        for body in (BODY, large, BODY):
            await pushing.push(body, series=2)
    assert received == [b"".join(body.pieces) for body in (BODY, large, BODY)]
    assert bodies(PushRequest.FromString(received[1]))[1] == b"y"
    assert len(peers) == 1
    for sent in headers:
        assert sent["Content-Type"] == "application/proto"
        assert "Transfer-Encoding" not in sent
        assert "Cookie" not in sent


async def test_real_errors_and_breaks() -> None:
    sample = entry(b"one")

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        if request.headers["X-Scope-OrgID"] == "partly":
            text = failed_id(sample.id)
            return web.json_response({"code": "unknown", "message": text}, status=500, headers={"Retry-After": "2"})
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with server(handle) as url, open_transport() as transport:
        with pytest.raises(PartlyFailed) as partly:
            await PushClient(WriteEndpoint(url, tenant_id="partly"), lambda _: transport).push(BODY, series=2)
        with pytest.raises(RetryLater) as broken:
            await PushClient(WriteEndpoint(url, tenant_id="broken"), lambda _: transport).push(BODY, series=2)
    error = partly.value.failed[sample.id]
    assert isinstance(error, RetryLater)
    assert error.retry_after == 2
    assert broken.value.reason == "ConnectionFailed"


async def test_nobody_listens() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response()

    async with server(handle) as url:
        pass
    async with open_transport() as transport:
        with pytest.raises(RetryLater) as caught:
            await PushClient(WriteEndpoint(url), lambda _: transport).push(BODY, series=1)
        assert str(caught.value) == "Unreachable: connection refused"
        with pytest.raises(RetryLater) as caught:
            await PushClient(WriteEndpoint("http://no-such-host.invalid"), lambda _: transport).push(BODY, series=1)
    assert str(caught.value) == "Unreachable: name not resolved"


async def test_what_answers_is_no_http_server() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-secret-text\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, open_transport() as transport:
        with pytest.raises(RetryLater) as caught:
            await PushClient(WriteEndpoint(url), lambda _: transport).push(BODY, series=1)
    assert caught.value.reason == "ConnectionFailed"
    assert "secret-text" not in str(caught.value)


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_server_that_hangs_leaves_nothing_behind(cancelled: bool) -> None:
    arrived = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(60)
        return web.Response()

    async with server(handle) as url, open_transport() as transport:
        pushing = PushClient(WriteEndpoint(url, remote_timeout=60 if cancelled else 0.05), lambda _: transport)
        task = asyncio.create_task(pushing.push(BODY, series=1))
        await arrived.wait()
        if cancelled:
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() if cancelled else isinstance(task.exception(), RetryLater)


async def test_connect_error_over_the_fake() -> None:
    with pytest.raises(Rejected) as caught:
        await client(FakePyroscope([connect_error(400, "invalid_argument", "secret-text")])).push(BODY, series=1)
    assert str(caught.value) == "Rejected: HTTP 400, invalid_argument"
