"""Direct connections and HTTP/1.1: httpx's interface over an aiohttp session."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from pyroscope_operator.transport.connection import BoundedConnector, PlainResponse
from pyroscope_operator.transport.sockets import SocketFactory

KEEPALIVE = 75.0
"""Seconds for which an idle connection is kept: above any usual scrape interval and
below the 2 min after which Pyroscope closes it, so that no request meets a closing one."""


@asynccontextmanager
async def open_transport(
    ssl_context: ssl.SSLContext | None = None, make_socket: SocketFactory | None = None
) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """A transport that is properly closed at the end.

    `ssl_context` None: the usual authorities (SSL_CERT_FILE is honoured).  Proxies are
    not taken from the environment, cookies are not kept.  There is no timeout and no
    connection limit here: whoever sends bounds both.
    """
    context = ssl_context or httpx.create_ssl_context()
    session = aiohttp.ClientSession(
        connector=BoundedConnector(limit=0, keepalive_timeout=KEEPALIVE, ssl=context, socket_factory=make_socket),
        response_class=PlainResponse,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
    )
    async with session:
        yield AiohttpTransport(verify=context, client=session)
