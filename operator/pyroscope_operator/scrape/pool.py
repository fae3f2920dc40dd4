"""The scrape pool: all loops, kept in step with the set of scrapes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape
from pyroscope_operator.scrape.health import Health
from pyroscope_operator.scrape.loop import ScrapeLoop
from pyroscope_operator.scrape.scraper import Context, Scraper
from pyroscope_operator.scrape.ticker import Ticker

_AT_ONCE = 50
"""So many loops are started or stopped at a time, some 10 ms of work; then others have their turn."""


class LoopState(NamedTuple):
    """What a page or a status says of one loop."""

    scrape: Scrape
    health: Health
    next_scrape: float
    """Unix seconds."""


class ScrapePool:
    """Owns the loops. `sync` is called by one task only."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ticker = Ticker(context.clock, context.metrics.scrape_lateness.observe)
        self._loops: dict[str, ScrapeLoop] = {}
        self._targets: Counter[str] = Counter()
        """Loops by target."""
        self._sources: dict[ObjectRef, dict[str, ScrapeLoop]] = {}
        """Loops by the object that they are for."""
        self._ending: set[asyncio.Task[None]] = set()

    def keys(self) -> Collection[str]:
        """The keys of the scrapes that have a loop."""
        return self._loops.keys()

    async def sync(self, changes: Mapping[str, Scrape | None]) -> None:
        """Have the loops of these scrapes, by key, and for None no more; all others stay as they are.

        An unchanged scrape keeps its loop untouched, a changed one keeps its loop, its
        phase and its delta state.  Loops that are no longer wanted have ended before
        new ones begin: two CPU profiles of one process must not meet.
        """
        await self._stop([key for key, scrape in changes.items() if scrape is None and key in self._loops])
        for number, (key, scrape) in enumerate(changes.items()):
            await _give_way(number)
            loop = self._loops.get(key)
            if scrape is None:
                continue
            if loop is None:
                self._start(key, scrape)
            elif loop.scraper.scrape != scrape:
                self._leave(key, loop)
                loop.update(scrape)
                self._join(key, loop)
        self._context.metrics.scrape_loops.set(len(self._loops))
        self._context.metrics.targets.set(len(self._targets))

    def _start(self, key: str, scrape: Scrape) -> None:
        loop = self._loops[key] = ScrapeLoop(Scraper(scrape, self._context), self._ticker)
        self._targets[scrape.target.key] += 1
        self._join(key, loop)
        loop.start()

    async def _stop(self, keys: list[str]) -> None:
        for number, key in enumerate(keys):
            await _give_way(number)
            loop = self._loops.pop(key)
            self._leave(key, loop)
            self._uncount(loop.scraper.scrape.target.key)
            if task := loop.stop():
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
        if self._ending:  # also those of a stop that was cancelled
            await asyncio.wait(self._ending)

    def _join(self, key: str, loop: ScrapeLoop) -> None:
        self._sources.setdefault(loop.scraper.scrape.source, {})[key] = loop

    def _leave(self, key: str, loop: ScrapeLoop) -> None:
        source = loop.scraper.scrape.source
        del self._sources[source][key]
        if not self._sources[source]:
            del self._sources[source]

    def _uncount(self, target: str) -> None:
        self._targets[target] -= 1
        if not self._targets[target]:
            del self._targets[target]

    async def close(self) -> None:
        """Stop all loops; returns when they have ended."""
        await self._stop(list(self._loops))

    def state(self, key: str) -> LoopState | None:
        """The state of the loop of the scrape with this key, if there is one."""
        loop = self._loops.get(key)
        return None if loop is None else _state(loop)

    def states(self) -> dict[str, LoopState]:
        """The state of every loop, by the key of its scrape."""
        return {key: _state(loop) for key, loop in self._loops.items()}

    def states_of(self, source: ObjectRef) -> list[LoopState]:
        """The states of the loops that are for one object; costs as much as it has."""
        return [_state(loop) for loop in self._sources.get(source, {}).values()]


def _state(loop: ScrapeLoop) -> LoopState:
    return LoopState(loop.scraper.scrape, loop.scraper.health, loop.next_scrape)


async def _give_way(number: int) -> None:
    if number % _AT_ONCE == _AT_ONCE - 1:
        await asyncio.sleep(0)
