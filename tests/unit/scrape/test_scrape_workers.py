"""Whose turn it is when threads are few."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from pyroscope_operator.errors import FetchError, ScrapeError
from pyroscope_operator.scrape.workers import Cost, Workers

QUICK, SLOW = 0.01, 1.0


class Hands(Executor):
    """Threads that end when they are told to; more than they are is an error."""

    def __init__(self, threads: int) -> None:
        self._free = threads
        self.running: dict[str, Future[Any]] = {}

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        assert self._free, "there are not so many threads"
        self._free -= 1
        name = args[-1]()
        future = self.running[name] = Future()
        future.set_running_or_notify_cancel()
        return future

    def end(self, name: str) -> None:
        self._free += 1
        self.running.pop(name).set_result(name)


class Yard:
    """Two threads, and the jobs for them."""

    def __init__(self) -> None:
        self.hands = Hands(2)
        self.workers = Workers(self.hands, 2)
        self.begun: list[str] = []
        self.tasks: dict[str, asyncio.Task[str]] = {}

    async def send(self, name: str, seconds: float, patience: float = 60) -> None:
        """A job that took so long the last time."""
        job = self.workers.run(Cost(seconds), lambda: name, lambda: self.begun.append(name), patience)
        self.tasks[name] = asyncio.create_task(job)
        await settle()

    async def end(self, *names: str) -> None:
        for name in names:
            self.hands.end(name)
            await settle()
            if not self.tasks[name].cancelled():
                assert self.tasks[name].result() == name


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def yard() -> Yard:
    return Yard()


async def test_as_many_at_a_time_as_there_are_threads(yard: Yard) -> None:
    for name in "abc":
        await yard.send(name, QUICK)
    assert yard.begun == ["a", "b"]
    await yard.end("a")
    assert yard.begun == ["a", "b", "c"]
    await yard.end("b", "c")


async def test_cheap_jobs_come_first(yard: Yard) -> None:
    await yard.send("a", QUICK)
    await yard.send("b", QUICK)
    for name, seconds in (("c", 0.2), ("d", 0.1), ("e", SLOW), ("f", 0.0)):
        await yard.send(name, seconds)
    await yard.end("a", "b")
    assert yard.begun == ["a", "b", "f", "d"]
    await yard.end("f", "d", "c", "e")
    assert yard.begun == ["a", "b", "f", "d", "c", "e"]


async def test_a_crowd_of_new_jobs_does_not_come_before_those_that_are_known_to_be_quick(yard: Yard) -> None:
    for name in ("new", "newer", "newest"):
        await yard.send(name, Cost().seconds)
    await yard.send("old", 0.2)
    await yard.end("new")
    assert yard.begun == ["new", "newer", "old"], "new ones may have all threads, for most are quick"
    await yard.end("old", "newer", "newest")


async def test_slow_jobs_never_have_all_threads(yard: Yard) -> None:
    await yard.send("slow", SLOW)
    await yard.send("slower", 2 * SLOW)
    assert yard.begun == ["slow"]
    await yard.send("quick", QUICK)
    assert yard.begun == ["slow", "quick"]
    await yard.end("quick")
    assert yard.begun == ["slow", "quick"]
    await yard.end("slow")
    assert yard.begun == ["slow", "quick", "slower"]
    await yard.end("slower")


async def test_nobody_waits_longer_than_told(yard: Yard) -> None:
    await yard.send("a", QUICK)
    await yard.send("b", QUICK)
    await yard.send("late", QUICK, patience=0.01)
    with pytest.raises(ScrapeError) as caught:
        await yard.tasks["late"]
    assert caught.value.reason == "Overloaded"
    await yard.send("c", QUICK)
    await yard.end("a", "b", "c")
    assert yard.begun == ["a", "b", "c"]


async def test_a_job_that_is_cancelled_while_it_waits(yard: Yard) -> None:
    for name in "abc":
        await yard.send(name, QUICK)
    yard.tasks["c"].cancel()
    await settle()
    await yard.send("d", QUICK)
    await yard.end("a")
    assert yard.begun == ["a", "b", "d"]
    await yard.end("b", "d")


async def test_a_job_that_is_cancelled_when_its_turn_comes(yard: Yard) -> None:
    for name in "abcd":
        await yard.send(name, QUICK)
    yard.hands.end("a")
    asyncio.get_running_loop().call_soon(yard.tasks["c"].cancel)  # right after the thread was given to it
    await settle()
    assert yard.begun == ["a", "b", "d"]
    await yard.end("b", "d")


async def test_a_job_that_is_cancelled_while_it_runs_keeps_its_thread(yard: Yard) -> None:
    for name in "abc":
        await yard.send(name, QUICK)
    yard.tasks["a"].cancel()
    await settle()
    assert yard.begun == ["a", "b"]
    await yard.end("a")
    assert yard.begun == ["a", "b", "c"]
    await yard.end("b", "c")


async def test_a_start_that_fails_frees_the_thread(yard: Yard) -> None:
    def fail() -> None:
        raise FetchError("MemoryFull", "")

    for _ in range(5):
        with pytest.raises(FetchError):
            await yard.workers.run(Cost(SLOW), lambda: None, fail, 60)
    await yard.send("a", SLOW)
    await yard.send("b", QUICK)
    assert yard.begun == ["a", "b"]
    await yard.end("a", "b")


async def test_what_a_job_cost_is_remembered_even_if_it_fails() -> None:
    def busy() -> None:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        raise FetchError("Broken", "")

    cost = Cost()
    with ThreadPoolExecutor(2) as executor:
        workers = Workers(executor, 2)
        for _ in range(5):
            with pytest.raises(FetchError, match="Broken"):
                await workers.run(cost, busy, lambda: None, 60)
            await settle()
    assert cost.seconds >= 0.02


def test_who_was_slow_once_counts_as_slow_for_a_while() -> None:
    cost = Cost()
    seen = []
    for seconds in (1.0, 0.1, 0.1, 0.1, 0.1):
        cost.add(seconds)
        seen.append(cost.seconds)
    assert seen == [1.0, 0.5, 0.25, 0.125, 0.1]


def test_the_event_loop_has_a_moment_for_what_was_quick() -> None:
    now = 100.0
    with ThreadPoolExecutor(2) as executor:
        workers = Workers(executor, 2, lambda: now)
        quick, slow, new = Cost(last=0.001), Cost(last=0.004), Cost()
        assert [workers.has_moment(cost) for cost in (quick, slow, new)] == [True, False, False]
        assert workers.at_once(new, lambda: "done") == "done"
        assert new.last < 0.25
        with pytest.raises(ZeroDivisionError):
            workers.at_once(Cost(), lambda: busy(0.006) / 0)
        assert not workers.has_moment(quick), "it was used up, by a failure"
        now += 0.049
        assert not workers.has_moment(quick)
        now += 0.002
        assert workers.has_moment(quick)


def busy(seconds: float) -> float:
    """Use so much CPU."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return seconds
