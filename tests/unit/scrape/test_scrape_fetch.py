"""One request, over the real transport against real servers on loopback: what is sent, what is taken, what is refused."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from aiohttp import web
from engines import open_transport
from scrape_fakes import CPU, GOROUTINE, Chunks, response, scrape, target
from scrape_servers import SECRET, Handler, answer_of, at, body_of, failure, fetch, serving, wire

from pyroscope_operator import __version__
from pyroscope_operator.errors import AccessError, FetchError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access
from pyroscope_operator.model.target import STATIC, Params
from pyroscope_operator.scrape.fetch import Answer, Fetcher, request_for
from pyroscope_operator.transport.clients import open_clients

pytestmark = pytest.mark.usefixtures("engine")

BODY = b"the profile" * 100


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

    async with serving(handler) as server, open_transport() as opened:
        assert await answer_of(Fetcher(lambda _: opened), at(server.address)) == Answer(coded, encoded=True)


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
        await body_of(Fetcher(lambda _: answering), what)
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


@pytest.mark.parametrize("status", [201, 204, 206, 304, 400, 404, 429, 500, 503])
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
    assert await body_of(Fetcher(lambda _: httpx.MockTransport(measure)), what) == BODY


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


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:99999/", "http://127.0.0.1:x/", "//\x01"])
async def test_a_redirect_to_nowhere(location: str) -> None:
    async with wire(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()) as address:
        assert (await failure(at(address))).reason == "RedirectRefused"


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


# Connections


async def test_connections_are_reused() -> None:
    async with serving(body) as server, open_transport() as opened:
        what = at(server.address)
        fetcher, request = Fetcher(lambda _: opened), request_for(what)
        for _ in range(5):
            assert await body_of(fetcher, what, request) == BODY
        assert len(server.requests) == 5
        assert len(server.connections) == 1


async def test_a_connection_that_the_target_has_closed_meanwhile_is_made_anew() -> None:
    async with serving(body) as server, open_transport() as opened:
        what = at(server.address)
        fetcher, request = Fetcher(lambda _: opened), request_for(what)
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
    async with open_transport() as opened:
        what = at(f"127.0.0.1:{runner.addresses[0][1]}")
        task = asyncio.create_task(body_of(Fetcher(lambda _: opened), what))
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

    async with serving(handler) as server, open_transport() as opened:
        what = at(server.address, timeout=5.0)
        fetcher = Fetcher(lambda _: opened)
        assert set(await asyncio.gather(*(body_of(fetcher, what) for _ in range(150)))) == {BODY}


# Credentials


TOKEN = Access(authorization=f"Bearer {SECRET}", credentials="spec.bearerTokenSecret")


class Ways:
    """Transports that keep the Access that each request was sent with; `answer` says what comes."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self._answer = answer
        self.gone: list[tuple[str, Access]] = []

    def of(self, access: Access) -> httpx.AsyncBaseTransport:
        def handle(request: httpx.Request) -> httpx.Response:
            self.gone.append((str(request.url), access))
            return self._answer(request)

        return httpx.MockTransport(handle)


def moved(**steps: str) -> Callable[[httpx.Request], httpx.Response]:
    """Redirects by the last part of the path; 200 where there is none."""

    def answer(request: httpx.Request) -> httpx.Response:
        to = steps.get(request.url.path.rpartition("/")[2])
        return httpx.Response(302, headers={"Location": to}) if to else response(BODY)

    return answer


STATIC_TARGET = target(pod_uid=STATIC, pod="", container="", address="db.example:6060", scheme="https")


async def test_a_static_target_may_send_to_another_host_but_the_credentials_stay() -> None:
    steps = {"goroutine": "https://other.example/b", "b": "https://db.example:6060/c", "c": "/d"}
    ways = Ways(moved(**steps))
    what = scrape(GOROUTINE, STATIC_TARGET, access=TOKEN)
    assert await body_of(Fetcher(ways.of), what) == BODY
    assert [url for url, _ in ways.gone][1:] == [
        "https://other.example/b",
        "https://db.example:6060/c",
        "https://db.example:6060/d",
    ]
    assert [access for _, access in ways.gone] == [TOKEN] + [TOKEN.elsewhere()] * 3
    assert not any(access.has_credentials for _, access in ways.gone[1:])
    assert all(access.guarded for _, access in ways.gone[1:])


