"""One request, over the real transport against real servers on loopback: what is sent, what is taken, what is refused."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import httpx
import pytest
from aiohttp import web
from scrape_fakes import CPU, GOROUTINE, Chunks, scrape, target

from pyroscope_operator import __version__, transport
from pyroscope_operator.errors import FetchError, ProfileError, ScrapeError
from pyroscope_operator.model.target import Params, Scrape
from pyroscope_operator.scrape.fetch import Answer, Fetcher, request_for
from pyroscope_operator.scrape.room import Room

BODY = b"the profile" * 100
SECRET = "s3cr3t"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield "{}:{}".format(*server.sockets[0].getsockname())


def at(address: str, what: Scrape | None = None, **fields: object) -> Scrape:
    what = what or scrape(GOROUTINE)
    return replace(what, target=replace(what.target, address=address), **fields)  # type: ignore[arg-type]


async def fetch(what: Scrape) -> bytes:
    """Over a transport of its own: whatever it leaves open is a ResourceWarning."""
    async with transport.open_transport() as opened:
        return await body_of(Fetcher(opened), what)


async def body_of(fetcher: Fetcher, what: Scrape, request: httpx.Request | None = None) -> bytes:
    return (await answer_of(fetcher, what, request)).body


async def answer_of(fetcher: Fetcher, what: Scrape, request: httpx.Request | None = None) -> Answer:
    async with Room(1 << 24, "--body-memory").claim("shop") as claim:
        return await fetcher.fetch(request or request_for(what), what, claim)


async def failure(what: Scrape) -> ScrapeError:
    with pytest.raises((FetchError, ProfileError)) as caught:
        await fetch(what)
    assert SECRET not in str(caught.value)
    return caught.value


async def body(_: web.Request) -> web.Response:
    return web.Response(body=BODY)


# What is asked


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ((), "seconds=14"),
        ((("debug", ("0",)),), "debug=0&seconds=14"),
        ((("gc", ("1", "2")), ("x", ("",))), "gc=1&gc=2&x=&seconds=14"),
        ((("q", ("a b", "1+1&2=3", "ü%", "/?#")),), "q=a+b&q=1%2B1%262%3D3&q=%C3%BC%25&q=%2F%3F%23&seconds=14"),
    ],
)
def test_query(params: Params, query: str) -> None:
    request = request_for(scrape(CPU, params=params))
    assert str(request.url) == f"http://10.0.0.1:6060/debug/pprof/profile?{query}"
    assert request.method == "GET"


@pytest.mark.parametrize(
    ("address", "scheme", "path", "url"),
    [
        ("10.0.0.1:6060", "http", "/debug/pprof/goroutine", "http://10.0.0.1:6060/debug/pprof/goroutine"),
        ("[fd00::1]:6060", "http", "/x", "http://[fd00::1]:6060/x"),
        ("app.shop.svc:443", "https", "/internal/debug/pprof/goroutine", "https://app.shop.svc/internal/debug/pprof/goroutine"),
        ("app.shop.svc:80", "https", "/", "https://app.shop.svc:80/"),
    ],
)
def test_url(address: str, scheme: str, path: str, url: str) -> None:
    request = request_for(scrape(replace(GOROUTINE, path=path), target(address=address, scheme=scheme)))
    assert str(request.url) == url


async def test_the_request_on_the_wire() -> None:
    async with serving(body) as server:
        params = (("q", ("a b", "1+1&2=3", "ü%")),)
        what = at(server.address, scrape(replace(CPU, path="/in%2Fner/profile")), params=params)
        assert await fetch(what) == BODY
        (request,) = server.requests
        assert request.rel_url.query.getall("q") == ["a b", "1+1&2=3", "ü%"]
        assert request.rel_url.query["seconds"] == "14"
        assert request.rel_url.raw_path == "/in%2Fner/profile"
        assert request.headers["Accept-Encoding"] == "identity"
        assert request.headers["User-Agent"] == f"pyroscope-operator/{__version__}"
        assert request.headers["Host"] == server.address
        assert "Authorization" not in request.headers
        assert "Cookie" not in request.headers


async def test_ipv6() -> None:
    try:
        async with serving(body, "::1") as server:
            assert await fetch(at(server.address)) == BODY
            assert server.requests[0].headers["Host"] == server.address
    except OSError:
        pytest.skip("no IPv6 here")


# What is taken


async def test_a_chunked_body() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for i in range(0, len(BODY), 100):
            await answer.write(BODY[i : i + 100])
        return answer

    async with serving(handler) as server:
        assert await fetch(at(server.address)) == BODY


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", " gzip "])
async def test_a_content_encoding_that_comes_anyway_is_told(encoding: str) -> None:
    coded = gzip.compress(BODY)

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=coded, headers={"Content-Encoding": encoding})

    async with serving(handler) as server, transport.open_transport() as opened:
        assert await answer_of(Fetcher(opened), at(server.address)) == Answer(coded, encoded=True)


async def test_identity_is_no_encoding() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=BODY, headers={"Content-Encoding": "identity"})

    async with serving(handler) as server:
        assert await fetch(at(server.address)) == BODY


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, br", SECRET])
async def test_other_encodings_are_refused(encoding: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=BODY, headers={"Content-Encoding": encoding})

    async with serving(handler) as server:
        assert (await failure(at(server.address))).reason == "ContentEncoding"


async def test_a_body_at_the_limit_is_taken_and_one_above_is_cut() -> None:
    async with serving(body) as server:
        assert await fetch(at(server.address, body_limit=len(BODY))) == BODY
        error = await failure(at(server.address, body_limit=len(BODY) - 1))
    assert error.reason == "BodyTooLarge"


async def test_a_large_body_is_cut_while_it_comes() -> None:
    stream = Chunks(*[bytes(1000)] * 1000)
    answering = httpx.MockTransport(lambda _: httpx.Response(200, stream=stream))
    what = scrape(body_limit=5500)
    with pytest.raises(FetchError) as caught:
        await body_of(Fetcher(answering), what)
    assert caught.value.reason == "BodyTooLarge"
    assert "bodySizeLimit" in caught.value.message
    assert (stream.sent, stream.closed) == (6, True)


async def test_an_endless_body_is_cut() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(bytes(10_000))

    async with serving(handler) as server:
        assert (await failure(at(server.address, body_limit=100_000))).reason == "BodyTooLarge"


async def test_an_empty_body_is_not_the_fetchers_business() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response()

    async with serving(handler) as server:
        assert await fetch(at(server.address)) == b""


# What is refused


@pytest.mark.parametrize("status", [201, 204, 206, 304, 400, 401, 404, 429, 500, 503])
async def test_only_200_will_do(status: int) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=None if status in {204, 304} else SECRET.encode(), reason=SECRET)

    async with serving(handler) as server:
        error = await failure(at(server.address))
    assert error.reason == "HTTPStatus"
    assert str(status) in error.message


@pytest.mark.parametrize("seconds", [0.2, 0.5])
async def test_a_slow_answer(seconds: float) -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with serving(handler) as server:
        began = asyncio.get_running_loop().time()
        error = await failure(at(server.address, timeout=seconds))
        took = asyncio.get_running_loop().time() - began
    assert error.reason == "Timeout"
    assert seconds <= took < seconds + 0.5


async def test_a_slow_body_is_bounded_as_a_whole() -> None:
    """Every piece comes in time, and yet the answer takes too long."""

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x")
            await asyncio.sleep(0.05)

    async with serving(handler) as server:
        assert (await failure(at(server.address, timeout=0.4))).reason == "Timeout"


@pytest.mark.looptime
async def test_the_seconds_of_the_profile_are_on_top_of_the_timeout() -> None:
    async def measure(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(28)
        return httpx.Response(200, stream=Chunks(BODY))

    what = scrape(CPU)
    assert what.timeout == 29
    assert await body_of(Fetcher(httpx.MockTransport(measure)), what) == BODY


async def test_nobody_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        error = await failure(at(f"127.0.0.1:{bound.getsockname()[1]}"))
    assert (error.reason, error.message) == ("ConnectFailed", "cannot connect: connection refused")


async def test_an_unknown_host() -> None:
    error = await failure(at("no-such-host.invalid:80", timeout=5.0))
    assert error.reason in {"ConnectFailed", "Timeout"}


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_ends_without_an_answer(reset: bool) -> None:
    async with wire(b"", reset=reset) as address:
        assert (await failure(at(address))).reason == "ConnectionLost"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 1000\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"Content-Length: 1000\r\n\r\n"],
)
async def test_a_connection_that_ends_in_mid_body(head: bytes, reset: bool) -> None:
    async with wire(b"HTTP/1.1 200 OK\r\n" + head, reset=reset) as address:
        assert (await failure(at(address))).reason in {"Truncated", "ConnectionLost"}


@pytest.mark.parametrize(
    "garbage",
    [
        SECRET.encode() + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    ],
)
async def test_garbage_instead_of_http(garbage: bytes) -> None:
    async with wire(garbage) as address:
        assert (await failure(at(address))).reason in {"InvalidHTTP", "Truncated", "ConnectionLost"}


async def test_https_to_a_target_that_talks_http() -> None:
    async with serving(body) as server:
        what = at(server.address)
        error = await failure(replace(what, target=replace(what.target, scheme="https")))
    assert error.reason == "ConnectFailed"
    assert error.message.startswith("cannot connect: TLS failed")


async def test_a_certificate_that_is_not_trusted(tls_server: ssl.SSLContext) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=SECRET.encode())

    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls_server).start()
    what = at(f"127.0.0.1:{runner.addresses[0][1]}")
    error = await failure(replace(what, target=replace(what.target, scheme="https")))
    await runner.cleanup()
    assert error.reason == "ConnectFailed"
    assert error.message.startswith("cannot connect: certificate not accepted")


# Redirects


def redirecting(location: Callable[[web.Request], str], status: int = 302) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/end":
            return web.Response(body=BODY)
        return web.Response(status=status, headers={"Location": location(request)}, body=SECRET.encode())

    return handler


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("form", ["/end", "{server}/end", "../../end"])
async def test_redirects_on_the_same_host_are_followed(status: int, form: str) -> None:
    async with serving(redirecting(lambda request: form.format(server=f"http://{request.host}"), status)) as server:
        assert await fetch(at(server.address)) == BODY
        assert server.requests[-1].headers["Accept-Encoding"] == "identity"


async def test_a_redirect_to_another_port_of_the_host_is_followed() -> None:
    async with serving(body) as other, serving(redirecting(lambda _: f"http://{other.address}/end")) as server:
        assert await fetch(at(server.address)) == BODY


@pytest.mark.parametrize(("steps", "fine"), [(10, True), (11, False)])
async def test_ten_redirects_and_no_more(steps: int, fine: bool) -> None:
    def next_step(request: web.Request) -> str:
        step = int(request.path[1:]) + 1
        return "/end" if step == steps else f"/{step}"

    async with serving(redirecting(next_step)) as server:
        what = at(server.address, scrape(replace(GOROUTINE, path="/0")))
        if fine:
            assert await fetch(what) == BODY
        else:
            assert (await failure(what)).reason == "TooManyRedirects"
        assert len(server.requests) == 11


async def test_a_redirect_loop() -> None:
    async with serving(redirecting(lambda request: request.path_qs)) as server:
        assert (await failure(at(server.address))).reason == "TooManyRedirects"
        assert len(server.requests) == 11


@pytest.mark.parametrize(
    "location",
    [
        f"http://localhost:1/{SECRET}",
        "http://169.254.169.254/latest/meta-data",
        "//10.96.0.1/api",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://127.0.0.1@evil.example/",
    ],
)
async def test_redirects_to_other_hosts_are_refused(location: str) -> None:
    async with serving(redirecting(lambda _: location)) as server:
        assert (await failure(at(server.address))).reason == "RedirectRefused"


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:99999/", "http://127.0.0.1:x/", "\x00"])
async def test_a_redirect_to_nowhere(location: str) -> None:
    answering = httpx.MockTransport(lambda _: httpx.Response(302, headers={"Location": location}, stream=Chunks()))
    what = at("127.0.0.1:6060", timeout=0.5)
    with pytest.raises(FetchError):
        await body_of(Fetcher(answering), what)


async def test_redirects_are_not_followed_when_the_object_says_so() -> None:
    async with serving(redirecting(lambda _: "/end")) as server:
        error = await failure(at(server.address, follow_redirects=False))
        assert len(server.requests) == 1
    assert (error.reason, "302" in error.message) == ("HTTPStatus", True)


async def test_a_redirect_without_location() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=302)

    async with serving(handler) as server:
        assert (await failure(at(server.address))).reason == "HTTPStatus"


async def test_redirects_share_one_timeout() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(0.15)
        return web.Response(status=302, headers={"Location": "/x"})

    async with serving(handler) as server:
        assert (await failure(at(server.address, timeout=0.4))).reason == "Timeout"


# Floods

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def flooding(start: bytes, flood: bytes) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that writes `flood` over and over; its address, and how many bytes it got rid of."""
    sent: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        with suppress(OSError):
            while True:
                writer.write(flood)
                await writer.drain()
                sent.append(len(flood))
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield "{}:{}".format(*server.sockets[0].getsockname()), sent


