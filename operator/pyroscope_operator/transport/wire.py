"""The bytes of one connection, as httpcore reads and writes them: in slices, counted and bounded."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, cast

import aiohappyeyeballs
import httpcore

from pyroscope_operator.transport.goodbye import Goodbyes
from pyroscope_operator.transport.loop import CLOSING_SECONDS
from pyroscope_operator.transport.sockets import SocketFactory

MAX_OVERHEAD = 128 * 1024
"""Bytes of an exchange besides the body: headers, and frames, which may grow with the body."""
_BODY_PER_OVERHEAD = 16
"""Bytes of a body that pay for one more of framing (`connection.py` says why)."""
_SLICE = 16 * 1024
"""Bytes that are parsed between two looks at these bounds and at others' work."""
_BUFFER = 64 * 1024
"""Bytes that are read ahead, about."""


class TooMuchOverhead(httpcore.RemoteProtocolError):
    """The answer is legal, piece by piece, but there is no end of it."""


class Wire(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One connection. What is read counts for the exchange that `begin` was called for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._changed: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._error: Exception | None = None
        self._paused = False
        self._goodbyes: Goodbyes | None = None
        self._stream = 0
        self.ended = False
        """The other side has ended the connection, or it broke."""
        self.is_exhausted = False
        """The reader has seen that end."""
        self.begin()

    def begin(self, stream: int = 0) -> None:
        """A request is about to be sent, over HTTP/2 in this stream."""
        self._stream = stream
        self.received = 0
        """Bytes of the answer to it."""
        self.body = 0
        """Those of them that are body; whoever reads it adds to this."""

    @property
    def is_quiet(self) -> bool:
        """Open for another request, and nothing came that nobody read."""
        is_open = self._transport is not None and not self._transport.is_closing()
        return is_open and not self.ended and not self._buffer and not (self._goodbyes and self._goodbyes.said)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _BUFFER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self.ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._error = self._error or exc
        self._lost.set()
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Some bytes; none: the connection has ended. Raises httpcore.ReadError, and TooMuchOverhead."""
        while data := await self._read(max_bytes):
            if self._goodbyes is None or (data := self._goodbyes.without(data, self._stream)):
                break
        return data

    async def _read(self, max_bytes: int) -> bytes:
        await asyncio.sleep(0)  # parsing what is here already must not keep others waiting
        while not self._buffer and not self.ended:
            self._changed = self._loop.create_future()
            await self._changed
        self.is_exhausted = not self._buffer
        if self.is_exhausted and self._error is not None:
            raise httpcore.ReadError() from self._error
        size = min(max_bytes, _SLICE)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        if self._paused and len(self._buffer) <= _BUFFER and self._transport is not None and not self.ended:
            self._paused = False
            self._transport.resume_reading()
        self.received += len(data)
        if self.received - self.body > MAX_OVERHEAD + self.body // _BODY_PER_OVERHEAD:
            self.abort()
            raise TooMuchOverhead("too much besides the body")
        return data

    async def end(self) -> None:
        """Wait until the connection ends, or something comes. Raises httpcore.ReadError when it ends by an error."""
        while not self._buffer and not self._lost.is_set():
            self._changed = self._loop.create_future()
            await self._changed
        if self._lost.is_set() and self._error is not None:
            raise httpcore.ReadError() from self._error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Raises httpcore.WriteError."""
        if not buffer:
            return
        if self._transport is None:
            raise httpcore.WriteError()
        if self._transport.is_closing():
            await self._lost.wait()  # then it is known why: TLS 1.3 refuses our certificate only now
            raise httpcore.WriteError() from self._error
        self._transport.write(buffer)
        await self._writable.wait()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> Wire:
        """Raises OSErrors, among them those of TLS."""
        if self._transport is None or self.ended or self._buffer:
            raise ConnectionResetError("the connection ended before TLS began")
        try:
            transport = await self._loop.start_tls(
                self._transport, self, ssl_context, server_hostname=server_hostname, ssl_shutdown_timeout=CLOSING_SECONDS
            )
        except BaseException:
            self.abort()
            raise
        if transport is None:
            raise ConnectionResetError("the connection ended while TLS began")
        self._transport = transport
        self._goodbyes = Goodbyes() if self.speaks_http2 else None
        return self

    async def aclose(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it without a word."""
        if self._transport is not None:
            self._transport.abort()

    def get_extra_info(self, info: str) -> Any:
        return self._transport.get_extra_info(info) if self._transport is not None else None

    @property
    def speaks_http2(self) -> bool:
        """What was agreed on in TLS."""
        tls = self.get_extra_info("ssl_object")
        return tls is not None and tls.selected_alpn_protocol() == "h2"


async def connect(host: str, port: int, make_socket: SocketFactory) -> Wire:
    """A connection to `host`, by the first of its addresses that answers. Raises OSErrors."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    made = await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=0.25, socket_factory=make_socket)
    try:
        _, wire = await loop.create_connection(Wire, sock=made)
    except BaseException:
        made.close()
        raise
    return wire
