"""When a scrape runs, on fake time: slots, skipped slots, changes of the interval, steps of the wall clock."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import httpx
import pytest
from scrape_fakes import EPOCH, INTERVAL, Bench, FakeTargets, scrape, snapshot, target

from pyroscope_operator.model.target import Scrape
from pyroscope_operator.scrape.loop import ScrapeLoop
from pyroscope_operator.scrape.scraper import Scraper
from pyroscope_operator.scrape.slots import TICK, TICKS_PER_SECOND, Slots

pytestmark = pytest.mark.looptime

OFFSET = math.floor(scrape().offset * 20) / 20


@asynccontextmanager
async def running(bench: Bench, what: Scrape | None = None) -> AsyncIterator[ScrapeLoop]:
    loop = ScrapeLoop(Scraper(what or scrape(), bench.context), bench.ticker)
    loop.start()
    try:
        yield loop
    finally:
        if task := loop.stop():
            await asyncio.wait([task])
            assert task.cancelled()
        assert not bench.ticker._ticks


def taking(seconds: float) -> FakeTargets:
    async def slow() -> bytes:
        await asyncio.sleep(seconds)
        return snapshot()

    return FakeTargets(lambda _: slow())


def phases(bench: Bench, interval: float = INTERVAL) -> list[float]:
    """Seconds between each scrape and the slot that is nearest to it."""
    offset = first_slot(interval)
    return [math.remainder(EPOCH + time - offset, interval) for time in bench.targets.times]


def first_slot(interval: float) -> float:
    return math.floor(target().offset(interval) * 20) / 20


def gaps(bench: Bench) -> list[float]:
    return [after - before for before, after in pairwise(bench.targets.times)]


@pytest.mark.parametrize(
    ("now", "slot"),
    [(99.9, 0), (100.0, 1), (100.1, 1), (109.9, 1), (110.0, 2), (95.0, 0), (89.9, -1)],
)
def test_the_slot_after_a_moment(now: float, slot: int) -> None:
    assert Slots(10.0, 100.0).after(now) == slot


@pytest.mark.parametrize("interval", [1.0, 1.01, 1.05, 1.0000001, 3.333, 15.0, 86_400.0])
def test_slots_lie_on_the_ticks_and_apart(interval: float) -> None:
    """What is no multiple of a tick is rounded down, each slot by itself, so that they don't drift."""
    offset = 0.637 * interval
    slots = Slots(interval, offset)
    first = slots.after(EPOCH)
    starts = [slots.start_of(first + n) for n in range(2000)]
    assert all(start == math.floor(start * TICKS_PER_SECOND) / TICKS_PER_SECOND for start in starts)
    assert all(abs(after - before - interval) < TICK + 1e-6 for before, after in pairwise(starts))
    assert all(0 <= offset + (first + n) * interval - start < TICK + 1e-6 for n, start in enumerate(starts))


@pytest.mark.parametrize("interval", [1.0, 1.01, 1.0000001, 7.0, 15.0, 3600.0])
def test_the_next_slot_is_the_first_one_that_is_still_to_come(interval: float) -> None:
    rng = random.Random(1)
    for _ in range(2000):
        offset, now = rng.random() * interval, EPOCH + rng.random() * 1e6
        slots = Slots(interval, offset)
        for moment in (now, slots.start_of(slots.after(now))):
            slot = slots.after(moment)
            assert slots.start_of(slot - 1) <= moment < slots.start_of(slot)


@pytest.mark.parametrize("start", [0.0, 0.1, 4.9, 7.5, 14.999, 1234.5])
async def test_slots_are_pinned_to_absolute_time(start: float) -> None:
    """Whenever the operator starts, the phase is the same, and the first scrape is at its slot and not at the start."""
    await asyncio.sleep(start)
    bench = Bench()
    async with running(bench) as loop:
        await asyncio.sleep(0.001)
        first = loop.next_scrape
        await asyncio.sleep(100)
    assert phases(bench) == pytest.approx([0.0] * len(bench.targets.times), abs=0.01)
    assert len(bench.targets.times) in {6, 7}
    assert start <= bench.targets.times[0] <= start + INTERVAL + 0.01
    assert first == pytest.approx(EPOCH + bench.targets.times[0], abs=0.01)


@pytest.mark.parametrize("interval", [1.01, 1.05, 7.77])
async def test_an_interval_that_is_no_multiple_of_a_tick(interval: float) -> None:
    bench = Bench()
    async with running(bench, scrape(interval=interval)):
        await asyncio.sleep(200 * interval)
    assert len(bench.targets.times) in {199, 200}
    assert all(-0.001 <= math.remainder(time, TICK) < 0.01 for time in bench.targets.times)
    assert max(abs(gap - interval) for gap in gaps(bench)) < TICK + 0.01


async def test_lateness_is_the_time_from_the_slot_to_the_start() -> None:
    bench = Bench()
    async with running(bench):
        await asyncio.sleep(OFFSET - 1)
        bench.shift = 2.5
        await asyncio.sleep(2 * INTERVAL)
    assert bench.value("scrape_lateness_seconds_count") == len(bench.targets.times) == 2
    assert bench.value("scrape_lateness_seconds_sum") == pytest.approx(2.5, abs=0.01)


async def test_targets_are_spread_over_the_interval() -> None:
    offsets = sorted(target(pod_uid=f"uid-{i}").offset(INTERVAL) for i in range(1000))
    assert 0 <= offsets[0] < offsets[-1] < INTERVAL
    quarters = [sum(INTERVAL / 4 * i <= offset < INTERVAL / 4 * (i + 1) for offset in offsets) for i in range(4)]
    assert min(quarters) > 180


