"""What is due at the same tick begins together, by one timer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from scrape_fakes import EPOCH, Bench

from pyroscope_operator.scrape.ticker import Tick

pytestmark = pytest.mark.looptime


class Waiter:
    """Keeps when it was begun."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.tick: Tick | None = None
        self.begun: list[float] = []

    def begin(self, due: float) -> None:
        self.begun.append(asyncio.get_running_loop().time())
        assert due == pytest.approx(self.begun[-1], abs=0.01)

    def wait(self, seconds: float) -> Waiter:
        self.tick = self._bench.ticker.wait(self, EPOCH + seconds)
        return self

    def leave(self) -> None:
        assert self.tick is not None
        self._bench.ticker.leave(self.tick, self)


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each timer was to fire."""
    loop, made = asyncio.get_running_loop(), list[float]()

    def call_at(when: float, *args: Any, **options: Any) -> asyncio.TimerHandle:
        made.append(when)
        return original(when, *args, **options)

    original = loop.call_at
    monkeypatch.setattr(loop, "call_at", call_at)
    return made


async def test_one_timer_begins_all_of_a_tick(timers: list[float]) -> None:
    bench = Bench()
    first = [Waiter(bench).wait(1.05) for _ in range(10)]
    await asyncio.sleep(0.5)
    last = [Waiter(bench).wait(1.05) for _ in range(10)]
    other = Waiter(bench).wait(1.1)
    timers.remove(timers[1])  # that of the sleep
    assert timers == pytest.approx([1.05, 1.1], abs=0.01)
    await asyncio.sleep(1)
    assert [waiter.begun for waiter in first + last] == [[pytest.approx(1.05, abs=0.01)]] * 20
    assert other.begun == [pytest.approx(1.1, abs=0.01)]
    assert bench.ticker._ticks == {}


async def test_who_left_is_not_begun_and_leaves_nothing_behind(timers: list[float]) -> None:
    bench = Bench()
    gone, stays, alone = (Waiter(bench).wait(seconds) for seconds in (1, 1, 2))
    gone.leave()
    alone.leave()
    assert alone.tick is not None
    assert isinstance(alone.tick.timer, asyncio.TimerHandle)
    assert alone.tick.timer.cancelled()
    assert list(bench.ticker._ticks) == [EPOCH + 1]
    again = alone.wait(2)
    await asyncio.sleep(3)
    assert (gone.begun, len(stays.begun), len(again.begun)) == ([], 1, 1)


async def test_a_crowd_begins_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from the network is not kept waiting until the last one has begun; and who leaves meanwhile is not begun."""
    bench, rounds = Bench(), list[int]()
    crowd = [Waiter(bench).wait(1) for _ in range(70)]

    def count() -> None:
        rounds.append(sum(len(waiter.begun) for waiter in crowd))
        if rounds[-1] == 50:
            crowd[-1].leave()
        if rounds[-1] < 69:
            asyncio.get_running_loop().call_soon(count)

    asyncio.get_running_loop().call_at(1, count)
    await asyncio.sleep(2)
    assert {25, 50, 69} <= set(rounds)
    assert [len(waiter.begun) for waiter in crowd] == [1] * 69 + [0]


@pytest.mark.parametrize("step", [-3600.0, -3.0, 0.5])
async def test_a_clock_that_is_set_moves_nobody_who_waits(step: float) -> None:
    """And who comes to the same tick afterwards waits for its own time."""
    bench = Bench()
    before = Waiter(bench).wait(5)
    bench.shift = step
    after = Waiter(bench).wait(5)
    await asyncio.sleep(5 - step + 1)
    assert before.begun == [pytest.approx(5, abs=0.01)]
    assert after.begun == [pytest.approx(5 - step, abs=0.01)]
    assert bench.ticker._ticks == {}
