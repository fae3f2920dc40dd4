"""Sampling and limits: which targets, how stable, and what those left out are told."""

from __future__ import annotations

import random
from typing import Any

import pytest
from builders import MIB, container, only, pod, pods_in, spec, target, wanted
from hypothesis import given
from hypothesis import strategies as st

from pyroscope_operator.discovery.choice import Candidate, Choice
from pyroscope_operator.discovery.discovery import Discovery
from pyroscope_operator.discovery.label_limit import labels_sent
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.model.ref import ObjectRef

CHECKOUT, OTHER = ObjectRef("shop", "checkout"), ObjectRef("shop", "other")
HALF = {"sampling": {"percent": 50}}
TEN = {"sampling": {"maxTargets": 10}}


def choice(source: ObjectRef = CHECKOUT, cap: int | None = None, **fields: Any) -> Choice:
    return Choice(source, spec(**fields), cap)


def candidate(of: Choice, number: int) -> Candidate:
    found = target(f"web-{number}")
    return Candidate(found, of.order(found, 0), ())


def names(found: Choice) -> set[str]:
    return {one.target.pod for one in found.chosen()}


def filled(numbers: list[int], source: ObjectRef = CHECKOUT, cap: int | None = None, **fields: Any) -> Choice:
    made = choice(source, cap, **fields)
    for number in numbers:
        made.replace((), [candidate(made, number)])
    return made


def test_scores_are_the_same_in_every_process() -> None:
    made = choice()
    assert [candidate(made, number).order[0] for number in range(2)] == [16662261022628295827, 12502101781908049736]


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "targetLimit": st.integers(1, 6),
        "sampling": st.one_of(
            st.builds(lambda n: {"percent": n}, st.integers(1, 100)), st.builds(lambda n: {"maxTargets": n}, st.integers(1, 6))
        ),
    },
)
NUMBERS = st.lists(st.integers(0, 40), unique=True, max_size=25)


@given(NUMBERS, LIMITS, st.randoms())
def test_the_order_in_which_targets_come_has_no_effect(numbers: list[int], fields: dict[str, Any], chance: random.Random) -> None:
    shuffled = chance.sample(numbers, len(numbers))
    assert names(filled(numbers, **fields)) == names(filled(shuffled, **fields))


@given(NUMBERS, st.integers(41, 60), LIMITS)
def test_one_that_comes_takes_the_place_of_one_at_most_and_gives_it_back(
    numbers: list[int], extra: int, fields: dict[str, Any]
) -> None:
    made = filled(numbers, **fields)
    before, one = names(made), candidate(made, extra)
    moves = made.replace((), [one])
    after = names(made)
    assert {other.target.pod for other in moves.joined} == after - before
    assert {other.target.pod for other in moves.left} == before - after
    assert after - before <= {one.target.pod}
    assert len(before - after) <= len(after - before)
    back = made.replace([one], ())
    assert names(made) == before
    assert (back.joined, back.left) == (moves.left, moves.joined)


@given(NUMBERS, LIMITS)
def test_no_place_stays_empty(numbers: list[int], fields: dict[str, Any]) -> None:
    """As many are chosen as the limits allow, and of a share each by itself."""
    sampling = fields.get("sampling", {})
    alone = [number for number in numbers if names(filled([number], **fields))]
    assert len(alone) == len(numbers) or "percent" in sampling
    most = min(len(alone), fields.get("targetLimit", 99), sampling.get("maxTargets", 99))
    assert len(names(filled(numbers, **fields))) == most


@given(NUMBERS, LIMITS)
def test_one_that_is_replaced_by_its_like_moves_no_other(numbers: list[int], fields: dict[str, Any]) -> None:
    made = filled(numbers, **fields)
    for one in made.chosen():
        again = Candidate(one.target, one.order, ())
        assert made.replace([one], [again]) == ([again], [one])


def test_a_share_is_about_as_large_as_it_says() -> None:
    for percent in (1, 10, 50, 99):
        assert abs(len(names(filled(list(range(2000)), sampling={"percent": percent}))) - 20 * percent) < 70
    assert len(names(filled(list(range(100)), sampling={"percent": 100}))) == 100


def test_a_larger_share_or_number_has_all_of_the_smaller_one() -> None:
    numbers = list(range(100))
    for field, small, large in (("percent", 20, 60), ("maxTargets", 20, 60)):
        assert names(filled(numbers, sampling={field: small})) < names(filled(numbers, sampling={field: large}))


