"""Real servers on loopback: TLS with certificates of their own, HTTP/2, proxies, tokens, and hostile ones."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx
import trustme
from aiohttp import web

from pyroscope_operator.errors import AccessError
from pyroscope_operator.model.access import TlsSettings
from pyroscope_operator.transport.clients import Clients

SECRET = "s3cr3t"
PREFACE = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""SETTINGS without settings, what an HTTP/2 server says first."""
ACK = b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"
REQUEST_MARK = b"\x00\x00\x00\x01"

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def stranger() -> trustme.CA:
    """Another authority, which nobody trusts."""
    return trustme.CA()


def ca() -> str:
    return authority().cert_pem.bytes().decode()


def trusting(**fields: Any) -> TlsSettings:
    return TlsSettings(ca=ca(), **fields)


def pair(name: str = "client@example.org", issuer: trustme.CA | None = None) -> dict[str, str]:
    """A certificate and its key, as fields of TlsSettings."""
    made = (issuer or authority()).issue_cert(name)
    certificates = "".join(blob.bytes().decode() for blob in made.cert_chain_pems)
    return {"cert": certificates, "key": made.private_key_pem.bytes().decode()}


def server_context(
    name: str = "127.0.0.1", *, http2: bool = False, mutual: bool = False, issuer: trustme.CA | None = None, **issue: Any
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (issuer or authority()).issue_cert(name, **issue).configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        authority().configure_trust(context)
    return context


class Server:
    """What an aiohttp server has seen."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[web.Request] = []
        self.peers: set[Any] = set()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


@asynccontextmanager
async def http1(handler: Handler = hello, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """HTTP/1.1, with TLS or without."""
    server = Server("")

    async def handle(request: web.Request) -> web.StreamResponse:
        server.requests.append(request)
        server.peers.add(request.transport.get_extra_info("peername") if request.transport else None)
        await request.read()
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    server.url = f"{'https' if context else 'http'}://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def blocking_tls(context: ssl.SSLContext, *, hang_up: bool = False) -> AsyncIterator[str]:
    """A server in a thread, whose TLS sends alerts when a handshake fails, as most do; asyncio's says nothing then.

    `hang_up`: it closes right after the alert, whatever we are saying.
    """
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listening:
            while True:
                connection, _ = listening.accept()
                with connection, suppress(OSError):
                    connection.settimeout(5)
                    _serve(connection, context, hang_up)
                if stop.is_set():
                    return

    stop = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    host, port = listening.getsockname()
    try:
        yield f"https://{host}:{port}/"
    finally:
        stop.set()
        with suppress(OSError):  # it has ended already, or does so now
            socket.create_connection((host, port)).close()
        await asyncio.to_thread(thread.join)


def _serve(connection: socket.socket, context: ssl.SSLContext, hang_up: bool) -> None:
    with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as talk:
        try:
            talk.do_handshake()
        except ssl.SSLError:
            if hang_up:
                return
            with socket.socket(fileno=talk.detach()) as bare:
                bare.settimeout(5)
                bare.shutdown(socket.SHUT_WR)
                while bare.recv(65536):  # closing now would be a reset, which may overtake the alert
                    pass
            return
        if talk.recv(65536):
            talk.sendall(ANSWER)
            talk.recv(1)


@asynccontextmanager
async def talking(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, int]]:
    """A server that says what `talk` says on each connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)


