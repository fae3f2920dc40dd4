"""When a scrape runs: slots pinned to absolute time, which never overlap."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from pyroscope_operator.model.target import Scrape
from pyroscope_operator.scrape.scraper import Scraper

_APART = 0.9
"""Least part of an interval between two starts, by the monotonic clock: neither a timer that fires early
nor a wall clock that is set back makes a slot come twice."""

Clock = Callable[[], float]
"""Unix time in seconds; tests give their own."""


def slot_after(now: float, interval: float, offset: float) -> int:
    """Number of the first slot after `now`; slot n starts at `offset + n * interval`.

    Slots depend on nothing but the clock, so a restart of the operator keeps the phase.
    """
    return math.floor((now - offset) / interval) + 1


class ScrapeLoop:
    """Runs one scraper at every slot until it is cancelled."""

    def __init__(self, scraper: Scraper, clock: Clock) -> None:
        self.scraper = scraper
        self._clock = clock
        self._rescheduled = asyncio.Event()
        self.next_scrape = 0.0
        """Unix time of the next slot."""

    def update(self, scrape: Scrape) -> None:
        """Take over a changed scrape of the same identity; delta state stays.

        A scrape that is running ends as it was begun.
        """
        before = self.scraper.scrape
        self.scraper.update(scrape)
        if scrape.interval != before.interval:
            self._rescheduled.set()

    async def run(self) -> None:
        """Until it is cancelled; there is no second time."""
        try:
            await self._run()
        finally:
            self.scraper.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due, apart = loop.time(), 0.0
        while True:
            scrape = self.scraper.scrape
            slot = self._upcoming(scrape, rest=due + min(apart, _APART * scrape.interval) - loop.time())
            self.next_scrape = scrape.offset + slot * scrape.interval
            next_due = loop.time() + max(0.0, self.next_scrape - self._clock())
            if not await self._wait_until(next_due):
                continue
            due, apart = next_due, _APART * scrape.interval
            began, upcoming = loop.time(), max(slot + 1, self._upcoming(scrape))
            await self.scraper.once()
            # Slots that a wall clock jumped over were not missed because of a long scrape.
            skipped = min(self._upcoming(scrape) - upcoming, math.ceil((loop.time() - began) / scrape.interval))
            if skipped > 0:
                self.scraper.skipped(skipped)

    def _upcoming(self, scrape: Scrape, rest: float = 0.0) -> int:
        """Number of the next slot that is more than `rest` seconds away."""
        return slot_after(self._clock() + max(0.0, rest), scrape.interval, scrape.offset)

    async def _wait_until(self, due: float) -> bool:
        """True at `due`, in the event loop's time; False as soon as the interval has changed."""
        self._rescheduled.clear()
        try:
            async with asyncio.timeout_at(due):
                await self._rescheduled.wait()
        except TimeoutError:
            return True
        return False
