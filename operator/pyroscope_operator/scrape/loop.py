"""When a scrape runs: slots pinned to absolute time, which never overlap."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from pyroscope_operator.model.target import Scrape
from pyroscope_operator.scrape.scraper import Scraper

_ANY_SLOT = -(2**62)

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
        earliest = _ANY_SLOT
        while True:
            scrape = self.scraper.scrape
            slot = _not_before(earliest, slot_after(self._clock(), scrape.interval, scrape.offset))
            self.next_scrape = scrape.offset + slot * scrape.interval
            if not await self._wait_until(self.next_scrape):
                earliest = _ANY_SLOT  # the numbers of the old interval mean nothing in the new one
                continue
            await self.scraper.once()
            earliest = self._count_skipped(scrape, slot)

    async def _wait_until(self, when: float) -> bool:
        """True at `when`; False as soon as the interval has changed."""
        self._rescheduled.clear()
        try:
            async with asyncio.timeout(max(0.0, when - self._clock())):
                await self._rescheduled.wait()
        except TimeoutError:
            return True
        return False

    def _count_skipped(self, scrape: Scrape, slot: int) -> int:
        """Count the slots that began while this one ran; returns the lowest next slot."""
        if self.scraper.scrape.interval != scrape.interval:
            return _ANY_SLOT
        upcoming = max(slot_after(self._clock(), scrape.interval, scrape.offset), slot + 1)
        if skipped := upcoming - slot - 1:
            self.scraper.skipped(skipped)
        return upcoming


def _not_before(earliest: int, upcoming: int) -> int:
    """`upcoming`, or `earliest` where a timer fired a hair early.

    More than one slot apart, the wall clock was set back: waiting for it to catch up
    could take hours.
    """
    return earliest if upcoming == earliest - 1 else upcoming
