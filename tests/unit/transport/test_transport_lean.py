"""The lean transport: what it takes for an answer, what becomes of its connections, and how they are used again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from transport_servers import get, http1, send, talking

from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import DIRECT, Access
from pyroscope_operator.transport.clients import open_clients
from pyroscope_operator.transport.faults import Truncated, never_connected
from pyroscope_operator.transport.lean import LeanTransport, open_lean
from pyroscope_operator.transport.link import Link
from pyroscope_operator.transport.reply import MAX_HEAD, MAX_HELD
from pyroscope_operator.transport.sockets import Sockets

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


class Body(httpx.AsyncByteStream):
    """The body of a request, in parts; `hold` is waited for after the first."""

    def __init__(self, *parts: bytes, hold: asyncio.Event | None = None) -> None:
        self._parts, self._hold = parts, hold
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            self.sent += 1
            yield part
            if self._hold is not None:
                await self._hold.wait()


def request_to(address: tuple[str, int], method: str = "GET", path: str = "") -> httpx.Request:
    return httpx.Request(method, "http://{}:{}/".format(*address) + path)


def post_to(address: tuple[str, int], body: Body, length: int) -> httpx.Request:
    headers = {"Host": "x", "Content-Length": str(length)}
    return httpx.Request("POST", "http://{}:{}/".format(*address), headers=headers, stream=body)


@asynccontextmanager
async def saying(*answers: bytes) -> AsyncIterator[tuple[tuple[str, int], list[int]]]:
    """Says one of the answers to each request, then ends the connection; with how many requests each connection took."""
    taken: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = len(taken)
        taken.append(0)
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            taken[mine] += 1
            writer.write(answer)

    async with talking(talk) as address:
        yield address, taken


# What an answer is


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc"),
        (b"HTTP/1.1 204 No\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 No\r\nContent-Length: 99\r\n\r\n", 304, b""),
        (b"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", 101, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n", 200, b"abc"),
        (b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", 200, b"abc"),
        (b"HTTP/1.1 103 Hints\r\nContent-Length: 9\r\n\r\n" + OK, 200, b"body"),
    ],
)
async def test_answers(answer: bytes, status: int, body: bytes) -> None:
    async with saying(answer) as (address, _), open_lean() as lean:
        assert await send(lean, request_to(address)) == (status, body)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Content-Length: 3, 3",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999999",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"X: a\0b",
        b"X: " + b"x" * 2 * MAX_HEAD,
        b"X: y\r\n" * 300 + b"A: b",
    ],
    ids=lambda head: head[:40],
)
async def test_heads_that_are_refused(head: bytes) -> None:
    """The target waits: nothing but the head can be why."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        await reader.read()

    async with talking(talk) as address, open_lean() as lean:
        with pytest.raises(httpx.RemoteProtocolError):
            await send(lean, request_to(address))


async def test_chunks_of_http_1_0_are_refused() -> None:
    answer = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with saying(answer) as (address, _), open_lean() as lean:
        with pytest.raises(httpx.RemoteProtocolError):
            await send(lean, request_to(address))


# Which connections are used again


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (OK, True),
        (b"HTTP/1.1 204 No\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 101 Up\r\n\r\n", False),
        (OK + b"HTTP/1.1 500", False),
        (OK + OK, False),
    ],
)
async def test_what_is_kept(answer: bytes, kept: bool) -> None:
    async with saying(answer, answer) as (address, taken), open_lean() as lean:
        for _ in range(2):
            await send(lean, request_to(address))
        assert taken == ([2] if kept else [1, 1])


async def test_a_kept_connection_that_ends_at_the_next_request() -> None:
    """A GET is sent once more, on a new connection and once only; a POST may have been taken."""
    async with saying(OK, b"") as (address, taken), open_lean() as lean:
        for _ in range(3):
            assert await send(lean, request_to(address)) == (200, b"body")
        assert taken == [2, 2, 1]
        with pytest.raises(httpx.ReadError) as caught:
            await send(lean, request_to(address, "POST"))
        assert taken == [2, 2, 2]
        assert not never_connected(caught.value)


async def test_a_new_connection_that_ends_is_not_tried_again() -> None:
    async with saying(b"") as (address, taken), open_lean() as lean:
        with pytest.raises(httpx.ReadError):
            await send(lean, request_to(address))
        assert taken == [1]


