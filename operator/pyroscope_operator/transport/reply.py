"""The answer to one request, as it is parsed and as it is read.

What a hostile server may send is bounded here as in connection.py: informational
answers, bytes besides the body, and what is held of a body that nobody reads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import httptools
import httpx

from pyroscope_operator.transport.connection import BODY_PER_OVERHEAD, MAX_INFORMATIONAL, MAX_OVERHEAD, TooMuchOverhead
from pyroscope_operator.transport.faults import ServerDisconnectedError, Truncated

MAX_HEAD = 64 * 1024
"""Bytes until the headers of the answer are complete."""
MAX_HEADERS = 256
MAX_HELD = 256 * 1024
"""Bytes of a body that wait to be read; then the connection is not read from."""
_PER_CHUNK = 64
"""Bytes that each chunk takes besides its own."""
_SLICE = 16 * 1024
"""Bytes that are parsed between two looks at the bounds: some milliseconds at worst."""
_LENIENCIES = {"lenient_headers": True, "lenient_optional_cr_before_lf": True, "lenient_spaces_after_chunk_size": True}
"""Old servers do so, and aiohttp permits the same; none of it changes where an answer ends."""
_SWITCHING = 101
_BODILESS = frozenset({_SWITCHING, 204, 304})
_EXTENSIONS = {"http_version": b"HTTP/1.1"}


class Reply(httpx.AsyncByteStream):
    """The answer to one request: what the parser calls, and the body's stream. It belongs to a connection until it is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, abort: Callable[[], None], read_on: Callable[[], None]) -> None:
        """`abort` ends the connection; `read_on` reads on after a pause."""
        self.status = 0
        """Of the answer, once its headers are complete."""
        self.is_complete = self.is_lost = self.has_surplus = self.is_closing = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.wire = 0
        """Bytes that came."""
        self.held = 0
        """Bytes of the body that nobody read yet."""
        self.is_paused = False
        self._body = self._informational = 0
        self._until_close = self._is_plain = False
        self._fault: Exception | None = None
        self._chunks: deque[bytes] = deque()
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._abort: Callable[[], None] | None = abort
        self._read_on: Callable[[], None] | None = read_on
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**_LENIENCIES)

    # For the connection

    @property
    def is_over(self) -> bool:
        return self.is_complete or self.is_lost

    @property
    def is_reusable(self) -> bool:
        """Whether the connection may carry another request, as far as the answer goes."""
        return self.is_complete and not self.is_closing and not self.has_surplus

    def feed(self, data: bytes) -> None:
        """Take what came."""
        size = len(data)
        if size <= _SLICE or self._is_plain:
            self._parse(data)
        else:
            self._parse_slices(memoryview(data))
        if self.is_over or (self._waiter is not None and (self.status or self._chunks)):
            self.wake()

    def _parse_slices(self, data: memoryview) -> None:
        start = 0
        while start < len(data):
            if self.is_over:
                self.has_surplus = True
                return
            end = len(data) if self._is_plain else start + _SLICE
            self._parse(data[start:end])
            start = end

    def _parse(self, data: bytes | memoryview) -> None:
        self.wire += len(data)
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._surplus_or(_bare(error))
            return
        if self.wire - self._body > MAX_HEAD and self._excessive():
            self._surplus_or(TooMuchOverhead(message="too much besides the body"))

    def _excessive(self) -> bool:
        return not self.status or self.wire - self._body > MAX_OVERHEAD + self._body // BODY_PER_OVERHEAD

    def _surplus_or(self, fault: Exception) -> None:
        """What comes after the answer does no harm to it."""
        if self.is_complete:
            self.has_surplus = True
        else:
            self.lose(fault)

    def end(self, error: Exception | None) -> None:
        """The connection has ended, with or without an error."""
        if not self.is_over:
            if self._until_close and error is None:
                self.is_complete = True
            else:
                self.lose(error)
        self.wake()

    def lose(self, fault: Exception | None) -> None:
        self.is_lost = True
        self._fault = fault

    def part(self) -> None:
        """The connection is another's now, or none any more. What of the body is here can still be read."""
        self._abort = self._read_on = self._parser = None

    def wake(self) -> None:
        """Whoever waits for the answer, or to send more of the request."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # For the parser

    def on_message_begin(self) -> None:
        if self.is_complete:
            raise httptools.HttpParserError("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status:
            return  # a trailer
        if b"\0" in value:
            raise httptools.HttpParserError("a header with a null byte")
        self.headers.append((name, value.rstrip(b" \t")))
        if len(self.headers) > MAX_HEADERS:
            raise TooMuchOverhead(message="too many headers")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()  # type: ignore[union-attr]
        if 100 <= status < 200 and status != _SWITCHING:
            self.headers.clear()
            self._informational += 1
            if self._informational > MAX_INFORMATIONAL:
                raise TooMuchOverhead(message="too many informational answers")
            return
        self.status = status
        self._look_at_framing()

    def _look_at_framing(self) -> None:
        length = codings = 0
        for name, value in self.headers:
            match name.lower():
                case b"content-length":
                    length += 1
                case b"transfer-encoding":
                    codings += 1
                    if value.strip().lower() != b"chunked":
                        raise httptools.HttpParserError("a Transfer-Encoding other than chunked")
        if codings > 1 or (codings and self._parser.get_http_version() != "1.1"):  # type: ignore[union-attr]
            raise httptools.HttpParserError("Transfer-Encoding where it must not be")
        self._is_plain = not codings
        self._until_close = not length and not codings and self.status not in _BODILESS
        self.is_closing = self.status == _SWITCHING or not self._parser.should_keep_alive()  # type: ignore[union-attr]

    def on_body(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._body += len(chunk)
        self.held += len(chunk) + _PER_CHUNK

    def on_message_complete(self) -> None:
        if self.status:
            self.is_complete = True

    # For whoever waits and reads

    async def wait(self) -> None:
        """Until something has happened."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def failure(self) -> Exception:
        """Why there is no answer."""
        fault = self._fault
        if isinstance(fault, TooMuchOverhead | httptools.HttpParserError | httptools.HttpParserUpgrade):
            error: Exception = httpx.RemoteProtocolError("the answer is not valid HTTP")
        elif self.status:
            error = Truncated("the connection ended within the body")
        elif fault is None:
            error = ServerDisconnectedError("the connection ended without an answer")
        else:
            error = httpx.TransportError("the connection ended without an answer")
        error.__cause__ = fault
        return error

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self.is_complete:
                raise StopAsyncIteration
            if self.is_lost:
                raise self.failure()
            await self.wait()
        chunk = self._chunks.popleft()
        self.held -= len(chunk) + _PER_CHUNK
        if self.is_paused and self.held < MAX_HELD // 2 and self._read_on is not None:
            self._read_on()
        return chunk

    def close(self) -> None:
        """Give up what is not read yet. An answer that is not complete ends the connection."""
        self._chunks.clear()
        if self._abort is not None:
            self._abort()

    async def aclose(self) -> None:
        self.close()


def _bare(error: Exception) -> Exception:
    """What the parser says, or what its callbacks raised; without the frames, which would be kept by what they keep."""
    if isinstance(error, httptools.HttpParserCallbackError) and isinstance(error.__context__, Exception):
        error = error.__context__
    return error.with_traceback(None)


class Response(httpx.Response):
    """Read as it came, without what httpx adds on the way: it costs more than the request."""

    def __init__(self, reply: Reply, request: httpx.Request) -> None:
        super().__init__(reply.status, headers=reply.headers, stream=reply, request=request, extensions=_EXTENSIONS)

    def aiter_raw(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        if chunk_size is not None or self.is_stream_consumed or self.is_closed:
            return super().aiter_raw(chunk_size)
        self.is_stream_consumed = True
        return aiter(self.stream)  # type: ignore[arg-type]

    async def aclose(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.stream.close()  # type: ignore[union-attr]
