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

PROBE_SECONDS = 0.05
"""Each falls together with a tick of the slots (scrape/slots.py), so that one waking up, which takes 80 µs, does for both."""


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
def probed(
    observe: Callable[[float], None],
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
) -> Iterator[None]:
    """Tell how late the running loop calls what is due every PROBE_SECONDS: for how long something else held it up.

    uvloop shows no beginning and no end of its rounds, so a stall is seen
    only as far as it lies behind the moment that the call was due.
    """
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle

    def wait() -> None:
        nonlocal handle
        rest = PROBE_SECONDS - wall_clock() % PROBE_SECONDS
        if rest < PROBE_SECONDS / 4:  # it was called early, by what timers round off
            rest += PROBE_SECONDS
        handle = loop.call_later(rest, probe, clock() + rest)

    def probe(due: float) -> None:
        observe(max(0.0, clock() - due))
        wait()

    wait()
    try:
        yield
    finally:
        handle.cancel()
