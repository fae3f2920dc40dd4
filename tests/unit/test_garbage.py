"""What the collector is told to leave alone, and that cycles go nevertheless."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from pyroscope_operator import garbage
from pyroscope_operator.garbage import frozen


class Cycle:
    def __init__(self) -> None:
        self.me = self


async def test_what_survives_is_left_alone_and_given_back_at_the_end() -> None:
    before = gc.get_threshold()
    with frozen():
        assert gc.get_threshold() == garbage._THRESHOLDS
        count = gc.get_freeze_count()
        assert count > 10_000
        kept = [Cycle() for _ in range(1000)]
        gc.collect()
        assert gc.get_freeze_count() >= count + len(kept)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
    assert not any(isinstance(callback, garbage.Frozen) for callback in gc.callbacks)


async def test_cycles_that_are_young_are_collected() -> None:
    with frozen():
        gone = weakref.ref(Cycle())
        gc.collect()
        assert gone() is None


async def test_frozen_cycles_are_collected_when_there_are_as_many_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "_GROWTH", 1.1)
    with frozen():
        cycles = [Cycle() for _ in range(gc.get_freeze_count() // 5)]
        gone = weakref.ref(cycles[0])
        gc.collect()
        assert gc.get_freeze_count() == 0, "the next one looks at all of them"
        cycles.clear()
        gc.collect()
        assert gone() is None
        assert gc.get_freeze_count() > 0


@pytest.mark.looptime
async def test_what_came_with_the_start_is_frozen_unseen() -> None:
    with frozen():
        kept = [Cycle() for _ in range(1000)]
        count = gc.get_freeze_count()
        await asyncio.sleep(garbage._START_SECONDS + 1)
        assert gc.get_freeze_count() >= count + len(kept)