@pytest.mark.parametrize(
    ("start", "flood"),
    [
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="interim answers"),
        pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\n" + b"a: b\r\n" * 100 + b"\r\n", id="interim answers with headers"),
        pytest.param(CHUNKED, b"1\r\nx\r\n", id="tiny chunks"),
        pytest.param(CHUNKED, b"1;" + b"e" * 4000 + b"\r\nx\r\n", id="chunk extensions"),
        pytest.param(CHUNKED, b"0" * 4000, id="a chunk size without end"),
        pytest.param(CHUNKED + b"0\r\n", b"a: b\r\n", id="trailers"),
        pytest.param(OK, b"a: b\r\n", id="headers"),
        pytest.param(OK + b"a: ", b"b" * 4000, id="a header without end"),
        pytest.param(b"HTTP/1.1 200 ", b"x" * 4000, id="a reason without end"),
    ],
)
async def test_a_flood_is_broken_off(start: bytes, flood: bytes) -> None:
    """Long before its end is due, and before much of it has come."""
    async with flooding(start, flood * (100_000 // len(flood))) as (address, sent):
        error = await failure(at(address, timeout=60.0))
    assert error.reason in {"InvalidHTTP", "Truncated"}
    assert sum(sent) < 20_000_000, "what fits into the buffers of two sockets"


@pytest.mark.parametrize(("size", "count"), [(100, 20_000), (10, 10_000), (4096, 1000)])
async def test_small_chunks_are_no_flood(size: int, count: int) -> None:
    answer = CHUNKED + (b"%x\r\n" % size + bytes(size) + b"\r\n") * count + b"0\r\n\r\n"
    async with wire(answer) as address:
        assert await fetch(at(address, body_limit=1 << 24)) == bytes(size * count)


async def test_some_interim_answers_are_no_flood() -> None:
    async with wire(b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + OK + b"Content-Length: 1\r\n\r\nx") as address:
        assert await fetch(at(address)) == b"x"


async def test_a_large_body_that_is_read_slowly_is_no_flood() -> None:
    """While reading is paused, what has come has not all been parsed."""
    answer = CHUNKED + (b"200\r\n" + bytes(512) + b"\r\n") * (1 << 14) + b"0\r\n\r\n"
    async with wire(answer) as address, transport.open_transport() as opened:
        response = await opened.handle_async_request(request_for(at(address)))
        size = 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size % (1 << 18) < len(chunk):
                await asyncio.sleep(0.01)
        await response.aclose()
        assert size == 8 << 20


async def test_every_request_of_a_connection_counts_anew() -> None:
    async with serving(body) as server, transport.open_transport() as opened:
        fetcher = Fetcher(opened)
        for _ in range(600):
            assert await body_of(fetcher, at(server.address)) == BODY
        assert len(server.connections) == 1


async def test_a_body_of_an_error_is_not_read() -> None:
    start = b"HTTP/1.1 500 No\r\nContent-Length: 100000000000\r\n\r\n"
    async with flooding(start, bytes(100_000)) as (address, sent):
        assert (await failure(at(address, timeout=60.0))).reason == "HTTPStatus"
    assert sum(sent) < 20_000_000


async def test_a_target_that_talks_first_and_without_end() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                writer.write(bytes(100_000))
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        address = "{}:{}".format(*server.sockets[0].getsockname())
        assert (await failure(at(address, timeout=60.0))).reason in {"InvalidHTTP", "ConnectionLost"}


# Connections


async def test_connections_are_reused() -> None:
    async with serving(body) as server, transport.open_transport() as opened:
        what = at(server.address)
        fetcher, request = Fetcher(opened), request_for(what)
        for _ in range(5):
            assert await body_of(fetcher, what, request) == BODY
        assert len(server.requests) == 5
        assert len(server.connections) == 1


async def test_a_connection_that_the_target_has_closed_meanwhile_is_made_anew() -> None:
    async with serving(body) as server, transport.open_transport() as opened:
        what = at(server.address)
        fetcher, request = Fetcher(opened), request_for(what)
        await body_of(fetcher, what, request)
        assert server.requests[0].transport is not None
        server.requests[0].transport.close()
        await asyncio.sleep(0.05)
        assert await body_of(fetcher, what, request) == BODY
        assert len(server.connections) == 2


async def test_a_cancelled_fetch_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        try:
            await asyncio.sleep(30)
        finally:
            gone.set()
        return web.Response()

    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with transport.open_transport() as opened:
        what = at(f"127.0.0.1:{runner.addresses[0][1]}")
        task = asyncio.create_task(body_of(Fetcher(opened), what))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(2):
            await gone.wait()
    await runner.cleanup()


async def test_many_targets_at_once() -> None:
    """There is no connection limit that would make scrapes wait for each other."""
    everybody = asyncio.Barrier(150)

    async def handler(_: web.Request) -> web.Response:
        await everybody.wait()
        return web.Response(body=BODY)

    async with serving(handler) as server, transport.open_transport() as opened:
        what = at(server.address, timeout=5.0)
        fetcher = Fetcher(opened)
        assert set(await asyncio.gather(*(body_of(fetcher, what) for _ in range(150)))) == {BODY}
