from __future__ import annotations

import asyncio
from collections.abc import Iterator

from others import turns_of_others

from pyroscope_operator.engine.turns import TURN_SECONDS, in_turns


class Work:
    """So many steps that take so many seconds each, by a clock that only they move."""

    def __init__(self, steps: int, seconds: float) -> None:
        self.now, self.left, self._seconds = 1000.0, steps, seconds

    def clock(self) -> float:
        return self.now

    def steps(self) -> Iterator[None]:
        while self.left:
            self.left -= 1
            self.now += self._seconds
            yield


async def turns_during(work: Work) -> tuple[int, float]:
    """How often another task ran before all was done, and the seconds of work."""
    with turns_of_others() as turns:
        await asyncio.sleep(0)
        seconds = await in_turns(work.steps(), work.clock)
    assert work.left == 0
    return turns.count, seconds


async def test_others_run_between_long_steps() -> None:
    turns, seconds = await turns_during(Work(100, 2 * TURN_SECONDS))
    assert turns >= 99
    assert abs(seconds - 200 * TURN_SECONDS) < 1e-6


async def test_short_steps_share_a_turn() -> None:
    turns, seconds = await turns_during(Work(1000, TURN_SECONDS / 100))
    assert 8 <= turns <= 11
    assert abs(seconds - 10 * TURN_SECONDS) < 1e-6


async def test_a_little_work_is_done_at_once() -> None:
    turns, _ = await turns_during(Work(5, TURN_SECONDS / 100))
    assert turns == 0


async def test_time_that_others_take_is_not_counted() -> None:
    work = Work(10, 2 * TURN_SECONDS)

    async def other() -> None:
        while work.left:
            work.now += 100
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await in_turns(work.steps(), work.clock) < 1
    await task