@pytest.mark.parametrize(
    ("scheme", "location", "kept"),
    [
        ("https", "http://10.0.0.1:6060/x", False),
        ("https", "https://10.0.0.1:7070/x", True),
        ("https", "/x", True),
        ("http", "https://10.0.0.1:6060/x", True),
        ("http", "http://10.0.0.1:7070/x", True),
    ],
)
async def test_credentials_are_not_sent_in_the_clear_after_tls(scheme: str, location: str, kept: bool) -> None:
    ways = Ways(moved(goroutine=location))
    assert await body_of(Fetcher(ways.of), scrape(GOROUTINE, target(scheme=scheme), access=TOKEN)) == BODY
    (_, first), (_, second) = ways.gone
    assert first == TOKEN
    assert second.has_credentials == kept
    assert not second.guarded


@pytest.mark.parametrize("location", ["ftp://other.example/x", "file:///etc/passwd", "http://", "http://[", "javascript:x"])
async def test_a_static_target_can_not_send_anywhere(location: str) -> None:
    ways = Ways(moved(goroutine=location))
    with pytest.raises(FetchError) as caught:
        await body_of(Fetcher(ways.of), scrape(GOROUTINE, STATIC_TARGET, access=TOKEN))
    assert caught.value.reason == "RedirectRefused"
    assert len(ways.gone) == 1


async def test_a_redirect_brings_no_user_of_its_own() -> None:
    ways = Ways(moved(goroutine=f"https://u:{SECRET}@other.example/x"))
    await body_of(Fetcher(ways.of), scrape(GOROUTINE, STATIC_TARGET))
    assert ways.gone[1][0] == "https://other.example/x"


@pytest.mark.parametrize(
    ("status", "access", "reason", "message"),
    [
        (401, TOKEN, "Unauthorized", "the target does not accept spec.bearerTokenSecret (HTTP status 401)"),
        (403, TOKEN, "Forbidden", "the target does not permit it with spec.bearerTokenSecret (HTTP status 403)"),
        (401, Access(), "Unauthorized", "the target asks for credentials, and the object has none (HTTP status 401)"),
        (403, Access(), "Forbidden", "the target forbids it without credentials, and the object has none (HTTP status 403)"),
    ],
)
async def test_credentials_that_are_not_accepted(status: int, access: Access, reason: str, message: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=SECRET.encode(), reason=SECRET)

    async with serving(handler) as server:
        error = await failure(at(server.address, access=access))
    assert (error.reason, error.message) == (reason, message)


async def test_credentials_that_were_left_behind() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "other.example":
            return httpx.Response(401)
        return httpx.Response(302, headers={"Location": "https://other.example/"})

    with pytest.raises(FetchError, match="redirects to where no credentials are sent") as caught:
        await body_of(Fetcher(Ways(answer).of), scrape(GOROUTINE, STATIC_TARGET, access=TOKEN))
    assert caught.value.reason == "Unauthorized"


async def test_what_is_wrong_on_the_way_keeps_its_reason() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise AccessError("TokenRefused", "tokenUrl gives no token")

    with pytest.raises(FetchError) as caught:
        await body_of(Fetcher(Ways(answer).of), scrape())
    assert (caught.value.reason, caught.value.message) == ("TokenRefused", "tokenUrl gives no token")


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
async def test_a_host_that_cannot_be(host: str) -> None:
    async with open_clients(Metrics()) as clients:
        what = at(f"{host}:1")
        with pytest.raises(FetchError, match="cannot connect: no valid host name") as caught:
            await body_of(Fetcher(clients.of), what)
    assert caught.value.reason == "ConnectFailed"
