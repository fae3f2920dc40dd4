"""The slots of a scrape: moments that are pinned to absolute time.

Slot n is at `offset + n * interval` in Unix time, rounded down to a tick, so that what is due
within the same 50 ms starts together: waking up costs a third of what a scrape costs.
Slots depend on nothing but the clock, so a restart of the operator keeps the phase.
"""

from __future__ import annotations

import math

TICKS_PER_SECOND = 20
"""Of the form 2^i + 2^j: then `tick / TICKS_PER_SECOND * TICKS_PER_SECOND` is the same tick, in floating point too."""
TICK = 1 / TICKS_PER_SECOND
"""Seconds."""
_TICK_NANOSECONDS = 10**9 // TICKS_PER_SECOND


class Slots:
    """The slots of an interval and an offset, in seconds."""

    __slots__ = ("_interval", "_offset")

    def __init__(self, interval: float, offset: float) -> None:
        # Whole nanoseconds, as intervals are in manifests: sums of floats would miss a tick now and then.
        self._interval = round(interval * 10**9)
        self._offset = round(offset * 10**9)

    def after(self, now: float) -> int:
        """Number of the first slot after `now`."""
        following = (math.floor(now * TICKS_PER_SECOND) + 1) * _TICK_NANOSECONDS
        return -((self._offset - following) // self._interval)

    def start_of(self, slot: int) -> float:
        """Unix time at which a slot begins."""
        return (self._offset + slot * self._interval) // _TICK_NANOSECONDS / TICKS_PER_SECOND