async def test_a_loop_that_starts_on_the_slot_takes_the_next_one() -> None:
    bench = Bench(shift=OFFSET)
    async with running(bench):
        await asyncio.sleep(16)
    assert bench.targets.times == pytest.approx([INTERVAL], abs=0.01)


@pytest.mark.parametrize("drift", [1 - 1e-4, 1 + 1e-4])
async def test_timers_that_fire_early_or_late_give_one_scrape_per_slot(drift: float) -> None:
    bench = Bench(drift=drift)
    async with running(bench) as loop:
        await asyncio.sleep(100 * INTERVAL)
    assert len(bench.targets.times) in {99, 100, 101}
    assert gaps(bench) == pytest.approx([INTERVAL] * len(gaps(bench)), abs=0.05)
    assert loop.scraper.health.skipped_slots == 0


@pytest.mark.parametrize(("seconds", "skipped"), [(0.0, 0), (14.0, 0), (14.95, 0), (16.0, 1), (29.0, 1), (40.0, 2)])
async def test_a_scrape_that_outlasts_its_slot_makes_slots_skipped(seconds: float, skipped: int) -> None:
    bench = Bench(taking(seconds))
    async with running(bench, scrape(timeout=100)) as loop:
        await asyncio.sleep(10 * INTERVAL * (skipped + 1) + OFFSET - 1)
    done = loop.scraper.health.scrapes
    assert done >= 9
    assert loop.scraper.health.skipped_slots == done * skipped
    assert bench.value("scrape_slots_skipped_total") == done * skipped
    assert gaps(bench) == pytest.approx([INTERVAL * (skipped + 1)] * len(gaps(bench)), abs=0.05)
    assert bench.targets.most == 1


async def test_slots_never_overlap() -> None:
    rng = random.Random(1)

    async def slow() -> bytes:
        await asyncio.sleep(rng.choice([0, 5, 14.999, 15, 15.001, 29.99, 30, 47]))
        return snapshot()

    bench = Bench(FakeTargets(lambda _: slow()))
    async with running(bench, scrape(timeout=100)):
        await asyncio.sleep(300 * INTERVAL)
    assert bench.targets.most == 1
    assert len(bench.targets.times) > 100
    assert max(map(abs, phases(bench))) < 0.05


async def test_a_changed_interval_is_followed_at_once() -> None:
    bench = Bench()
    async with running(bench, scrape(interval=3600.0)) as loop:
        await asyncio.sleep(1)
        loop.update(scrape(interval=10.0))
        await asyncio.sleep(50)
    assert len(bench.targets.times) in {4, 5}
    assert phases(bench, 10.0) == pytest.approx([0.0] * len(bench.targets.times), abs=0.05)


@pytest.mark.parametrize("after", [5.0, 3600.0])
async def test_an_interval_that_changes_during_a_scrape(after: float) -> None:
    """It ends as it was begun; the next one is a slot of the new interval, however long the old one was."""
    bench = Bench(taking(8.0))
    async with running(bench, scrape(interval=600.0)) as loop:
        while not bench.targets.running:
            await asyncio.sleep(1)
        loop.update(scrape(interval=after))
        ended = bench.now() + 8
        await asyncio.sleep(8.5)
        assert loop.scraper.health.up
        assert loop.next_scrape <= ended + max(after, 600.0) + after
        assert math.remainder(loop.next_scrape - first_slot(after), after) == pytest.approx(0, abs=0.01)
    assert loop.scraper.health.skipped_slots == 0


async def test_a_change_that_is_no_change_of_the_interval_keeps_the_timer() -> None:
    bench = Bench()
    async with running(bench) as loop:
        for _ in range(100):
            await asyncio.sleep(1)
            loop.update(scrape(timeout=3.0))
    assert len(bench.targets.times) in {6, 7}
    assert phases(bench) == pytest.approx([0.0] * len(bench.targets.times), abs=0.05)


@pytest.mark.parametrize(
    "step", [-86_400.0, -3600.0, -3607.0, -3600.001, -15.0, -14.0, -8.0, -0.5, -0.001, 0.001, 0.5, 8.0, 3607.0]
)
@pytest.mark.parametrize("after", [0.001, 3.0, 9.0])
async def test_a_step_of_the_wall_clock_neither_stalls_nor_doubles(step: float, after: float) -> None:
    def answer(_: httpx.Request) -> bytes:
        if len(bench.targets.times) == 3:
            asyncio.get_running_loop().call_later(after, setattr, bench, "shift", step)
        return snapshot()

    bench = Bench(FakeTargets(answer))
    async with running(bench) as loop:
        await asyncio.sleep(23 * INTERVAL)
    assert bench.shift == step
    assert min(gaps(bench)) > 0.85 * INTERVAL
    assert max(gaps(bench)) < 2 * INTERVAL
    assert loop.scraper.health.skipped_slots == 0


async def test_a_step_during_a_scrape_is_not_counted_as_skipped_slots() -> None:
    bench = Bench(taking(4.0))
    async with running(bench) as loop:
        while not bench.targets.running:
            await asyncio.sleep(1)
        bench.shift = 86_400.0
        await asyncio.sleep(60)
    assert loop.scraper.health.skipped_slots <= 1
    assert loop.scraper.health.duration < 5 or loop.scraper.health.scrapes > 1


async def test_a_failing_target_is_tried_at_every_slot() -> None:
    bench = Bench(FakeTargets(lambda _: httpx.ConnectError("refused")))
    async with running(bench) as loop:
        await asyncio.sleep(10 * INTERVAL + OFFSET)
    assert loop.scraper.health.failures == len(bench.targets.times) >= 10