class Http2:
    """A well-behaved HTTP/2 server. Paths: /N answers N bytes, /echo the body, /status/N with that status, /never nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.requests: list[dict[str, str]] = []
        self.hang_up_on_next = False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        http.initiate_connection()
        heads: dict[int, dict[str, str]] = {}
        bodies: dict[int, bytes] = {}
        while True:
            writer.write(http.data_to_send())
            await writer.drain()
            data = await reader.read(65536)
            if not data:
                return
            for event in http.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    if self.hang_up_on_next:
                        self.hang_up_on_next = False
                        return
                    heads[event.stream_id], bodies[event.stream_id] = dict(event.headers), b""  # type: ignore[arg-type]
                    self.requests.append(heads[event.stream_id])
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                    http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    await self._answer(http, writer, event.stream_id, heads[event.stream_id][":path"], bodies[event.stream_id])

    async def _answer(
        self, http: h2.connection.H2Connection, writer: asyncio.StreamWriter, stream: int, path: str, body: bytes
    ) -> None:
        first, *rest = path.strip("/").split("/")
        if first == "never":
            return
        status = rest[0] if first == "status" else "200"
        body = body if first == "echo" else b"x" * (int(first) if first.isdigit() else 2)
        http.send_headers(stream, [(":status", status), ("x-answer", "1")])
        for start in range(0, len(body), 16384):
            http.send_data(stream, body[start : start + 16384])
            writer.write(http.data_to_send())
            await writer.drain()
        http.end_stream(stream)


@asynccontextmanager
async def http2(**fields: Any) -> AsyncIterator[Http2]:
    server = Http2()
    async with talking(server.talk, server_context(http2=True, **fields)) as (host, port):
        server.url = f"https://{host}:{port}/"
        yield server


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


@asynccontextmanager
async def hostile_http2(*pieces: bytes, forever: bytes = b"") -> AsyncIterator[str]:
    """Says `pieces` once a request came, then `forever` again and again."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = b""
        while REQUEST_MARK not in seen[24:]:
            more = await reader.read(65536)
            if not more:
                return
            seen += more
        writer.write(PREFACE + ACK + b"".join(pieces))
        await writer.drain()
        while forever and not writer.is_closing():
            writer.write(forever)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read(-1)

    async with talking(talk, server_context(http2=True)) as (host, port):
        yield f"https://{host}:{port}/"


# Proxies


class Proxy:
    """An HTTP proxy (CONNECT and forwarding) or a SOCKS 5 proxy."""

    def __init__(self) -> None:
        self.address = ""
        self.heads: list[bytes] = []

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        target = head.split()[1].decode()
        if not head.startswith(b"CONNECT"):
            url = httpx.URL(target)
            upstream = await asyncio.open_connection(url.host, url.port)
            upstream[1].write(head.replace(target.encode(), url.raw_path, 1))
        else:
            host, _, port = target.rpartition(":")
            upstream = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        await _both_ways(reader, writer, *upstream)

    async def socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 2 if 2 in methods else 0
        writer.write(bytes((5, method)))
        if method == 2:
            _, size = await reader.readexactly(2)
            user = await reader.readexactly(size)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            self.heads.append(user + b":" + password)
            writer.write(b"\x01" + (b"\0" if password == SECRET.encode() else b"\1"))
        _, _, _, kind = await reader.readexactly(4)
        host = "127.0.0.1"
        if kind == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            self.heads.append(await reader.readexactly((await reader.readexactly(1))[0]))
        port = int.from_bytes(await reader.readexactly(2), "big")
        try:
            upstream = await asyncio.open_connection(host, port)
        except OSError:
            writer.write(b"\x05\x05\x00\x01" + bytes(6))
            return
        for byte in b"\x05\x00\x00\x01" + bytes(6):  # in as many pieces as it may come
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        await _both_ways(reader, writer, *upstream)


async def _both_ways(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: asyncio.StreamReader, down: asyncio.StreamWriter
) -> None:
    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    try:
        await asyncio.gather(copy(reader, down), copy(up, writer))
    finally:
        down.close()


@asynccontextmanager
async def proxying(kind: str = "http", context: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    proxy = Proxy()
    async with talking(getattr(proxy, kind), context) as (host, port):
        proxy.address = f"{host}:{port}"
        yield proxy


# Requests


async def get(clients: Clients, access: Any, url: str, method: str = "GET", content: bytes | None = None) -> tuple[int, bytes]:
    return await send(clients.of(access), httpx.Request(method, url, content=content))


async def send(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> tuple[int, bytes]:
    async with asyncio.timeout(10):
        response = await transport.handle_async_request(request)
        try:
            return response.status_code, b"".join([chunk async for chunk in response.aiter_raw()])
        finally:
            await response.aclose()


async def refusal(clients: Clients, access: Any, url: str) -> AccessError:
    try:
        await get(clients, access, url)
    except AccessError as error:
        assert SECRET not in str(error)
        return error
    raise AssertionError("no AccessError")
