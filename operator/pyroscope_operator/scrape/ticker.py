"""Waiting for slots: all that is due at the same tick is begun by one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from pyroscope_operator.scrape.slots import TICK

_AT_ONCE = 25
"""So many are begun at a time; then what has come from the network has its turn."""

Clock = Callable[[], float]
"""Unix time in seconds; tests give their own."""


class Waiting(Protocol):
    """What waits for a tick."""

    def begin(self, due: float) -> None:
        """The tick has come, at `due` in the event loop's time. Never raises."""


@dataclass(slots=True)
class Tick:
    """A moment, and who waits for it."""

    start: float
    """Unix seconds."""
    due: float
    """The same in the event loop's time, as it was expected when the first one began to wait."""
    timer: asyncio.Handle | None = None
    waiting: dict[Waiting, None] = field(default_factory=dict)


class Ticker:
    """The ticks that are waited for, by their start."""

    def __init__(self, clock: Clock, late: Callable[[float], None]) -> None:
        """`late` is called with how late each scrape begins, in seconds."""
        self.clock = clock
        self._late = late
        self._ticks: dict[float, Tick] = {}

    def wait(self, who: Waiting, start: float) -> Tick:
        """Begin `who` once at `start`, in Unix seconds; what is set in the wall clock until then changes nothing."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, start - self.clock())
        tick = self._ticks.get(start)
        if tick is None or abs(tick.due - due) > TICK / 2:  # the wall clock was set, or goes wrong
            tick = self._ticks[start] = Tick(start, due)
            tick.timer = loop.call_at(due, self._begin, tick)
        tick.waiting[who] = None
        return tick

    def leave(self, tick: Tick, who: Waiting) -> None:
        """`who`, which was not begun yet, waits no longer."""
        del tick.waiting[who]
        if not tick.waiting:
            if tick.timer is not None:
                tick.timer.cancel()
            self._forget(tick)

    def begun(self, start: float) -> None:
        """What was due at `start` begins now."""
        self._late(max(0.0, self.clock() - start))

    def _forget(self, tick: Tick) -> None:
        if self._ticks.get(tick.start) is tick:
            del self._ticks[tick.start]

    def _begin(self, tick: Tick) -> None:
        tick.timer = None  # which knows the tick
        self._forget(tick)
        for who in list(islice(tick.waiting, _AT_ONCE)):
            del tick.waiting[who]
            who.begin(tick.due)
        if tick.waiting:
            tick.timer = asyncio.get_running_loop().call_soon(self._begin, tick)
