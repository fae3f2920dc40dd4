from __future__ import annotations

import copy
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from builders import EPOCH, target
from engine_builder import DOWN, UNTRIED, duplicate, loop, pending, planned, portless, seen

from pyroscope_operator.api.crd import model_schema
from pyroscope_operator.api.status import ScrapeStatus
from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.report import report, settled
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.errors import FetchError
from pyroscope_operator.push.delivery import Delivery
from pyroscope_operator.scrape.health import Health

NOW, LATER = EPOCH, EPOCH + 100.75
T_NOW, T_LATER = "2027-01-15T08:00:00Z", "2027-01-15T08:01:40Z"


def status(given: Observation, previous: dict[str, Any] | None = None, now: float = NOW) -> dict[str, Any]:
    return report(given, previous or {}, now).manifest()


def times(manifest: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["lastTransitionTime"] for c in manifest["conditions"]}


def test_a_whole_status() -> None:
    loops = [loop(), loop(DOWN, "web-1"), loop(UNTRIED, "web-2")]
    plan = planned(loops, pods=5, drops=[portless(), pending()])
    found = status(seen(*loops, plan=plan, delivery=Delivery(last_push=EPOCH + 5)), now=LATER)
    assert {name: value for name, value in found.items() if name != "conditions"} == {
        "observedGeneration": 3,
        "targets": {"pods": 5, "active": 3, "up": 1, "down": 1, "dropped": 2},
        "summary": "1/3",
        "lastScrapeTime": T_NOW,
        "lastPushTime": "2027-01-15T08:00:05Z",
        "failures": [
            {"pod": "web-1", "container": "app", "profile": "memory", "reason": "HTTPStatus", "message": "answered 404"},
        ],
    }
    assert found["conditions"][0] == {
        "type": "Ready",
        "status": "False",
        "observedGeneration": 3,
        "lastTransitionTime": T_LATER,
        "reason": "Pending",
        "message": "2 of 3 scrapes have been tried",
    }
    assert [c["type"] for c in found["conditions"]] == ["Ready", "Accepted", "Discovered", "Scraping", "Delivering"]


@pytest.mark.parametrize("given", [seen(), seen(plan=None), seen(plan=None, verdict=Verdict("InvalidSpec", "because"))])
def test_nothing_is_scraped(given: Observation) -> None:
    found = status(given)
    assert found["summary"] == "0/0"
    assert found["targets"] == {"pods": 0, "active": 0, "up": 0, "down": 0, "dropped": 0}
    assert not {"lastScrapeTime", "lastPushTime"} & found.keys()


class TestTransitionTime:
    def test_kept_while_the_status_is_the_same(self) -> None:
        before = status(seen(loop()))
        after = status(seen(loop(), loop(of="web-1")), before, LATER)
        assert times(after) == times(before)
        assert after != before

    def test_kept_over_a_change_of_reason(self) -> None:
        before = status(seen(loop(), plan=planned([loop()], pods=2, drops=[portless()])))
        after = status(seen(loop(), plan=planned([loop()], duplicates=[duplicate()])), before, LATER)
        assert times(after) == times(before)
        assert after["conditions"][2]["reason"] == "Duplicate"

    def test_moves_with_the_status_of_this_condition_only(self) -> None:
        before = status(seen(loop(), delivery=Delivery(last_push=EPOCH)))
        failing = Delivery(last_push=EPOCH, waiting="refused")
        after = status(seen(loop(), delivery=failing), before, LATER)
        assert times(after) == {**times(before), "Ready": T_LATER, "Delivering": T_LATER}

    def test_to_unknown_and_back_are_changes(self) -> None:
        before = status(seen(loop()))
        suspended = status(seen(plan=None), before, LATER)
        assert times(suspended)["Scraping"] == T_LATER
        assert times(status(seen(loop()), suspended, LATER + 60))["Scraping"] == "2027-01-15T08:02:40Z"

    def test_a_restart_of_the_operator_takes_it_over(self) -> None:
        written = {"conditions": [{"type": "Accepted", "status": "True", "lastTransitionTime": "2020-02-29T12:00:00Z"}]}
        assert times(status(seen(loop()), written))["Accepted"] == "2020-02-29T12:00:00Z"
        assert times(status(seen(loop()), written))["Scraping"] == T_NOW

    @pytest.mark.parametrize(
        "condition",
        [
            {},
            {"status": "True"},
            {"status": "True", "lastTransitionTime": None},
            {"status": "True", "lastTransitionTime": ""},
            {"status": "True", "lastTransitionTime": "yesterday"},
            {"status": "True", "lastTransitionTime": "2020-02-29T12:00:00"},
            {"status": "True", "lastTransitionTime": "2020-02-29T12:00:00+99:99"},
            {"status": "True", "lastTransitionTime": 7},
        ],
    )
    def test_one_that_can_not_be_read_is_written_anew(self, condition: dict[str, Any]) -> None:
        written = {"conditions": [{"type": "Accepted", **condition}]}
        assert times(status(seen(loop()), written))["Accepted"] == T_NOW

    @pytest.mark.parametrize("written", [{}, {"conditions": None}, {"conditions": []}, {"conditions": [{"type": "Foreign"}]}])
    def test_no_conditions_before(self, written: dict[str, Any]) -> None:
        assert set(times(status(seen(loop()), written)).values()) == {T_NOW}


