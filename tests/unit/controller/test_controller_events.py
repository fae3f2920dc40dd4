"""Events: one for each moment at which Accepted or Delivering turns bad, or good again."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from test_status_restart import CART, EPOCH, SENT, SHOP, Desk, Objects, observation

from pyroscope_operator.api.kinds import SCRAPE
from pyroscope_operator.controller.events import Flip, flips
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import Delivery

AWAY = Delivery(last_push=EPOCH - 4, waiting="default: Unreachable: connection refused")


def status(**conditions: str) -> dict[str, Any]:
    """`Delivering="False"` → a status with that condition."""
    return {
        "conditions": [
            {"type": kind, "status": value, "reason": f"{kind}{value}", "message": "why"} for kind, value in conditions.items()
        ]
    }


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, status(Accepted="True", Delivering="Unknown", Ready="False"), []),
        ({}, status(Accepted="False"), [("Warning", "AcceptedFalse")]),
        (status(Accepted="True"), status(Accepted="False"), [("Warning", "AcceptedFalse")]),
        (status(Accepted="False"), status(Accepted="True"), [("Normal", "AcceptedTrue")]),
        (status(Accepted="False"), status(Accepted="False"), []),
        (status(Delivering="Unknown"), status(Delivering="True"), []),
        (status(Delivering="Unknown"), status(Delivering="False"), [("Warning", "DeliveringFalse")]),
        (status(Delivering="True"), status(Delivering="False"), [("Warning", "DeliveringFalse")]),
        (status(Delivering="False"), status(Delivering="Unknown"), []),
        (status(Delivering="False"), status(Delivering="True"), [("Normal", "DeliveringTrue")]),
        (status(Ready="True", Scraping="True"), status(Ready="False", Scraping="False"), []),
        (
            status(Accepted="True", Delivering="True"),
            status(Accepted="False", Delivering="False"),
            [("Warning", "AcceptedFalse"), ("Warning", "DeliveringFalse")],
        ),
        ({"conditions": None}, status(Accepted="True"), []),
        ({"conditions": [{}]}, status(Delivering="False"), [("Warning", "DeliveringFalse")]),
    ],
)
def test_flips(before: dict[str, Any], after: dict[str, Any], told: list[tuple[str, str]]) -> None:
    assert [(flip.kind, flip.reason) for flip in flips(before, after)] == told


def test_the_event_says_who_and_why() -> None:
    flip = Flip("Warning", "Delivering", "PushFailing", "x" * 2000)
    made = flip.manifest(SCRAPE, SHOP, "u", "pod-1", EPOCH)
    assert made["involvedObject"]["name"] == "checkout" and made["involvedObject"]["uid"] == "u"
    assert made["lastTimestamp"] == "2027-01-15T08:00:00Z"
    assert len(made["message"]) == 1024, "the API server refuses more"
    other = flip.manifest(SCRAPE, SHOP, "u", "pod-1", EPOCH)
    assert other["metadata"]["name"] != made["metadata"]["name"]


@pytest.mark.parametrize("name", ["a" * 253, "a" * 219 + "-" + "b" * 20, "x." * 126])
def test_the_name_of_an_event_is_valid(name: str) -> None:
    made = Flip("Normal", "Accepted", "Accepted", "").manifest(SCRAPE, ObjectRef("shop", name), "u", "i", EPOCH)["metadata"][
        "name"
    ]
    assert len(made) <= 253 and ".." not in made and "-." not in made


async def test_an_outage_is_told_when_it_begins_and_when_it_ends() -> None:
    objects = Objects()
    objects.put(observation())
    desk = Desk(objects)
    await desk.look()
    assert desk.kube.events == [], "that all is well is no news"
    objects.put(observation(delivery=AWAY))
    await desk.look(20)
    await desk.look(20)
    objects.put(observation())
    await desk.look(20)
    told = [(event["type"], event["reason"], event["message"]) for event in desk.kube.events]
    assert told == [
        ("Warning", "PushFailing", "default: Unreachable: connection refused"),
        ("Normal", "Delivered", "profiles arrive"),
    ]
    assert desk.metrics.registry.get_sample_value("pyroscope_operator_events_total", {"result": "ok"}) == 2


async def test_no_event_without_a_written_status() -> None:
    """Else every look during an outage of the API server would tell the same again."""
    objects = Objects()
    objects.put(observation())
    desk = Desk(objects)
    await desk.look()
    objects.put(observation(delivery=AWAY))
    desk.kube.refuse_call = {"status": 422}
    await desk.look(20)
    assert desk.kube.events == []
    desk.kube.refuse_call = {}
    await desk.look(20)
    assert len(desk.kube.events) == 1


async def test_an_event_that_is_refused_costs_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    objects = Objects()
    desk = Desk(objects)
    desk.kube.refuse_call = {"event": 403}
    bad = Verdict("InvalidSpec", "spec.port: wrong")
    with caplog.at_level(logging.WARNING):
        for ref in (SHOP, CART):
            objects.put(observation(source=ref, delivery=SENT, verdict=bad), ref)
        assert await desk.look() == 2
    assert [r.message for r in caplog.records] == ["can't create an Event: ApiServerRefused: event: the API server answered 403"]
    result = {"result": "ApiServerRefused"}
    assert desk.metrics.registry.get_sample_value("pyroscope_operator_events_total", result) == 2
