"""PyroscopeWrites come and go as PyroscopeScrapes do: store, sweep, status and Events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from builders import manifest
from controller_fakes import FakeKube, sweep_of
from write_builder import write

from pyroscope_operator.api.kinds import SCRAPE, WRITE
from pyroscope_operator.controller.events import EventRecorder
from pyroscope_operator.controller.operator import _require_crds
from pyroscope_operator.controller.status import StatusWriter
from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.engine.verdict import ACCEPTED
from pyroscope_operator.engine.write_conditions import WriteObservation
from pyroscope_operator.errors import ApiError, ClusterError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.endpoint import EndpointKey
from pyroscope_operator.push.writer import WriterSnapshot

MAIN = ObjectRef("shop", "main")


def snapshot(sent: int = 5, failing_since: float | None = None) -> WriterSnapshot:
    why = ("Unreachable", "connection refused") if failing_since else (None, None)
    return WriterSnapshot(EndpointKey(MAIN, "eu"), sent, 0, 0, 0, 0, False, failing_since, *why, 990.0)


def both() -> Store:
    """A write and a scrape of the same name."""
    store = Store(Metrics())
    store.put_object(write("eu"))
    store.put_object(ScrapeObject.from_manifest(manifest("main")))
    return store


def test_namesakes_of_another_kind_are_strangers() -> None:
    store = both()
    assert store.object_uids(WRITE) == store.object_uids(SCRAPE) == {MAIN: "uid-main"}
    store.changed.clear()
    store.put_object(write("eu"))
    assert not store.changed.is_set(), "our own writes of status change nothing"
    store.remove_object(MAIN, "uid-main", WRITE)
    assert store.changed.is_set()
    assert (store.object_uids(WRITE), store.object_uids(SCRAPE)) == ({}, {MAIN: "uid-main"})


async def test_a_sweep_forgets_what_is_gone() -> None:
    store, kube = both(), FakeKube()
    kube.objects = {MAIN: "uid-main"}
    await sweep_of(kube, store, 300).sweep()
    assert (store.object_uids(WRITE), store.object_uids(SCRAPE)) == ({}, {MAIN: "uid-main"})


@pytest.mark.looptime
async def test_it_is_not_synced_before_the_writes_are_known() -> None:
    store, kube = Store(Metrics()), FakeKube()
    kube.writes = {MAIN: "uid-main"}
    waiting = asyncio.create_task(sweep_of(kube, store, 300).wait_until_synced())
    await asyncio.sleep(3)
    assert not waiting.done()
    store.put_object(write("eu"))
    await asyncio.wait_for(waiting, 1)


class OneMissing(FakeKube):
    async def object_uids(self, kind: object, namespace: str | None = None) -> dict[ObjectRef, str]:
        if kind is WRITE:
            raise ApiError(404, "list")
        return {}


async def test_either_crd_must_be_there() -> None:
    await _require_crds(FakeKube())
    with pytest.raises(ClusterError, match="CRDNotInstalled: the cluster has no PyroscopeWrites"):
        await _require_crds(OneMissing())


async def test_one_watched_namespace_is_enough_to_look_for_the_crds() -> None:
    """The others may not exist yet, nor their Roles."""
    kube = FakeKube()
    kube.refuse_namespace = {"a": 403}
    await _require_crds(kube, ("a", "b"))
    assert kube.calls == ["objects in a", "objects in b", "writes in a", "writes in b"]
    with pytest.raises(ClusterError, match="CRDNotInstalled"):
        await _require_crds(OneMissing(), ("a", "b"))


async def test_without_any_right_it_waits() -> None:
    kube = FakeKube()
    kube.refuse_namespace = {"a": 403, "b": 403}
    waiting = asyncio.create_task(_require_crds(kube, ("a", "b")))
    await asyncio.sleep(10)
    assert not waiting.done()
    kube.refuse_namespace.clear()
    await asyncio.sleep(3)
    assert waiting.done()


@dataclass
class Seen:
    """An engine that has seen what the test says."""

    store: Store = field(default_factory=both)
    write: WriteObservation = field(default_factory=lambda: WriteObservation(1, ACCEPTED, (snapshot(),)))

    def observation(self, ref: ObjectRef) -> Observation | None:
        return Observation(1, ACCEPTED, None) if ref == MAIN else None

    def write_observations(self) -> dict[ObjectRef, WriteObservation]:
        return {MAIN: self.write}


class Desk:
    def __init__(self) -> None:
        self.kube, self.seen, self.now = FakeKube(), Seen(), 1000.0
        metrics = Metrics()
        events = EventRecorder(self.kube, metrics, "test", lambda: self.now)
        self.writer = StatusWriter(
            self.kube,
            self.seen,  # type: ignore[arg-type]
            metrics,
            events,
            interval=10.0,
            clock=lambda: self.now,
        )

    async def look(self, after: float, *endpoints: WriterSnapshot) -> int:
        """Returns how many statuses of writes have been written in all."""
        self.now += after
        self.seen.write = WriteObservation(1, ACCEPTED, endpoints)
        await self.writer.write_due()
        return self.kube.kinds.count(WRITE)


async def test_each_kind_has_its_own_status() -> None:
    desk = Desk()
    assert await desk.look(0, snapshot()) == 1
    assert desk.kube.kinds == [WRITE, SCRAPE]
    mine, scrape = (status for _, _, status in desk.kube.statuses)
    assert "targets" in scrape and "endpoints" not in scrape
    assert mine["summary"] == "1/1"


async def test_figures_alone_are_written_every_five_minutes() -> None:
    desk = Desk()
    await desk.look(0, snapshot(sent=5))
    assert await desk.look(100, snapshot(sent=50)) == 1
    assert await desk.look(201, snapshot(sent=500)) == 2
    assert desk.kube.statuses[-1][2]["endpoints"][0]["sent"] == 500


async def test_an_outage_is_an_event() -> None:
    desk = Desk()
    await desk.look(0, snapshot())
    await desk.look(20, snapshot(failing_since=1010.0))
    await desk.look(20, snapshot())
    told = [event for event in desk.kube.events if event["involvedObject"]["kind"] == "PyroscopeWrite"]
    assert [(event["type"], event["reason"]) for event in told] == [("Warning", "PushFailing"), ("Normal", "Delivered")]
    assert "eu: Unreachable: connection refused" in told[0]["message"]
