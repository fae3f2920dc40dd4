"""The pool: what starts, what stops, and what is left alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest
from others import turns_of_others
from scrape_fakes import (
    CPU,
    EPOCH,
    GOROUTINE,
    INTERVAL,
    LABELS,
    MEMORY,
    SHOP,
    Bench,
    FakeTargets,
    cumulative,
    scrape,
    snapshot,
    sync,
    target,
)

from pyroscope_operator.model.access import DIRECT, Access
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.scrape.fetch import Fetcher
from pyroscope_operator.scrape.pool import ScrapePool

pytestmark = pytest.mark.looptime


def tasks() -> int:
    """Tasks besides the test's own."""
    return len(asyncio.all_tasks()) - 1


def counting() -> FakeTargets:
    """Targets whose counters are 10 higher at every scrape."""
    fake = FakeTargets()
    fake.answer = lambda _: cumulative(10 * len(fake.requests))
    return fake


async def test_others_run_while_many_loops_start_and_stop() -> None:
    pool = ScrapePool(Bench().context)
    many = [scrape(GOROUTINE, target(pod_uid=f"uid-{number}")) for number in range(1000)]
    with turns_of_others() as turns:
        await sync(pool, many)
        assert turns.count >= 19
        turns.count = 0
        await sync(pool, [])
        assert turns.count >= 19
    assert pool.keys() == set()


async def test_sync_starts_and_stops() -> None:
    bench, a, b = Bench(), scrape(GOROUTINE), scrape(MEMORY)
    pool = ScrapePool(bench.context)
    await sync(pool, [a, b])
    assert pool.states().keys() == {a.key, b.key}
    assert len(pool._ticker._ticks) == 1
    assert (bench.value("scrape_loops"), bench.value("targets")) == (2, 1)
    await sync(pool, [b])
    assert pool.states().keys() == {b.key}
    assert len(pool._ticker._ticks) == 1
    await sync(pool, [])
    assert (pool.states(), pool._ticker._ticks, tasks()) == ({}, {}, 0)
    assert (bench.value("scrape_loops"), bench.value("targets")) == (0, 0)


async def test_close_ends_all_tasks_and_requests() -> None:
    async def never() -> bytes:
        await asyncio.sleep(1e6)
        return b""

    bench = Bench(FakeTargets(lambda _: never()))
    pool = ScrapePool(bench.context)
    await sync(pool, [scrape(GOROUTINE, target(pod_uid=f"uid-{i}"), timeout=1e5) for i in range(50)])
    await asyncio.sleep(INTERVAL + 1)
    assert len(bench.targets.running) == 50
    await pool.close()
    assert (bench.targets.running, tasks(), pool.states()) == ([], 0, {})
    await pool.close()


async def test_an_unchanged_scrape_is_not_touched() -> None:
    """Same loop object, phase and delta state, over whatever happens to others; equal values count, not identity."""
    bench = Bench(counting())
    pool = ScrapePool(bench.context)
    await sync(pool, [scrape(MEMORY)])
    (loop,) = pool._loops.values()
    for i in range(100):
        await asyncio.sleep(1)
        await sync(pool, [scrape(MEMORY), scrape(GOROUTINE, target(pod_uid=f"uid-{i}"))])
    await sync(pool, [scrape(MEMORY)])
    assert list(pool._loops.values()) == [loop]
    times = [time for time, path in zip(bench.targets.times, bench.targets.paths, strict=True) if path == MEMORY.path]
    assert [later - times[0] for later in times] == pytest.approx([i * INTERVAL for i in range(len(times))], abs=0.05)
    assert len(times) in {6, 7}
    assert sum(profile.labels["__name__"] == "memory" for profile in bench.sink) == len(times) - 1
    assert bench.value("delta_baselines_total") == 1
    await pool.close()


async def test_a_changed_scrape_keeps_loop_phase_and_delta() -> None:
    bench = Bench(counting())
    pool = ScrapePool(bench.context)
    await sync(pool, [scrape(MEMORY)])
    (loop,) = pool._loops.values()
    await asyncio.sleep(INTERVAL)
    changed = scrape(MEMORY, target(labels=LABELS.merged({"team": "b"})))
    await sync(pool, [changed])
    await asyncio.sleep(INTERVAL)
    assert list(pool._loops.values()) == [loop]
    assert pool.states()[changed.key].scrape == changed
    assert [profile.labels["team"] for profile in bench.sink] == ["b"]
    await pool.close()


async def test_the_loops_of_an_object() -> None:
    """Also those that it inherits from another one."""
    pool, other = ScrapePool(Bench(counting()).context), ObjectRef("shop", "heir")
    mine, theirs, third = scrape(MEMORY), scrape(GOROUTINE), scrape(GOROUTINE, target(pod_uid="uid-2"))
    await sync(pool, [mine, theirs, third])
    assert {state.scrape.key for state in pool.states_of(mine.source)} == {mine.key, theirs.key, third.key}
    assert pool.states_of(other) == []
    await sync(pool, [mine, replace(theirs, source=other)])
    assert [state.scrape.key for state in pool.states_of(mine.source)] == [mine.key]
    assert [state.scrape.key for state in pool.states_of(other)] == [theirs.key]
    await pool.close()
    assert (pool.states_of(mine.source), pool.states_of(other), pool._sources) == ([], [], {})