async def test_half_an_answer_is_not_asked_for_again() -> None:
    async with saying(OK, b"HTTP/1.1 2") as (address, taken), open_lean() as lean:
        await send(lean, request_to(address))
        with pytest.raises(httpx.ReadError):
            await send(lean, request_to(address))
        assert taken == [2]


async def test_an_answer_that_is_not_read_to_its_end() -> None:
    """One that came completely leaves a good connection behind, half an answer does not."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nbody"
    async with saying(OK, half, OK) as (address, taken), open_lean() as lean:
        for expected in ([1], [2], [2, 1]):
            response = await lean.handle_async_request(request_to(address))
            await response.aclose()
            assert taken == expected


async def test_who_gives_up_ends_no_connection_of_others() -> None:
    """The answer is there, the connection is in use again, and only then the first one learns that it was cancelled."""
    async with http1() as server, open_lean() as lean:
        request = httpx.Request("GET", server.url)
        await send(lean, request)
        (link,) = lean._open
        first = asyncio.create_task(lean.handle_async_request(request))
        await asyncio.sleep(0)
        link.data_received(OK)
        assert lean._take(link.origin) is link
        reply = link.begin()
        link.is_sent = True
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        assert link.is_open
        assert not reply.is_lost


@pytest.mark.parametrize("while_connecting", [True, False])
async def test_cancelled_requests_leave_nothing(while_connecting: bool) -> None:
    arrived = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()

    metrics = Metrics()
    async with talking(talk) as address, open_clients(metrics) as clients:
        task = asyncio.create_task(get(clients, DIRECT, "http://{}:{}/".format(*address)))
        await (asyncio.sleep(0) if while_connecting else arrived.wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            while clients._sockets.open.total():
                await asyncio.sleep(0)


async def test_one_that_is_cancelled_as_it_connects_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop tells nobody of the end of such a connection."""
    connected = Link.connection_made

    def connection_made(self: Link, transport: asyncio.BaseTransport) -> None:
        connected(self, transport)
        task.cancel()

    monkeypatch.setattr(Link, "connection_made", connection_made)
    sockets = Sockets()
    async with http1() as server, open_lean(sockets.factory("x", guarded=False)) as lean:
        task = asyncio.create_task(send(lean, httpx.Request("GET", server.url)))
        await asyncio.wait([task])
        assert task.cancelled()
        async with asyncio.timeout(5):
            await sockets.all_closed()
        assert not lean._open


async def test_a_connection_that_is_lost_before_the_request() -> None:
    async with http1() as server, open_lean() as lean:
        await send(lean, httpx.Request("GET", server.url))
        (link,) = lean._open
        link.abort()
        reply = link.begin()
        assert reply.is_lost
        assert isinstance(reply.failure(), httpx.ReadError)


async def test_idle_connections_are_closed() -> None:
    async with http1() as server, open_lean() as lean:
        request = httpx.Request("GET", server.url)
        await asyncio.gather(*(send(lean, request) for _ in range(3)))
        now = asyncio.get_running_loop().time()
        lean.sweep(now - 60)
        assert len(lean._open) == 3
        lean.sweep(now)
        async with asyncio.timeout(5):
            while lean._open:
                await asyncio.sleep(0)
        assert not lean._idle
        assert await send(lean, request) == (200, b"hello")


async def test_one_that_was_idle_for_too_long_is_not_used() -> None:
    async with http1() as server, open_lean() as lean:
        request = httpx.Request("GET", server.url)
        await send(lean, request)
        (link,) = lean._open
        link.idle_since -= 80
        await send(lean, request)
        assert len(server.peers) == 2


async def test_the_end_ends_everything() -> None:
    """A body that ends with the connection is not complete when it is we who end it."""
    arrived = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        arrived.set()
        await reader.read()

    async with talking(talk) as address:
        async with open_lean() as lean:
            response = await lean.handle_async_request(request_to(address))
        with pytest.raises(Truncated):
            async for _ in response.aiter_raw():
                pass


# Back-pressure


