"""Who does the work on profiles: the event loop in the moments that it has for that, or threads.

The threads are shared so that costly targets hold up nobody but each other.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from pyroscope_operator.errors import ScrapeError
from pyroscope_operator.scrape.cut import TimeLimit

_SLOW = 0.25
"""CPU seconds from which on a job is slow: three times a profile as large as Pyroscope takes."""
_QUICK = 0.003
"""CPU seconds up to which a job may be done by the event loop: the way to a thread and back is not free."""
_ROUND, _MOMENT = 0.05, 0.005
"""Seconds of work that the event loop takes upon itself within so many seconds; the rest is for threads."""

T = TypeVar("T")


@dataclass(slots=True)
class Cost:
    """What the jobs of one scrape cost, in CPU seconds."""

    seconds: float = _SLOW
    """The last one, or half of what was expected before if that is more. At first nothing is known: quick, but behind those
    who have shown it."""
    last: float = math.inf
    """The last one."""

    def add(self, seconds: float) -> None:
        self.seconds = max(seconds, self.seconds / 2)
        self.last = seconds


class Workers:
    """Gives the threads of an executor to jobs: those that were cheap the last time come first.

    Jobs that were slow get all threads but one, so a quick one never waits for a slow one
    to end.  How long a job takes is known only afterwards: a new scrape counts as quick, but comes behind
    those that are known to be, lest a crowd of new targets holds up the old ones.
    """

    def __init__(self, executor: Executor, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`threads` (at least 2) is how many the executor has; nobody else uses them."""
        self._executor = executor
        self._clock = clock
        self._round_began = self._spent = 0.0
        self._free = threads
        self._free_for_slow = threads - 1
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def has_moment(self, cost: Cost) -> bool:
        """Whether the event loop may do a job, which was quick the last time, by itself."""
        now = self._clock()
        if now - self._round_began >= _ROUND:
            self._round_began, self._spent = now, 0.0
        return cost.last <= _QUICK and self._spent < _MOMENT

    def at_once(self, cost: Cost, work: Callable[[], T]) -> T:
        """The result of `work`, done by the event loop."""
        try:
            return _measured(cost, work)
        finally:
            self._spent += cost.last

    async def run(self, cost: Cost, work: Callable[[], T], started: Callable[[], None], patience: float) -> T:
        """The result of `work`, done in a thread when its turn has come.

        `started` is called then; what it raises ends the job.  A job that is cancelled while
        it runs keeps its thread until it has ended.

        Raises ScrapeError Overloaded if there is no thread within `patience` seconds.
        """
        expected = cost.seconds
        with TimeLimit(patience, lambda: _overloaded(patience)):
            await self._turn(expected)
        loop = asyncio.get_running_loop()
        try:
            started()
            job = self._executor.submit(_measured, cost, work)
        except BaseException:
            self._end(expected)
            raise
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._end, expected))
        try:
            return await asyncio.wrap_future(job)
        finally:
            del job  # it holds the error, whose traceback holds this frame

    async def _turn(self, expected: float) -> None:
        """Wait for a thread; it is taken when this returns."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (expected, next(self._numbers), turn)
        heapq.heappush(self._waiting, waiting)
        self._begin()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came at the same moment
                self._end(expected)
            elif waiting in self._waiting:
                self._waiting.remove(waiting)
                heapq.heapify(self._waiting)
            raise

    def _begin(self) -> None:
        """Give free threads to those who wait."""
        while self._waiting and self._free:
            expected, _, turn = self._waiting[0]
            if expected > _SLOW and not self._free_for_slow:
                return
            heapq.heappop(self._waiting)
            if not turn.cancelled():
                self._take(expected, -1)
                turn.set_result(None)

    def _end(self, expected: float) -> None:
        self._take(expected, 1)
        self._begin()

    def _take(self, expected: float, threads: int) -> None:
        self._free += threads
        self._free_for_slow += threads * (expected > _SLOW)


def _overloaded(patience: float) -> ScrapeError:
    return ScrapeError("Overloaded", f"the operator had no time for the profile within {patience:g}s")


def _measured(cost: Cost, work: Callable[[], T]) -> T:
    started = time.thread_time()
    try:
        return work()
    finally:
        cost.add(time.thread_time() - started)
