"""Long work on the event loop, with turns for all others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

TURN_SECONDS = 0.01
"""Seconds of work at a time; a step that has begun is done."""


async def in_turns(steps: Iterable[None], clock: Callable[[], float] = time.perf_counter) -> float:
    """Do all steps, and let every other task run after each turn; returns the seconds that they took themselves."""
    worked, began = 0.0, clock()
    for _ in steps:
        turn = clock() - began
        if turn >= TURN_SECONDS:
            worked += turn
            await asyncio.sleep(0)
            began = clock()
    return worked + clock() - began
