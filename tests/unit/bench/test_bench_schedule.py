"""Arrivals against the pinned schedule."""

from __future__ import annotations

import pytest

from bench.schedule import Series, pinned, punctuality, quantile, static
from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery.targets import of_static
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.scrape.slots import Slots


def _series(*at: float, offset: float = 3.0) -> Series:
    return Series(offset, 15.0, at)


def test_lateness_is_counted_from_the_slot() -> None:
    found = punctuality([_series(1503.001, 1518.004, 1533.0)], 1500, 1545)
    assert (found.slots, found.missed, found.doubled) == (3, 0, 0)
    assert (found.p50, found.longest, found.earliest) == pytest.approx((0.001, 0.004, 0.0))


def test_a_slot_without_an_arrival_is_missed() -> None:
    found = punctuality([_series(1503.0, 1533.0), _series()], 1500, 1545)
    assert (found.slots, found.missed) == (6, 4)


def test_two_arrivals_in_a_slot_do_not_hide_a_missed_one() -> None:
    found = punctuality([_series(1503.0, 1504.0, 1533.0)], 1500, 1545)
    assert (found.missed, found.doubled) == (1, 1)


def test_an_arrival_just_before_its_slot_is_early_and_not_very_late() -> None:
    found = punctuality([_series(1502.95, 1518.1)], 1500, 1530)
    assert (found.missed, found.earliest, found.longest) == pytest.approx((0, -0.05, 0.1))


@pytest.mark.parametrize(
    ("begin", "end", "slots"),
    [(1500, 1503, 0), (1500, 1503.5, 1), (1503, 1518, 1), (1503.5, 1518, 0), (1503.5, 1518.5, 1)],
)
def test_slots_of_the_window_are_those_that_begin_in_it(begin: float, end: float, slots: int) -> None:
    found = punctuality([_series(1503.1, 1518.1)], begin, end)
    assert (found.slots, found.missed) == (slots, 0)


def test_what_comes_after_the_window_may_be_for_a_slot_in_it() -> None:
    found = punctuality([_series(1509.0)], 1500, 1504)
    assert (found.slots, found.missed, found.longest) == (1, 0, 6.0)


def test_nothing_at_all() -> None:
    found = punctuality([], 0, 100)
    assert (found.slots, found.p99, found.longest) == (0, 0.0, 0.0)


@pytest.mark.parametrize(("part", "wanted"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1), (0.991, 100)])
def test_quantile(part: float, wanted: int) -> None:
    assert quantile(range(1, 101), part) == wanted


def test_offsets_are_those_of_the_operator() -> None:
    spec = PyroscopeScrapeSpec.model_validate({"staticTargets": [{"address": "127.0.0.1:6060"}]})
    (target,) = of_static(spec, ObjectRef("somewhere", "else")).targets
    assert pinned(static("127.0.0.1:6060"), 15.0) == Slots(15.0, target.offset(15.0)).start_of(0)
    slots = Slots(15.0, target.offset(15.0))
    slot = slots.after(1_800_000_000.0)
    assert slots.start_of(slot) == pinned(target, 15.0) + 15.0 * slot
