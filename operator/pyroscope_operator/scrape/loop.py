"""When a scrape runs: at slots, which never overlap."""

from __future__ import annotations

import asyncio
import math

from pyroscope_operator.model.target import Scrape
from pyroscope_operator.scrape.scraper import Scraper
from pyroscope_operator.scrape.slots import Slots
from pyroscope_operator.scrape.ticker import Tick, Ticker

_APART = 0.9
"""Least part of an interval between two starts, by the monotonic clock: neither a timer that fires early
nor a wall clock that is set back makes a slot come twice."""


class ScrapeLoop:
    """Runs one scraper at every slot, from `start` to `stop`. It has a task only while it scrapes."""

    __slots__ = ("_apart", "_due", "_is_stopped", "_slot", "_slots", "_task", "_tick", "_ticker", "next_scrape", "scraper")

    def __init__(self, scraper: Scraper, ticker: Ticker) -> None:
        self.scraper = scraper
        self._slots = Slots(scraper.scrape.interval, scraper.scrape.offset)
        self._ticker = ticker
        self._tick: Tick | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._slot = 0
        self._due = self._apart = 0.0
        """When the last scrape began, in the event loop's time, and how far from it the next one has to be."""
        self.next_scrape = 0.0
        """Unix time of the next slot."""

    def start(self) -> None:
        """Scrape from the next slot on; there is no second time."""
        self._due = asyncio.get_running_loop().time()
        self._wait()

    def update(self, scrape: Scrape) -> None:
        """Take over a changed scrape of the same identity; delta state stays.

        A scrape that is running ends as it was begun.
        """
        before = self.scraper.scrape
        self.scraper.update(scrape)
        if scrape.interval != before.interval:
            self._slots = Slots(scrape.interval, scrape.offset)
            if self._leave():
                self._wait()

    def stop(self) -> asyncio.Task[None] | None:
        """No more scrapes. The task of one that is running is cancelled, and has to be waited for."""
        self._is_stopped = True
        self._leave()
        if self._task is None:
            self.scraper.close()
        else:
            self._task.add_done_callback(lambda _: self.scraper.close())
            self._task.cancel()
        return self._task

    def begin(self, due: float) -> None:
        """The slot has come, at `due` in the event loop's time."""
        self._due, self._apart = due, _APART * self.scraper.scrape.interval
        self._tick = None
        self._task = asyncio.get_running_loop().create_task(self._scrape(), name="scrape")

    async def _scrape(self) -> None:
        slots, interval, loop = self._slots, self.scraper.scrape.interval, asyncio.get_running_loop()
        began, upcoming = loop.time(), max(self._slot + 1, slots.after(self._ticker.clock()))
        self._ticker.begun(self.next_scrape)
        try:
            await self.scraper.once()
        finally:
            self._task = None
        # Slots that a wall clock jumped over were not missed because of a long scrape.
        skipped = min(slots.after(self._ticker.clock()) - upcoming, math.ceil((loop.time() - began) / interval))
        if skipped > 0:
            self.scraper.skipped(skipped)
        if not self._is_stopped:
            self._wait()

    def _wait(self) -> None:
        rest = self._due + min(self._apart, _APART * self.scraper.scrape.interval) - asyncio.get_running_loop().time()
        self._slot = self._slots.after(self._ticker.clock() + max(0.0, rest))
        self.next_scrape = self._slots.start_of(self._slot)
        self._tick = self._ticker.wait(self, self.next_scrape)

    def _leave(self) -> bool:
        """Wait for no slot; False if none was waited for."""
        if self._tick is None:
            return False
        self._ticker.leave(self._tick, self)
        self._tick = None
        return True
