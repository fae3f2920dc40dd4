"""The scrape pool: all loops, kept in step with the set of scrapes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pyroscope_operator.model.target import Scrape
from pyroscope_operator.scrape.health import Health
from pyroscope_operator.scrape.loop import ScrapeLoop
from pyroscope_operator.scrape.scraper import Context, Scraper


@dataclass(frozen=True, slots=True)
class LoopState:
    """What a page or a status says of one loop."""

    scrape: Scrape
    health: Health
    next_scrape: float
    """Unix seconds."""


class ScrapePool:
    """Owns the loops and their tasks. `sync` is called by one task only."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loops: dict[str, ScrapeLoop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._targets: Counter[str] = Counter()
        """Loops by target."""

    def keys(self) -> Collection[str]:
        """The keys of the scrapes that have a loop, or one that ends."""
        return self._tasks.keys()

    async def sync(self, changes: Mapping[str, Scrape | None]) -> None:
        """Have the loops of these scrapes, by key, and for None no more; all others stay as they are.

        An unchanged scrape keeps its loop untouched, a changed one keeps its loop, its
        phase and its delta state.  Loops that are no longer wanted have ended before
        new ones begin: two CPU profiles of one process must not meet.
        """
        await self._stop([key for key, scrape in changes.items() if scrape is None and key in self._tasks])
        for key, scrape in changes.items():
            loop = self._loops.get(key)
            if scrape is None:
                continue
            if loop is None:
                self._start(key, scrape)
            elif loop.scraper.scrape != scrape:
                loop.update(scrape)
        self._context.metrics.scrape_loops.set(len(self._loops))
        self._context.metrics.targets.set(len(self._targets))

    def _start(self, key: str, scrape: Scrape) -> None:
        loop = ScrapeLoop(Scraper(scrape, self._context), self._context.clock)
        self._loops[key] = loop
        self._targets[scrape.target.key] += 1
        self._tasks[key] = asyncio.create_task(loop.run(), name=f"scrape {scrape.target.address}{scrape.profile.path}")

    async def _stop(self, keys: list[str]) -> None:
        for key in keys:
            if loop := self._loops.pop(key, None):
                self._uncount(loop.scraper.scrape.target.key)
            self._tasks[key].cancel()
        if keys:
            await asyncio.wait([self._tasks[key] for key in keys])
        for key in keys:  # not before they have ended: if this is cancelled, `close` waits for them
            del self._tasks[key]

    def _uncount(self, target: str) -> None:
        self._targets[target] -= 1
        if not self._targets[target]:
            del self._targets[target]

    async def close(self) -> None:
        """Stop all loops; returns when they have ended."""
        await self._stop(list(self._tasks))

    def states(self) -> dict[str, LoopState]:
        """The state of every loop, by the key of its scrape."""
        return {key: LoopState(loop.scraper.scrape, loop.scraper.health, loop.next_scrape) for key, loop in self._loops.items()}
