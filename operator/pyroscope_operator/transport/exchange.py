"""HTTP over httpcore's protocols: HTTP/2, and whatever goes through a proxy.

A connection carries one request at a time, with HTTP/2 as well: then what comes
belongs to that request and can be bounded, and an exchange that breaks takes no other
with it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import cast

import h2.events
import h2.exceptions
import hpack
import httpcore
import httpx
import hyperframe.exceptions

from pyroscope_operator.transport.faults import Truncated
from pyroscope_operator.transport.wire import Wire

_BAD_BYTES = (h2.exceptions.H2Error, hpack.HPACKError, hyperframe.exceptions.HyperframeError, LookupError, ValueError)
"""What the parsers raise besides httpcore's errors: of a status that is no number, for example."""
_SMALL = 64
"""Bytes for which each frame or chunk counts at least: an empty one takes as much time."""
_ERRORS = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ConnectionNotAvailable, *_BAD_BYTES)


class Connection:
    """An open connection, idle or busy with one request."""

    def __init__(self, wire: Wire, origin: httpcore.Origin) -> None:
        self._wire = wire
        self.is_http2 = wire.speaks_http2
        protocol = httpcore.AsyncHTTP2Connection if self.is_http2 else httpcore.AsyncHTTP11Connection
        self._http: httpcore.AsyncConnectionInterface = protocol(origin, wire)
        self._streams = 0
        self.idle_since = 0.0

    @property
    def is_reusable(self) -> bool:
        """Whether a further request may be sent."""
        return self._http.is_idle() and self._http.is_available() and self._wire.is_quiet

    @property
    def is_untouched(self) -> bool:
        """Whether not a byte of an answer came to the last request."""
        return self._wire.received == 0

    async def ended(self) -> None:
        """Wait until the other side says something or ends it. Raises httpx.ReadError for the latter, if by an error."""
        try:
            await self._wire.end()
        except httpcore.ReadError as error:
            raise httpx.ReadError("the connection ended") from error.__cause__

    async def send(self, request: httpcore.Request, release: Callable[[], None]) -> httpx.Response:
        """The answer; `release` is called when it is over. Raises httpx's errors."""
        self._wire.begin(2 * self._streams + 1)  # clients count in odd numbers
        self._streams += 1
        try:
            response = await self._http.handle_async_request(request)
        except _ERRORS as error:
            raise _translated(error, self._wire, httpx.ReadError) from error
        parts = cast(AsyncGenerator[bytes, None], aiter(cast(AsyncIterable[bytes], response.stream)))
        stream = _Body(parts, self._wire, response.aclose, release)
        extensions = {"http_version": response.extensions["http_version"]}
        return httpx.Response(response.status, headers=response.headers, stream=stream, extensions=extensions)

    async def aclose(self) -> None:
        await self._wire.aclose()

    def abort(self) -> None:
        self._wire.abort()


class _Body(httpx.AsyncByteStream):
    """The body of an answer. One that is not read to its end ends the connection."""

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        wire: Wire,
        close: Callable[[], Awaitable[None]],
        release: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._wire = wire
        self._close = close
        self._release = release
        self._is_complete = self._is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            while not (part := await anext(self._parts)):
                self._wire.received += _SMALL
        except StopAsyncIteration:
            self._is_complete = True
            raise
        except _ERRORS as error:
            raise _translated(error, self._wire, Truncated) from error
        self._wire.body += len(part)
        self._wire.received += max(0, _SMALL - len(part))
        return part

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if not self._is_complete:
                self._wire.abort()
            with suppress(*_ERRORS):
                await self._parts.aclose()
                await self._close()
        finally:
            self._release()


def _translated(error: Exception, wire: Wire, ended: type[httpx.ReadError]) -> httpx.TransportError:
    """The error in httpx's words; `ended` where the connection, or the other side's will, came to an end."""
    given_up = error.args and isinstance(error.args[0], h2.events.ConnectionTerminated | h2.events.StreamReset)
    if wire.is_exhausted or given_up or isinstance(error, httpcore.NetworkError | httpcore.ConnectionNotAvailable):
        return ended("the connection ended")
    return httpx.RemoteProtocolError("the answer is not valid HTTP")