def test_each_object_makes_its_own_choice() -> None:
    numbers = list(range(100))
    common = names(filled(numbers, **HALF)) & names(filled(numbers, OTHER, **HALF))
    assert 10 < len(common) < 40


def test_half_of_the_pods_replaced() -> None:
    """Of ten chosen of a hundred, about half go with their pods, and the others stay."""
    numbers = list(range(100))
    made = filled(numbers, **TEN)
    before = names(made)
    for number in range(0, 100, 2):
        made.replace([candidate(made, number)], [candidate(made, 1000 + number)])
    staying = {name for name in before if int(name.removeprefix("web-")) % 2}
    assert len(names(made)) == 10
    assert len(staying & names(made)) >= len(staying) - 3


@pytest.mark.parametrize(
    ("cap", "fields", "chosen"),
    [
        (None, {}, 20),
        (None, {"targetLimit": 5}, 5),
        (5, {}, 5),
        (5, {"targetLimit": 7}, 5),
        (7, {"targetLimit": 5}, 5),
        (5, {"targetLimit": 5}, 5),
        (5, {"sampling": {"maxTargets": 3}}, 3),
        (3, {"sampling": {"maxTargets": 5}}, 3),
        (3, {"sampling": {"percent": 100}}, 3),
    ],
)
def test_the_lower_one_wins(cap: int | None, fields: dict[str, Any], chosen: int) -> None:
    assert len(names(filled(list(range(20)), cap=cap, **fields))) == chosen


def plan(count: int, cap: int | None = None, **fields: Any) -> ObjectPlan:
    """What an object leads to with so many pods."""
    return plan_of([pod(f"web-{number}", ip=f"10.0.0.{number}") for number in range(count)], cap, **fields)


def plan_of(pods: list[Pod], cap: int | None = None, **fields: Any) -> ObjectPlan:
    one = wanted(**{"profilingConfig": only("memory"), **fields})
    discovery = Discovery(pods_in(pods), MIB, cap)
    discovery.want({one.ref: one})
    return discovery[one.ref]


FIX = "select fewer pods, set a lower spec.sampling, or"


@pytest.mark.parametrize(
    ("cap", "fields", "left", "reason", "message"),
    [
        (
            None,
            {"targetLimit": 5},
            7,
            "LimitExceeded",
            f"above spec.targetLimit: 5 of 12 targets are scraped: {FIX} raise it",
        ),
        (
            4,
            {"targetLimit": 5},
            8,
            "LimitExceeded",
            "above the operator's limit for one object (setting targetLimit): 4 of 12 targets are scraped: "
            f"{FIX} ask the administrator",
        ),
        (
            None,
            {"sampling": {"maxTargets": 5}},
            7,
            "NotSampled",
            "not sampled: spec.sampling.maxTargets is 5, 12 targets were found",
        ),
    ],
)
def test_what_those_left_out_are_told(cap: int | None, fields: dict[str, Any], left: int, reason: str, message: str) -> None:
    made = plan(12, cap, **fields)
    assert (made.pods, len(made.targets), len(made.scrapes)) == (12, 12 - left, 12 - left)
    assert [(drop.reason, drop.message) for drop in made.drops] == [(reason, message)] * left
    assert {drop.pod.name for drop in made.drops} | {one.pod for one in made.targets} == {f"web-{n}" for n in range(12)}


def test_a_share_tells_those_left_out() -> None:
    made = plan(40, **HALF)
    assert 5 < len(made.targets) < 35
    told = {(drop.reason, drop.message) for drop in made.drops}
    assert told == {("NotSampled", "not sampled: spec.sampling.percent is 50")}


def test_sampling_comes_first_then_the_limit() -> None:
    made = plan(12, targetLimit=2, sampling={"maxTargets": 5})
    assert len(made.targets) == 2
    reasons = [drop.reason for drop in made.drops]
    assert (reasons.count("LimitExceeded"), reasons.count("NotSampled")) == (3, 7)
    assert "2 of 5 targets are scraped" in next(drop.message for drop in made.drops if drop.reason == "LimitExceeded")
    assert {drop.reason for drop in plan(12, targetLimit=5, sampling={"maxTargets": 2}).drops} == {"NotSampled"}


