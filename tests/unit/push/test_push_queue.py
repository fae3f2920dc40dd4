"""The bounded queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from push_fakes import EPOCH, SHOP, entry

from pyroscope_operator.push.batch import Entry
from pyroscope_operator.push.queue import Queue

SIZE = entry(b"x").size


def nobody(_: Entry) -> bool:
    return False


def take(
    queue: Queue, count: int = 100, size: int = 1 << 20, aside: Callable[[Entry], bool] = nobody, not_before: float = 0
) -> tuple[list[Entry], list[Entry]]:
    return queue.take(count, size, aside=aside, not_before=not_before)


def filled(entries: Iterable[Entry], room: int = 100) -> Queue:
    queue = Queue(room * SIZE)
    for one in entries:
        assert not queue.put(one)
    return queue


def some(count: int) -> list[Entry]:
    return [entry(b"x") for _ in range(count)]


def test_first_in_first_out_and_bounded_batches() -> None:
    all_ = some(5)
    queue = filled(all_)
    assert queue.head is all_[0]
    assert take(queue, count=2)[0] == all_[:2]
    assert take(queue, size=2 * SIZE + 1)[0] == all_[2:4]
    assert take(queue, size=1)[0] == all_[4:], "a single one may be larger"
    assert take(queue) == ([], [])
    assert queue.head is None


def test_a_full_queue_drops_the_oldest() -> None:
    all_ = some(4)
    queue = filled(all_[:3], room=3)
    assert queue.put(all_[3]) == [all_[0]]
    assert take(queue)[0] == all_[1:]
    large = entry(b"x" * (SIZE // 2))
    queue = filled(all_[:3], room=3)
    assert queue.put(large) == all_[:2]
    assert queue.bytes == SIZE + large.size


def test_what_never_fits_drops_itself_only() -> None:
    queue = filled(some(2), room=2)
    giant = entry(b"x" * (3 * SIZE))
    assert queue.put(giant) == [giant]
    assert len(queue) == 2


def test_entries_on_their_way_use_room_and_are_not_dropped() -> None:
    all_ = some(4)
    queue = filled(all_[:3], room=3)
    flying, _ = take(queue, count=2)
    assert (len(queue), queue.bytes, queue.waiting, queue.waiting_bytes) == (3, 3 * SIZE, 1, SIZE)
    assert queue.put(all_[3]) == [all_[2]]
    queue.give_back(flying)
    assert queue.bytes == 3 * SIZE
    assert take(queue)[0] == [*flying, all_[3]]


def test_all_on_their_way() -> None:
    queue = filled(some(2), room=2)
    flying, _ = take(queue)
    late = entry(b"x")
    assert queue.put(late) == [late]
    queue.done(flying)
    assert (len(queue), queue.bytes) == (0, 0)
    assert queue.put(late) == []


def test_give_back_to_the_front_or_behind() -> None:
    all_ = some(4)
    queue = filled(all_)
    flying, _ = take(queue, count=2)
    queue.give_back(flying[:1])
    queue.give_back(flying[1:], front=False)
    assert take(queue)[0] == [all_[0], all_[2], all_[3], all_[1]]


def service(name: str) -> Callable[[Entry], bool]:
    return lambda one: one.series["service_name"] == name


def test_a_series_stands_aside_and_comes_back() -> None:
    a1, b1, a2, a3, b2 = all_ = [entry(b"x", service=name) for name in "abaab"]
    queue = filled(all_)
    assert take(queue, count=2, aside=service("a"))[0] == [b1, b2]
    assert (queue.waiting, queue.waiting_bytes, queue.aside, len(queue)) == (0, 0, 3, 5)
    queue.done([b1, b2])
    assert queue.bytes == a1.size * 3
    assert queue.take_aside(not_before=0) == ([a1], [])
    assert (queue.aside, queue.bytes) == (2, a1.size * 3)
    queue.set_aside([a1])
    assert queue.take_aside(not_before=0)[0] == [a1], "the order of a series is kept"
    queue.done([a1])
    b3 = entry(b"x", service="b")
    queue.put(b3)
    queue.release(a1.series)
    assert queue.sources() == {SHOP}
    assert take(queue)[0] == [a2, a3, b3]
    assert (queue.aside, queue.bytes, queue.waiting_bytes) == (0, a1.size * 3, 0)


def test_series_that_stand_aside_take_turns() -> None:
    all_ = [entry(b"x", service=name) for name in "aabbc"]
    queue = filled(all_)
    assert take(queue, aside=lambda _: True)[0] == []
    tried = []
    for _ in range(6):
        ((one,), _) = queue.take_aside(not_before=0)
        tried.append(one.series["service_name"])
        queue.set_aside([one])
    assert "".join(tried) == "abcabc"


def test_several_of_a_series_stand_aside_in_their_order() -> None:
    all_ = [entry(b"x") for _ in range(3)]
    queue = filled(all_)
    flying, _ = take(queue, count=2)
    queue.set_aside(flying)
    take(queue, aside=lambda _: True)
    assert [queue.take_aside(not_before=0)[0][0] for _ in all_] == all_
    assert queue.take_aside(not_before=0) == ([], [])


def test_after_a_refusal_the_youngest_is_next_and_what_was_refused_stays_aside() -> None:
    oldest, middle, youngest = all_ = some(3)
    queue = filled(all_)
    take(queue, aside=lambda _: True)
    assert queue.take_aside(not_before=0)[0] == [oldest]
    refused = replace(oldest, retries=1)
    queue.set_aside([refused])
    assert queue.take_aside(not_before=0)[0] == [youngest]
    queue.done([youngest])
    queue.release(oldest.series)
    assert (queue.waiting, queue.aside, queue.bytes) == (1, 1, 2 * oldest.size)
    assert take(queue)[0] == [middle]
    assert queue.take_aside(not_before=0)[0] == [refused]


def test_those_aside_make_room_first() -> None:
    all_ = [entry(b"x", service=name) for name in "bab"]
    queue = filled(all_, room=3)
    flying, _ = take(queue, count=2, aside=service("a"))
    assert flying == [all_[0], all_[2]]
    queue.give_back(flying)
    more = [entry(b"x", service="b") for _ in range(2)]
    assert queue.put(more[0]) == [all_[1]]
    assert queue.put(more[1]) == [all_[0]]


def test_those_aside_expire_and_are_cleared() -> None:
    ages = [100.0, 100.0, 1.0, 1.0]
    all_ = [entry(b"x", scraped_at=EPOCH - age) for age in ages]
    queue = filled(all_)
    take(queue, aside=lambda _: True)
    assert queue.take_aside(not_before=EPOCH - 50) == ([all_[2]], all_[:2])
    assert queue.clear() == [all_[3]]
    assert (len(queue), queue.bytes) == (1, all_[2].size)


def test_old_ones_are_handed_out_wherever_they_are() -> None:
    ages = [100.0, 1.0, 100.0, 2.0]
    all_ = [entry(b"x", scraped_at=EPOCH - age) for age in ages]
    queue = filled(all_)
    assert take(queue, not_before=EPOCH - 50) == ([all_[1], all_[3]], [all_[0], all_[2]])
    assert len(queue) == 2


def test_sources_and_clear() -> None:
    all_ = some(2)
    queue = filled(all_, room=5)
    assert queue.sources() == {SHOP}
    assert queue.half_empty
    assert queue.clear() == all_
    assert (queue.bytes, queue.sources()) == (0, set())
