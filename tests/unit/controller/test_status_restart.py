"""Status after a restart of the operator, and when something goes wrong with one object."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from controller_fakes import FakeKube

from pyroscope_operator.controller.events import EventRecorder
from pyroscope_operator.controller.status import StatusWriter
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.engine.write_conditions import WriteObservation
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import ProfileRequest, Scrape, Target
from pyroscope_operator.push.delivery import Delivery
from pyroscope_operator.scrape.health import Health
from pyroscope_operator.scrape.pool import LoopState

SHOP, CART = ObjectRef("shop", "checkout"), ObjectRef("shop", "cart")
TARGET = Target("static", "shop", "", "", "http", "10.0.0.1:6060", labels=Labels({"service_name": "x"}))
GOROUTINE = ProfileRequest("goroutine", "goroutine", "/debug/pprof/goroutine", None, cumulative=False, is_delta_label=False)
EPOCH = 1_800_000_000.0
UP = Health(up=True, last_scrape=EPOCH - 5, last_success=EPOCH - 5, scrapes=1)
SENT = Delivery(last_push=EPOCH - 4)


def observation(
    health: Health = UP,
    delivery: Delivery = SENT,
    generation: int = 1,
    source: ObjectRef = SHOP,
    verdict: Verdict = Verdict("Accepted", "fine"),  # noqa: B008 - frozen
) -> Observation:
    scrape = Scrape(source, TARGET, GOROUTINE, 15.0, 15.0, 1 << 20)
    plan = ObjectPlan(targets=[TARGET], scrapes=[scrape])
    return Observation(generation, verdict, plan, [LoopState(scrape, health, 0.0)], delivery)


@dataclass
class Objects:
    """An engine that has seen what the test says."""

    store: Store = field(default_factory=lambda: Store(Metrics()))
    seen: dict[ObjectRef, Observation] = field(default_factory=dict)

    def observation(self, ref: ObjectRef) -> Observation | None:
        return self.seen.get(ref)

    def write_observations(self) -> dict[ObjectRef, WriteObservation]:
        return {}

    def put(self, seen: Observation, ref: ObjectRef = SHOP, status: dict[str, Any] | None = None) -> None:
        self.seen[ref] = seen
        self.store.put_object(ScrapeObject(ref, f"uid of {ref}", seen.generation, "", None, status=status or {}))


class Desk:
    """A writer that has just been started, over these objects."""

    def __init__(self, objects: Objects, now: float = EPOCH) -> None:
        self.kube, self.metrics, self.now = FakeKube(), Metrics(), now
        self.writer = StatusWriter(
            self.kube,
            objects,  # type: ignore[arg-type]
            self.metrics,
            EventRecorder(self.kube, self.metrics, "test", self.clock),
            interval=10.0,
            clock=self.clock,
        )

    def clock(self) -> float:
        return self.now

    async def look(self, after: float = 0.0) -> int:
        """Returns how many statuses have been written in all."""
        self.now += after
        await self.writer.write_due()
        return len(self.kube.statuses)


async def before_restart() -> dict[str, Any]:
    """The status of an object for which all is well."""
    objects = Objects()
    objects.put(observation())
    desk = Desk(objects, EPOCH - 1000)
    assert await desk.look() == 1
    status = desk.kube.statuses[0][2]
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
    return status


async def test_a_restart_flips_nothing() -> None:
    """Until every scrape was tried and delivery is known, the status of before says more than "Pending"."""
    status = await before_restart()
    objects = Objects()
    objects.put(observation(Health(), Delivery()), status=status)
    desk = Desk(objects)
    for _ in range(15):
        assert await desk.look(1) == 0
    objects.put(observation(UP, Delivery()))
    assert await desk.look(1) == 0
    later = Health(up=True, last_scrape=EPOCH + 15, last_success=EPOCH + 15, scrapes=1)
    objects.put(observation(later, Delivery(last_push=EPOCH + 16)))
    await desk.look(1)
    times = {c["type"]: c["lastTransitionTime"] for c in status["conditions"]}
    for _, _, written in desk.kube.statuses:
        assert {c["type"]: c["lastTransitionTime"] for c in written["conditions"]} == times


async def test_after_a_restart_a_failure_is_told_at_once() -> None:
    status = await before_restart()
    objects = Objects()
    objects.put(observation(Health(up=False, reason="Timeout", message="x"), SENT), status=status)
    assert await Desk(objects).look(1) == 1


async def test_a_restart_is_no_excuse_for_long() -> None:
    status = await before_restart()
    objects = Objects()
    objects.put(observation(Health(), Delivery()), status=status)
    desk = Desk(objects)
    assert await desk.look(59) == 0
    assert await desk.look(2) == 1


@pytest.mark.parametrize("status", [{}, {"observedGeneration": 1}])
async def test_an_object_that_is_new_or_changed_is_told_of_at_once(status: dict[str, Any]) -> None:
    objects = Objects()
    objects.put(observation(Health(), Delivery(), generation=2), status=status)
    assert await Desk(objects).look(1) == 1


async def test_a_wall_clock_that_is_set_back_does_not_silence_the_status() -> None:
    objects = Objects()
    objects.put(observation())
    desk = Desk(objects)
    assert await desk.look() == 1
    objects.put(observation(Health(up=False, reason="Timeout", message="x")))
    assert await desk.look(-86_400) == 2


async def test_trouble_with_one_object_is_not_the_trouble_of_others(caplog: pytest.LogCaptureFixture) -> None:
    objects = Objects()
    objects.put(observation(Health(up=False, reason="no reason: a bug", message="x")), SHOP)
    objects.put(observation(source=CART), CART)
    desk = Desk(objects)
    assert await desk.look() == 1
    assert desk.kube.statuses[0][0] == CART
    for _ in range(8):
        await desk.look(1)
    assert len([record for record in caplog.records if record.exc_info]) == 1, "once per interval at most"


@pytest.mark.parametrize("error", [404, 409])
async def test_an_object_that_is_gone_is_not_tried_at_every_look(error: int) -> None:
    objects = Objects()
    objects.put(observation())
    desk = Desk(objects)
    desk.kube.refuse = error
    for _ in range(21):
        await desk.look(1)
    assert len(desk.kube.calls) == 3


@pytest.mark.looptime
async def test_one_call_is_enough_to_notice_an_outage() -> None:
    objects = Objects()
    for i in range(10):
        ref = ObjectRef("shop", f"o{i}")
        objects.put(observation(source=ref), ref)
    desk = Desk(objects)
    desk.kube.away = True
    task = asyncio.create_task(desk.writer.run())
    await asyncio.sleep(1.05)
    task.cancel()
    await asyncio.wait([task])
    assert desk.kube.calls == ["status"]


async def test_a_new_object_does_not_wait_for_the_interval_of_the_deleted_one() -> None:
    objects = Objects()
    objects.put(observation())
    desk = Desk(objects)
    assert await desk.look() == 1
    del objects.seen[SHOP]
    objects.store.remove_object(SHOP)
    assert await desk.look(1) == 1
    objects.put(observation())
    assert await desk.look(1) == 2


@pytest.mark.parametrize("error", [400, 403, 413, 422])
async def test_an_object_whose_status_is_refused_keeps_no_other_from_its_own(
    error: int, caplog: pytest.LogCaptureFixture
) -> None:
    objects = Objects()
    for ref in (SHOP, CART):
        objects.put(observation(source=ref), ref)
    desk = Desk(objects)
    desk.kube.refuse_object = {SHOP: error}
    for _ in range(31):
        await desk.look(1)
    assert [ref for ref, _, _ in desk.kube.statuses] == [CART]
    assert desk.kube.calls.count("status") == 1 + 4, "the other one is tried once per interval"
    assert [record.message for record in caplog.records].count(
        f"can't write status: ApiServerRefused: status: the API server answered {error}"
    ) == 1
    desk.kube.refuse_object = {}
    await desk.look(10)
    assert [ref for ref, _, _ in desk.kube.statuses] == [CART, SHOP]