def test_static_targets_count_and_are_called_by_their_address() -> None:
    static = [{"address": f"db-{number}:6060"} for number in range(3)]
    made = plan_of([pod()], selector={}, staticTargets=static, targetLimit=1)
    known = {"web-0", "db-0:6060", "db-1:6060", "db-2:6060"}
    (chosen,) = made.targets
    assert {drop.pod.name for drop in made.drops} == known - {chosen.pod or chosen.address}


def test_a_limit_that_is_not_exceeded_says_nothing() -> None:
    made = plan(5, targetLimit=5)
    assert (len(made.targets), made.drops) == (5, [])


MANY = {"a": "1", "b": "2", "c": "3"}


class TestLabelLimit:
    PODS = (pod("few", ip="10.0.0.1"), pod("many", ip="10.0.0.2", labels=MANY), pod("empty", ip="10.0.0.3", labels={"a": ""}))

    @pytest.mark.parametrize(
        ("types", "count"), [(("memory",), 8), (("goroutine",), 7), (("processCPU",), 7), (("memory", "processCPU"), 8)]
    )
    def test_what_counts(self, types: tuple[str, ...], count: int) -> None:
        """Six labels, `__name__`, and `__delta__` where it is sent."""
        made = plan_of([pod()], profilingConfig=only(*types))
        assert labels_sent(made.targets[0]) == count == max(len(scrape.labels) for scrape in made.scrapes)
        assert not plan_of([pod()], profilingConfig=only(*types), labelLimit=count).drops
        assert len(plan_of([pod()], profilingConfig=only(*types), labelLimit=count - 1).drops) == 1

    def test_targets_with_more_are_dropped(self) -> None:
        made = plan_of(list(self.PODS), podTargetLabels=["a", "b", "c"], labelLimit=10)
        assert [one.pod for one in made.targets] == ["empty", "few"]
        (dropped,) = made.drops
        assert (dropped.pod, dropped.reason) == (ObjectRef("shop", "many"), "LimitExceeded")
        assert dropped.message.startswith("its series would have 11 labels, spec.labelLimit is 10: name fewer podTargetLabels")

    def test_relabelings_count(self) -> None:
        drop = {"action": "labeldrop", "regex": "[abc]"}
        fields: dict[str, Any] = {"podTargetLabels": ["a", "b", "c"], "labelLimit": 8}
        assert not plan_of([self.PODS[1]], relabelings=[drop], **fields).drops
        assert plan_of([self.PODS[1]], **fields).drops

    def test_they_take_no_place_of_the_target_limit(self) -> None:
        made = plan_of(list(self.PODS), podTargetLabels=["a", "b", "c"], labelLimit=8, targetLimit=2)
        assert len(made.targets) == 2

    def test_static_targets(self) -> None:
        static = [{"address": "db:1", "labels": MANY}, {"address": "db:2"}]
        made = plan_of([], staticTargets=static, selector=None, labelLimit=7)
        assert [one.address for one in made.targets] == ["db:2"]
        assert [(drop.pod.name, drop.reason) for drop in made.drops] == [("db:1", "LimitExceeded")]

    def test_a_target_without_profiles_has_no_series(self) -> None:
        made = plan_of([pod()], profilingConfig=only(), labelLimit=1)
        assert (len(made.targets), made.drops) == (1, [])


def test_a_pod_without_a_port_takes_no_place() -> None:
    made = plan_of([pod("a", "shop", container()), pod("b")], targetLimit=1)
    assert [one.pod for one in made.targets] == ["b"]
    assert [drop.reason for drop in made.drops] == ["PortNotFound"]


def test_a_chosen_target_that_another_object_scrapes_keeps_its_place() -> None:
    """What other objects do has no effect on the choice."""
    pods = [pod(f"web-{number}", ip=f"10.0.0.{number}") for number in range(10)]
    first = wanted("first", created="2026-01-01T00:00:00Z", profilingConfig=only("memory"), targetLimit=4)
    second = wanted("second", created="2026-01-02T00:00:00Z", profilingConfig=only("memory"), targetLimit=7)
    discovery = Discovery(pods_in(pods), MIB)
    discovery.want({second.ref: second})
    alone = {scrape.target.pod for scrape in discovery[second.ref].scrapes}
    discovery.want({first.ref: first, second.ref: second})
    mine = discovery[second.ref]
    assert {one.pod for one in mine.targets} == alone
    assert len(discovery[first.ref].scrapes) == 4
    assert {one.scrape.target.pod for one in mine.duplicates} == alone & {one.pod for one in discovery[first.ref].targets}
    assert len(mine.scrapes) + len(mine.duplicates) == 7