async def test_a_loop_has_ended_before_its_successor_begins() -> None:
    """Two CPU profiles of one process must never meet; here the first one takes its time to end."""
    running = 0
    most = 0

    async def profile() -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(14)
        finally:
            await asyncio.sleep(2)
            running -= 1
        return snapshot()

    bench = Bench(FakeTargets(lambda _: profile()))
    pool = ScrapePool(bench.context)
    old = scrape(CPU, target(container="a"))
    new = scrape(CPU, target(container="b"), interval=1.0)
    await sync(pool, [old])
    await asyncio.sleep(old.offset + 1)
    assert running == 1
    began = asyncio.get_running_loop().time()
    await sync(pool, [new])
    assert asyncio.get_running_loop().time() - began == pytest.approx(2, abs=0.1)
    assert running == 0
    await asyncio.sleep(5)
    assert (running, most) == (1, 1)
    await pool.close()


async def test_a_sync_that_is_cancelled_leaves_no_task_behind() -> None:
    async def stubborn() -> bytes:
        try:
            await asyncio.sleep(1e6)
        finally:
            await asyncio.sleep(5)
        return b""

    bench = Bench(FakeTargets(lambda _: stubborn()))
    pool = ScrapePool(bench.context)
    await sync(pool, [scrape(CPU, interval=1.0, timeout=1e5)])
    await asyncio.sleep(2)
    syncing = asyncio.create_task(sync(pool, []))
    await asyncio.sleep(1)
    syncing.cancel()
    await asyncio.wait([syncing])
    await pool.close()
    assert (tasks(), bench.targets.running) == (0, [])


async def test_states() -> None:
    bench, what = Bench(), scrape(GOROUTINE)
    pool = ScrapePool(bench.context)
    await sync(pool, [what])
    await asyncio.sleep(0.001)
    (state,) = pool.states().values()
    assert (pool.state(state.scrape.key), pool.state("another")) == (state, None)
    assert (state.scrape, state.health.up) == (what, None)
    assert state.next_scrape == pytest.approx(EPOCH + what.offset)
    await asyncio.sleep(INTERVAL)
    (state,) = pool.states().values()
    assert (state.health.up, state.health.scrapes) == (True, 1)
    assert state.next_scrape == pytest.approx(EPOCH + what.offset + INTERVAL)
    await pool.close()


async def test_new_credentials_keep_loop_phase_and_delta_state_and_leave_others_alone() -> None:
    bench = Bench(counting())
    sent: list[Access] = []

    def transport(access: Access) -> httpx.MockTransport:
        sent.append(access)
        return httpx.MockTransport(bench.targets.handle)

    pool = ScrapePool(replace(bench.context, fetcher=Fetcher(transport)))
    old, new = (Access(authorization=f"Bearer {token}") for token in ("hunter2", "hunter3"))
    mine, other = scrape(MEMORY, access=old), scrape(MEMORY, target(pod_uid="uid-1"))
    await sync(pool, [mine, other])
    await asyncio.sleep(2 * INTERVAL)
    loops, slots = dict(pool._loops), {key: state.next_scrape for key, state in pool.states().items()}
    requests = {key: loop.scraper._request for key, loop in loops.items()}
    await sync(pool, [replace(mine, access=new), scrape(MEMORY, target(pod_uid="uid-1"))])
    assert pool._loops == loops
    assert {key: state.next_scrape for key, state in pool.states().items()} == slots
    assert loops[other.key].scraper._request is requests[other.key]
    sent.clear()
    await asyncio.sleep(INTERVAL)
    assert sorted(map(hash, sent)) == sorted(map(hash, [new, DIRECT]))
    assert bench.value("delta_baselines_total") == 2
    await pool.close()


async def test_credentials_that_are_refused_are_told_of() -> None:
    bench, told = Bench(FakeTargets(lambda _: httpx.Response(401))), []
    pool = ScrapePool(replace(bench.context, unauthorized=told.append))
    await sync(pool, [scrape(GOROUTINE)])
    await asyncio.sleep(2 * INTERVAL)
    assert told == [SHOP, SHOP]
    bench.targets.answer = lambda _: httpx.Response(403)
    await asyncio.sleep(INTERVAL)
    assert told == [SHOP, SHOP]
    await pool.close()


async def test_a_scrape_that_is_stopped_before_its_first_step() -> None:
    """It holds room for its baseline, which nobody else would free."""
    bench = Bench(counting())
    pool = ScrapePool(bench.context)
    await sync(pool, [scrape(MEMORY)])
    await asyncio.sleep(2 * INTERVAL)
    assert bench.baselines.held
    (loop,) = pool._loops.values()
    loop.begin(asyncio.get_running_loop().time())
    await pool.close()
    assert (bench.baselines.held, tasks()) == (0, 0)
