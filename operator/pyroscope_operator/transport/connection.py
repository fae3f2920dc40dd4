"""A connection that takes one answer to each request, and little else.

aiohttp bounds a header line and a body that nobody reads.  It does not bound how many
informational answers come before the answer, how much framing a body is wrapped in, or
what comes when nothing was asked for, and parses all of it on the event loop: a target
that sends "100 Continue" without end held it up for three seconds per scrape.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader

MAX_INFORMATIONAL = 16
"""Informational answers (1xx) before the answer; more than one is rare."""
MAX_OVERHEAD = 512 * 1024
"""Bytes besides the body: status line, headers, and framing, which may grow with the body."""
BODY_PER_OVERHEAD = 16
"""Bytes of a body that pay for one more of framing: chunks of 100 bytes pass in any number, smaller ones up to 80,000.

Each chunk costs as much time as some thousand bytes, on the event loop; a body of 16 MiB in tiny ones took 15 s.
"""
_SLICE = 16 * 1024
"""Bytes that are parsed between two looks at these bounds: some milliseconds at worst."""


class TooMuchOverhead(HttpProcessingError):
    """The answer is legal HTTP, piece by piece, but there is no end of it."""


class BoundedConnector(aiohttp.TCPConnector):
    """Makes bounded connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_bounded, loop=self._loop)


class PlainResponse(aiohttp.ClientResponse):
    """An answer without its reason phrase: nobody reads it, and httpx-aiohttp fails on one that is not UTF-8."""

    async def start(self, connection: aiohttp.connector.Connection) -> PlainResponse:
        await super().start(connection)
        self.reason = None
        return self


class BoundedConnection(ResponseHandler):
    """Ends itself when the other side sends more than an answer needs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._forget()

    def _forget(self) -> None:
        self._wire_bytes = self._informational = self._answers = 0
        self._body: StreamReader | None = None

    def set_response_params(self, **options: Any) -> None:
        """A request is about to be sent."""
        self._forget()
        super().set_response_params(**options)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """The head of an answer was parsed."""
        message, self._body = data
        if 100 <= message.code < 200:
            self._informational += 1
        else:
            self._answers += 1
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        if data and self._answers and self._body is not None and self._body.is_eof():
            self.close()  # the answer is complete, and nothing was asked for since
            return
        for start in range(0, max(1, len(data)), _SLICE):
            piece = data[start : start + _SLICE]
            self._wire_bytes += len(piece)
            super().data_received(piece)
            if self._answers > 1:
                self.close()  # the first one stands
            elif self._excessive():
                self._end(TooMuchOverhead(message="too much besides the body"))
            elif error := self.exception():
                self._end(error)
            if not self.is_connected():
                return

    def _excessive(self) -> bool:
        body = self._body.total_bytes if self._body else 0
        return self._informational > MAX_INFORMATIONAL or self._wire_bytes - body > MAX_OVERHEAD + body // BODY_PER_OVERHEAD

    def _end(self, error: BaseException) -> None:
        """Fail whoever waits for the head or reads the body: of a broken body aiohttp tells nobody."""
        self.set_exception(error)
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


def _bounded(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return BoundedConnection(loop)
