"""The HTTP transport in production: httpx's interface over an aiohttp session."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from httpx_aiohttp import AiohttpTransport

KEEPALIVE = 75.0
"""Seconds for which an idle connection is kept: above any usual scrape interval and
below the 2 min after which Pyroscope closes it, so that no request meets a closing one."""

NETWORK_ERRORS = (httpx.HTTPError, aiohttp.ClientError, HttpProcessingError, OSError)
"""All that a transport raises when no usable answer came.

httpx-aiohttp passes some of aiohttp's errors on as they are, therefore more than httpx's.
"""


_MAX_HEADS = 10
"""Heads of answers to one request: interim ones (1xx) and the final one."""
_FRAMING_BYTES = 64 * 1024
"""What may come for one request besides its body: heads, and what chunks have around them. It grows with the body: """
_BODY_PER_FRAMING = 16
"""chunks of 100 bytes pass in any number, of 10 bytes up to some 100 kB of body."""
_PIECE_BYTES = 16 * 1024

_TLS_ERRORS = (ssl.SSLError, aiohttp.ClientSSLError)
"""OSErrors whose number is none of the system's."""


@asynccontextmanager
async def open_transport(ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """A transport that is properly closed at the end.

    `ssl_context` None: the usual authorities (SSL_CERT_FILE is honoured).  Proxies are
    not taken from the environment, cookies are not kept.  There is no timeout and no
    connection limit here: whoever sends bounds both.
    """
    context = ssl_context or httpx.create_ssl_context()
    session = aiohttp.ClientSession(
        connector=_Connector(limit=0, keepalive_timeout=KEEPALIVE, ssl=context),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
    )
    async with session:
        yield AiohttpTransport(verify=context, client=session)


class _Connector(aiohttp.TCPConnector):
    """Makes connections that break off floods."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # aiohttp has no public way; the tests of floods guard this.
        self._factory = partial(_connection, loop=self._loop)


def _connection(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _Connection(loop)


class Flood(HttpProcessingError):
    """There is little in what the other side sends but framing."""


class _Connection(ResponseHandler):
    """A connection that gives up when it gets little but framing.

    aiohttp bounds each header and their number, but neither interim answers nor the
    smallness of chunks.  Both cost the event loop a hundred times what a body of the same
    size does; a flood of interim answers held it up for more than a second at a time.
    """

    _heads = 0
    _came = 0

    def set_response_params(self, **params: Any) -> None:
        """Called before each request: it begins to count anew."""
        self._heads = 0
        self._came = 0
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """A head has been parsed."""
        self._heads += 1
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """In pieces, so that not much of a flood has been parsed when it is noticed."""
        for start in range(0, len(data) or 1, _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            self._came += len(piece)
            super().data_received(piece)
            if self.transport is None or self.transport.is_closing():
                return
            if self._is_flood():
                self._break_off()
                return

    def _is_flood(self) -> bool:
        if self._heads > _MAX_HEADS:
            return True
        if self._reading_paused:  # some of what came has not been parsed
            return False
        body = self._payload.total_bytes if self._payload is not None else 0
        return self._came - body > _FRAMING_BYTES + body // _BODY_PER_FRAMING

    def _break_off(self) -> None:
        error = Flood(message="too many interim answers, or too small chunks")
        if self._payload is not None:
            self._payload.set_exception(error)
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


def never_connected(error: BaseException) -> bool:
    """Whether not a byte can have reached the other side.

    httpx-aiohttp calls this ConnectTimeout, along with broken connections; aiohttp's
    own error behind it is exact.
    """
    return isinstance(error, httpx.ConnectError) or isinstance(error.__cause__, aiohttp.ClientConnectorError)


def cause(error: BaseException) -> str:
    """What went wrong in words of this machine, never in those of the other side."""
    seen: BaseException | None = error
    while seen is not None:
        if words := _tls(seen):
            return words
        if isinstance(seen, socket.gaierror):
            return "name not resolved"
        if isinstance(seen, OSError) and not isinstance(seen, _TLS_ERRORS) and seen.errno in errno.errorcode:
            return os.strerror(seen.errno or 0).lower()
        error, seen = seen, seen.__cause__
    return type(error).__name__


def _tls(error: BaseException) -> str:
    """What OpenSSL says; aiohttp's errors of these types know nothing, those behind them do."""
    if message := getattr(error, "verify_message", ""):
        return f"certificate not accepted, {message}"
    reason = getattr(error, "reason", "") if isinstance(error, ssl.SSLError) else ""
    return f"TLS failed, {reason.replace('_', ' ').lower()}" if isinstance(reason, str) and reason else ""
