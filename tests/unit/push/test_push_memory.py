"""The memory that queues share: who gives way, and when."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx
import pytest
from push_fakes import Bench, FakePyroscope, profile

from pyroscope_operator.push.batch import OVERHEAD
from pyroscope_operator.push.memory import QueueMemory


@dataclass(eq=False)
class Pile:
    """A queue of sizes; `flying` bytes can't be dropped."""

    sizes: list[int] = field(default_factory=list)
    flying: int = 0

    @property
    def held(self) -> int:
        return sum(self.sizes) + self.flying

    def give_way(self) -> int:
        return self.sizes.pop(0) if self.sizes else 0


def filled(memory: QueueMemory, pile: Pile, *sizes: int) -> None:
    for size in sizes:
        pile.sizes.append(size)
        memory.added(size)


def test_the_oldest_of_the_largest_goes() -> None:
    memory, small, large = QueueMemory(100), Pile(), Pile()
    memory.join(small)
    memory.join(large)
    filled(memory, large, 10, 20, 30)
    filled(memory, small, 20, 20)
    assert (small.sizes, large.sizes) == ([20, 20], [10, 20, 30])
    filled(memory, small, 5)
    assert (small.sizes, large.sizes) == ([20, 20, 5], [20, 30])


def test_what_was_sent_meanwhile_is_not_held_against_anybody() -> None:
    memory, pile = QueueMemory(100), Pile()
    memory.join(pile)
    for _ in range(50):
        filled(memory, pile, 90)
        assert pile.sizes == [90]
        pile.sizes.clear()


def test_what_is_on_its_way_stays() -> None:
    memory, flying, other = QueueMemory(100), Pile(flying=90), Pile()
    memory.join(flying)
    memory.join(other)
    memory.added(90)
    filled(memory, other, 5, 10)
    assert other.sizes == [10]
    filled(memory, other, 200)
    assert other.sizes == [], "there is no room for it"


def test_who_has_left_no_longer_counts() -> None:
    memory, gone, stays = QueueMemory(100), Pile([80]), Pile()
    memory.join(gone)
    memory.join(stays)
    memory.leave(gone)
    filled(memory, stays, 90)
    assert stays.sizes == [90]


def test_room() -> None:
    memory, pile = QueueMemory(100), Pile()
    memory.join(pile)
    filled(memory, pile, 95)
    assert not memory.is_roomy
    pile.sizes.clear()
    assert memory.is_roomy


@pytest.mark.looptime
async def test_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A queue that gives way although it is far from its own bound: one line in the log, as long as it lasts."""
    memory = QueueMemory(20_000)
    async with Bench(FakePyroscope(otherwise=httpx.ConnectError("refused")), memory=memory) as bench:
        for number in range(40):
            bench.writer.put(profile(b"x" * (2000 - OVERHEAD), f"s{number}", scraped_at=bench.now()))
        assert memory.held <= 20_000
        assert bench.writer.snapshot().overflowing
        assert bench.dropped() == {"QueueFull": bench.writer.snapshot().dropped}
    assert [record.message for record in caplog.records if "full" in record.message] == ["the queue of endpoint default is full"]
