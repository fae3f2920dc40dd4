"""Sockets of outgoing connections: counted, bounded in number, and made only where that is permitted."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from pyroscope_operator.errors import AccessError
from pyroscope_operator.transport.destination import ANYWHERE, Destinations
from pyroscope_operator.transport.faults import DESTINATION_DENIED, TOO_MANY_CLIENTS, Refusal

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""As of getaddrinfo."""
SocketFactory = Callable[[AddressInfo], socket.socket]

MAX_CONNECTIONS = 10_000


class Sockets:
    """Makes all of them. `open` counts those that are connecting or connected, by engine."""

    def __init__(self, limit: int = MAX_CONNECTIONS, destinations: Destinations = ANYWHERE) -> None:
        self._limit = limit
        self._destinations = destinations
        self.open: Counter[str] = Counter()
        self._closed = asyncio.Event()

    def factory(self, engine: str, *, guarded: bool) -> SocketFactory:
        """Makes sockets for `engine`; they raise Refusal (an OSError)."""
        return partial(self._make, engine, guarded)

    def check_host(self, host: str) -> None:
        """The same for the host of a URL that someone else connects to: only for what is an address, or names this machine."""
        try:
            self.check("127.0.0.1" if host.rstrip(".").lower() == "localhost" else host)
        except ValueError:
            return

    def check(self, address: str) -> None:
        """Raises Refusal if connections may not be made to this IP address."""
        if kind := self._destinations.why_not(address):
            words = f"the URL leads to an address that the operator's settings deny ({kind})"
            raise Refusal(AccessError(DESTINATION_DENIED, words))

    def _make(self, engine: str, guarded: bool, info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if guarded:
            self.check(address[0])
        if self.open.total() >= self._limit:
            words = f"{self._limit} connections are open (--max-connections)"
            raise Refusal(AccessError(TOO_MANY_CLIENTS, words))
        self.open[engine] += 1
        try:
            return _Counted(partial(self._forget, engine), family, kind, protocol)
        except OSError:
            self._forget(engine)
            raise

    def _forget(self, engine: str) -> None:
        self.open[engine] -= 1
        self._closed.set()

    async def all_closed(self) -> None:
        """Wait until none is open."""
        while self.open.total():
            self._closed.clear()
            await self._closed.wait()


class _Counted(socket.socket):
    """Calls `forget` when it is closed, or detached: so uvloop takes leave of it."""

    def __init__(self, forget: Callable[[], None], family: int, kind: int, protocol: int) -> None:
        super().__init__(family, kind, protocol)
        self._forget: Callable[[], None] | None = forget

    def close(self) -> None:
        super().close()
        self._leave()

    def detach(self) -> int:
        descriptor = super().detach()
        self._leave()
        return descriptor

    def _leave(self) -> None:
        forget, self._forget = self._forget, None
        if forget is not None:
            forget()
