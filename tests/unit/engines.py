"""The two transports for direct HTTP/1.1, so that the same tests run against both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx

from pyroscope_operator.transport import plain
from pyroscope_operator.transport.lean import open_lean

Opener = Callable[[], AbstractAsyncContextManager[httpx.AsyncBaseTransport]]

ENGINES: dict[str, Opener] = {"lean": open_lean, "aiohttp": plain.open_transport}
_chosen = ["lean"]


def choose(engine: str) -> None:
    """What `open_transport` opens from now on."""
    _chosen[0] = engine


def open_transport() -> AbstractAsyncContextManager[httpx.AsyncBaseTransport]:
    """The one that the fixture `engine` chose; the lean one without it."""
    return ENGINES[_chosen[0]]()