async def test_a_body_that_nobody_reads_is_not_taken_in() -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        while sent < 64 << 20:
            writer.write(bytes(1 << 16))
            await writer.drain()
            sent += 1 << 16

    async with talking(talk) as address, open_lean() as lean:
        response = await lean.handle_async_request(request_to(address))
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        assert sent < 64 << 20
        reply = response.stream
        assert reply.held <= MAX_HELD + (1 << 19)  # type: ignore[union-attr]
        assert sum([len(chunk) async for chunk in response.aiter_raw()]) == 64 << 20
        await response.aclose()


# Requests


async def test_the_request_on_the_wire() -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            seen[-1] += await reader.readexactly(4 if b"POST" in seen[-1] else 0)
            writer.write(OK)

    async with talking(talk) as address, open_lean() as lean:
        await send(lean, request_to(address, path="a%2Fb/?x=%20y#z"))
        await send(lean, post_to(address, Body(b"ab", b"cd"), 4))
        await send(lean, httpx.Request("POST", "http://{}:{}/".format(*address), content=b"abcd"))
    assert seen[0].startswith(b"GET /a%2Fb/?x=%20y HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Content-Length" not in seen[0]
    assert seen[1] == b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"
    assert seen[2].endswith(b"Content-Length: 4\r\n\r\nabcd")


async def test_a_copy_with_other_headers_has_a_head_of_its_own() -> None:
    """The head is kept with the request, and a copy takes that along."""
    async with http1() as server, open_clients(Metrics()) as clients:
        request = httpx.Request("GET", server.url)
        for access in (DIRECT, Access(authorization="Bearer x"), DIRECT):
            await send(clients.of(access), request)
        assert [sent.headers.get("Authorization") for sent in server.requests] == [None, "Bearer x", None]


@pytest.mark.parametrize("header", ["x\r\nEvil: y", "x\ny", "x\0"])
async def test_no_header_has_a_line_break(header: str) -> None:
    async with http1() as server, open_lean() as lean:
        with pytest.raises(httpx.LocalProtocolError):
            await send(lean, httpx.Request("GET", server.url, headers={"X": header}))
        assert not server.requests


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "http://127.0.0.1:99999/", "ftp://127.0.0.1/"])
async def test_other_urls(url: str) -> None:
    async with open_lean() as lean:
        with pytest.raises(httpx.UnsupportedProtocol):
            await send(lean, httpx.Request("GET", url))


async def test_an_answer_that_does_not_wait_for_the_body() -> None:
    """No more is sent then, and the connection is not used again."""
    hold = asyncio.Event()
    async with saying(OK) as (address, _), open_lean() as lean, asyncio.timeout(5):
        body = Body(b"ab", b"cd", b"ef", hold=hold)
        asking = asyncio.create_task(send(lean, post_to(address, body, 6)))
        while not body.sent or any(link._reply for link in lean._open):
            await asyncio.sleep(0)
        hold.set()
        assert await asking == (200, b"body")
        assert body.sent == 2
        assert not lean._idle


async def test_a_large_body_that_is_answered_before_it_is_taken() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK.replace(b"200", b"413"))
        await asyncio.sleep(60)

    async with talking(talk) as address, open_lean() as lean:
        body = Body(*[bytes(1 << 18)] * 100)
        assert await send(lean, post_to(address, body, 100 << 18)) == (413, b"body")
        assert body.sent < 100


async def test_a_body_that_nobody_takes_is_not_all_written() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(60)

    async with talking(talk) as address, open_lean() as lean:
        body = Body(*[bytes(1 << 18)] * 200)
        task = asyncio.create_task(send(lean, post_to(address, body, 200 << 18)))
        before = -1
        while before != body.sent or not body.sent:
            before = body.sent
            await asyncio.sleep(0.05)
        assert body.sent < 200
        task.cancel()
        await asyncio.wait([task])
        assert not lean._idle


# Garbage


async def asked(lean: LeanTransport, request: httpx.Request, times: int) -> None:
    for _ in range(times):
        await send(lean, request)


async def test_requests_leave_no_cycles() -> None:
    async with http1() as server, open_lean() as lean:
        request = httpx.Request("GET", server.url)
        await asked(lean, request, 3)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await asked(lean, request, 100)
            gc.collect()
            kinds = {type(thing).__module__ for thing in gc.garbage}
            assert not [kind for kind in kinds if kind.startswith(("pyroscope_operator", "httptools", "httpx"))]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