def test_at_most_ten_failures_the_first_ones() -> None:
    loops = [loop(DOWN, f"web-{n:02}") for n in range(25)]
    found = status(seen(*loops[::-1]))
    assert [failure["pod"] for failure in found["failures"]] == [f"web-{n:02}" for n in range(10)]
    assert found["targets"]["down"] == 25


def test_the_failure_of_a_static_target_has_no_container() -> None:
    (failure,) = status(seen(loop(DOWN, target("", container="", address="db:6060"))))["failures"]
    assert failure == {"pod": "db:6060", "profile": "memory", "reason": "HTTPStatus", "message": "answered 404"}


def test_the_last_success_counts() -> None:
    early = Health().succeeded(EPOCH - 60, EPOCH - 59, 1)
    failed = Health().succeeded(EPOCH - 30, EPOCH - 29, 1).failed(EPOCH, EPOCH, FetchError("Timeout", "no answer"))
    found = report(seen(loop(early), loop(failed, "web-1"), loop(UNTRIED, "web-2")), {}, NOW)
    assert found.last_scrape_time == datetime.fromtimestamp(EPOCH - 30, UTC)


class TestSettled:
    @pytest.mark.parametrize("name", ["lastScrapeTime", "lastPushTime"])
    def test_times_alone_are_no_news(self, name: str) -> None:
        written = status(seen(loop(), delivery=Delivery(last_push=EPOCH)))
        assert settled(written, {**written, name: "2030-01-01T00:00:00Z"})
        assert settled(written, {k: v for k, v in written.items() if k != name})

    def test_a_later_look_at_the_same_is_settled(self) -> None:
        written = status(seen(loop(), loop(DOWN, "web-1")))
        later = Health().succeeded(LATER, LATER + 9, 77)
        assert settled(written, status(seen(loop(later), loop(DOWN, "web-1")), written, LATER + 10))

    @pytest.mark.parametrize(
        "given",
        [
            pytest.param(seen(loop(), generation=4), id="generation"),
            pytest.param(seen(loop(DOWN)), id="down"),
            pytest.param(seen(loop(), loop(of="web-1")), id="another target"),
            pytest.param(seen(loop(), plan=planned([loop()], pods=2, drops=[pending()])), id="another pod"),
            pytest.param(seen(plan=None), id="suspended"),
        ],
    )
    def test_news(self, given: Observation) -> None:
        written = status(seen(loop()))
        assert not settled(written, status(given, written, LATER))

    def test_never_written(self) -> None:
        assert not settled({}, status(seen()))


LONG = "x" * 5000


@pytest.mark.parametrize(
    "given",
    [
        seen(),
        seen(plan=None),
        seen(loop(), delivery=Delivery(last_push=EPOCH + 0.5)),
        seen(*(loop(DOWN, f"web-{n}") for n in range(30))),
        seen(loop(DOWN, target("", container="", address=f"{LONG}:1")), verdict=Verdict("Accepted", LONG)),
        seen(loop(Health().failed(EPOCH, EPOCH, FetchError("Timeout", LONG)), "web-1")),
        seen(loop(), delivery=Delivery(waiting=LONG)),
    ],
)
def test_the_api_server_takes_every_status(given: Observation) -> None:
    _check(status(given), model_schema(ScrapeStatus), "status")


def _check(value: Any, schema: dict[str, Any], path: str) -> None:
    """As much of JSON schema as the status needs; a keyword that it doesn't know fails."""
    known = {
        "type",
        "description",
        "default",
        "properties",
        "required",
        "items",
        "enum",
        "pattern",
        "format",
        "minimum",
        "maximum",
    }
    known |= {"maxLength", "minLength", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"}
    assert schema.keys() <= known, path
    kinds: dict[str, type] = {"object": dict, "array": list, "string": str, "integer": int}
    assert isinstance(value, kinds[schema["type"]]), path
    assert value in schema.get("enum", [value]), path
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= value.keys() <= schema["properties"].keys(), path
        for name, child in value.items():
            _check(child, schema["properties"][name], f"{path}.{name}")
    elif isinstance(value, list):
        assert len(value) <= schema["maxItems"], path
        keys = schema.get("x-kubernetes-list-map-keys")
        assert not keys or len({tuple(one.get(k) for k in keys) for one in value}) == len(value), path
        for child in value:
            _check(child, schema["items"], f"{path}[]")
    elif isinstance(value, str):
        assert schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 2**20), path
        assert re.search(schema.get("pattern", ""), value), path
        assert schema.get("format") != "date-time" or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value), path
    else:
        assert schema.get("minimum", 0) <= value <= schema.get("maximum", 2**63), path


@pytest.mark.parametrize(
    "change",
    [{"summary": 1}, {"foreign": 1}, {"targets": {"pods": -1}}, {"failures": [{"message": "no reason"}]}, {"conditions": [{}]}],
)
def test_the_check_itself_finds_errors(change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        _check({**copy.deepcopy(status(seen(loop()))), **change}, model_schema(ScrapeStatus), "status")
