"""The operator's event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop

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
