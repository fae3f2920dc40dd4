"""The operator's event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

CLOSING_SECONDS = 0.1
"""For the other side to agree that a TLS connection ends; it may be the one that hangs, and the default is 30 s."""

PROBE_SECONDS = 0.02


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


@contextmanager
def probed(observe: Callable[[float], None], clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Tell how late the running loop calls what is due every PROBE_SECONDS: for how long something else held it up.

    It takes 0.2 % of a core.  uvloop shows no beginning and no end of its rounds, so a stall is seen
    only as far as it lies behind the moment that the call was due.
    """
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle

    def probe(due: float) -> None:
        nonlocal handle
        now = clock()
        observe(max(0.0, now - due))
        handle = loop.call_later(PROBE_SECONDS, probe, now + PROBE_SECONDS)

    handle = loop.call_later(PROBE_SECONDS, probe, clock() + PROBE_SECONDS)
    try:
        yield
    finally:
        handle.cancel()
