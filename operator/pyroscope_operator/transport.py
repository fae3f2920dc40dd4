"""The HTTP transport in production: httpx's interface over an aiohttp session."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import uvloop
from aiohttp.http_exceptions import HttpProcessingError
from httpx_aiohttp import AiohttpTransport

from pyroscope_operator.connection import BoundedConnector, PlainResponse

KEEPALIVE = 75.0
"""Seconds for which an idle connection is kept: above any usual scrape interval and
below the 2 min after which Pyroscope closes it, so that no request meets a closing one."""

NETWORK_ERRORS = (httpx.HTTPError, aiohttp.ClientError, HttpProcessingError, OSError)
"""All that a transport raises when no usable answer came.

httpx-aiohttp passes some of aiohttp's errors on as they are, therefore more than httpx's.
"""


_TLS_ERRORS = (ssl.SSLError, aiohttp.ClientSSLError)
"""OSErrors whose number is none of the system's."""


CLOSING_SECONDS = 0.1
"""For the other side to agree that a TLS connection ends; it may be the one that hangs, and the default is 30 s."""


def impatient(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a loop's create_connection: TLS is closed within CLOSING_SECONDS, whatever the other side does."""
    return {"ssl_shutdown_timeout": CLOSING_SECONDS, **options} if options.get("ssl") else options


class Loop(uvloop.Loop):
    """The operator's event loop."""

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        return await super().create_connection(*args, **impatient(options))


async def closed() -> None:
    """Wait until the connections that were closed are closed; the last thing before a loop ends."""
    await asyncio.sleep(2 * CLOSING_SECONDS)


@asynccontextmanager
async def open_transport(ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """A transport that is properly closed at the end.

    `ssl_context` None: the usual authorities (SSL_CERT_FILE is honoured).  Proxies are
    not taken from the environment, cookies are not kept.  There is no timeout and no
    connection limit here: whoever sends bounds both.
    """
    context = ssl_context or httpx.create_ssl_context()
    session = aiohttp.ClientSession(
        connector=BoundedConnector(limit=0, keepalive_timeout=KEEPALIVE, ssl=context),
        response_class=PlainResponse,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
    )
    async with session:
        yield AiohttpTransport(verify=context, client=session)


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
