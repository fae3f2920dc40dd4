"""When a status is written, and when it is not."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from controller_fakes import FakeKube
from write_builder import no_fanout, writes

from pyroscope_operator.api import API_VERSION
from pyroscope_operator.controller.events import EventRecorder
from pyroscope_operator.controller.status import StatusWriter
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.reconciler import Reconciler
from pyroscope_operator.engine.report import report
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.engine.verdict import Policy
from pyroscope_operator.errors import ApiError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import FLAGS, EndpointKey
from pyroscope_operator.scrape.fetch import Fetcher
from pyroscope_operator.scrape.pool import ScrapePool
from pyroscope_operator.scrape.room import Room
from pyroscope_operator.scrape.scraper import Context
from pyroscope_operator.scrape.workers import Workers

_REF = ObjectRef("shop", "checkout")

HERE = EndpointKey(FLAGS, "default")


class Bed:
    """An engine that knows one object without pods, and a clock."""

    def __init__(self, status: dict[str, Any] | None = None) -> None:
        self.now, self.kube, metrics = 1000.0, FakeKube(), Metrics()
        fetcher = Fetcher(lambda _: httpx.MockTransport(lambda _: httpx.Response(404)))
        workers = Workers(ThreadPoolExecutor(2), 2)
        room = Room(1 << 20, "--body-memory")
        store, self.book = Store(metrics), DeliveryBook()
        fanout = no_fanout(metrics, self.book)
        pool = ScrapePool(Context(fetcher, fanout, metrics, room, room, workers, lambda: self.now))
        policy = Policy(privileged_namespaces=None, body_limit=1 << 20)
        secrets = Secrets(store.changed, metrics)
        made = writes(store, fanout, secrets)
        reconciler = Reconciler(store, pool, self.book, policy, metrics, secrets=secrets, writes=made)
        self.engine = Engine(store, pool, reconciler, fanout, self.book, secrets)
        self.put(status=status or {})
        events = EventRecorder(self.kube, metrics, "test", lambda: self.now)
        self.writer = StatusWriter(self.kube, self.engine, metrics, events, interval=10.0, clock=lambda: self.now)

    def put(self, generation: int = 1, uid: str = "u", status: dict[str, Any] | None = None, **spec: Any) -> None:
        meta = {"namespace": "shop", "name": "checkout", "uid": uid, "generation": generation}
        kind = {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeScrape"}
        raw = {**kind, "metadata": meta, "spec": {"selector": {}, **spec}, "status": status or {}}
        self.engine.store.put_object(ScrapeObject.from_manifest(raw))

    async def look(self, after: float = 0.0) -> int:
        """Reconcile and look `after` seconds later; returns how many statuses have been written in all."""
        self.now += after
        await self.engine.reconciler.reconcile()
        await self.writer.write_due()
        return len(self.kube.statuses)


async def test_written_when_something_changes_and_not_more_often_than_allowed() -> None:
    bed = Bed()
    assert await bed.look() == 1
    assert await bed.look(60) == 1, "nothing has changed"
    bed.put(generation=2, forwardTo=[{"name": "gone"}])
    assert await bed.look(1) == 2
    bed.put(generation=3)
    assert await bed.look(5) == 2, "too early"
    assert await bed.look(6) == 3
    assert [status["observedGeneration"] for _, _, status in bed.kube.statuses] == [1, 2, 3]


async def test_times_alone_are_written_every_five_minutes() -> None:
    bed = Bed()
    await bed.look()
    bed.book.record_sent(_REF, HERE, [], 1001)
    assert await bed.look(20) == 2, "Delivering has become True"
    bed.book.record_sent(_REF, HERE, [], 1100)
    assert await bed.look(100) == 2
    bed.book.record_sent(_REF, HERE, [], 1290)
    assert await bed.look(201) == 3


async def test_a_new_process_writes_nothing_that_stands_there_already() -> None:
    first = Bed()
    await first.look()
    written = first.kube.statuses[0][2]
    second = Bed(status=written)
    assert await second.look(5000) == 0
    second.put(generation=2, status=written, forwardTo=[{"name": "gone"}])
    assert await second.look(20) == 1
    times = {c["type"]: c["lastTransitionTime"] for c in written["conditions"]}
    fresh = {c["type"]: c for c in second.kube.statuses[0][2]["conditions"]}
    assert fresh["Accepted"]["status"] == "False" and fresh["Accepted"]["lastTransitionTime"] != times["Accepted"]
    assert fresh["Delivering"]["lastTransitionTime"] == times["Delivering"], "its status has not changed"


@pytest.mark.parametrize("status", [404, 409])
async def test_an_object_that_went_meanwhile_is_no_error(status: int) -> None:
    bed = Bed()
    bed.kube.refuse = status
    assert await bed.look() == 0
    bed.kube.refuse = 0
    bed.put(uid="namesake")
    assert await bed.look() == 1
    assert bed.kube.statuses[0][1] == "namesake"


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_refusals_that_concern_all_objects_are_raised(status: int) -> None:
    bed = Bed()
    bed.kube.refuse = status
    with pytest.raises(ApiError):
        await bed.look()


@pytest.mark.looptime
async def test_an_outage_is_logged_once_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    bed = Bed()
    bed.now = 2000.0
    await bed.engine.reconciler.reconcile()
    bed.kube.away = True
    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(bed.writer.run())
        await asyncio.sleep(30)
        bed.kube.away = False
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.wait([task])
    assert len([r for r in caplog.records if "can't write status" in r.message]) == 1
    assert len(bed.kube.statuses) == 1


def test_the_object_keeps_the_status_it_was_first_seen_with() -> None:
    """A watch event of our own write must not look like a change."""
    store = Store(Metrics())
    found = ScrapeObject(_REF, "u", 1, "", None, status={"summary": "0/1"})
    store.put_object(found)
    store.changed.clear()
    store.put_object(replace(found, status={"summary": "1/1"}))
    assert not store.changed.is_set()


async def test_nothing_is_computed_without_news(monkeypatch: pytest.MonkeyPatch) -> None:
    bed, computed = Bed(), 0

    def counted(*given: Any) -> Any:
        nonlocal computed
        computed += 1
        return report(*given)

    monkeypatch.setattr("pyroscope_operator.controller.status.report", counted)
    await bed.look()
    for _ in range(290):
        await bed.look(1)
    assert (computed, len(bed.kube.statuses)) == (1, 1)
    await bed.look(10)
    assert (computed, len(bed.kube.statuses)) == (2, 1), "times are looked at after five minutes, and are the same"
    bed.put(generation=2)
    await bed.look(1)
    assert (computed, len(bed.kube.statuses)) == (3, 2)


async def test_times_alone_are_not_written_after_a_restart() -> None:
    """Of 500 objects, each would be written once because the operator was."""
    first = Bed()
    first.book.record_sent(_REF, HERE, [], 900)
    await first.look()
    second = Bed(status=first.kube.statuses[0][2])
    second.book.record_sent(_REF, HERE, [], 1500)
    assert await second.look(20) == 0
    assert await second.look(270) == 0
    assert await second.look(20) == 1


@pytest.mark.looptime
async def test_many_objects_leave_others_their_turn() -> None:
    bed, turns = Bed(), 0
    for number in range(200):
        meta = {"namespace": "shop", "name": f"app-{number}", "uid": f"u{number}", "generation": 1}
        raw = {"apiVersion": API_VERSION, "kind": "PyroscopeScrape", "metadata": meta, "spec": {"selector": {}}}
        bed.engine.store.put_object(ScrapeObject.from_manifest(raw))
    await bed.look()
    assert len(bed.kube.statuses) == 201

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await bed.writer.write_due()
    task.cancel()
    assert turns >= 10


@pytest.mark.looptime
async def test_what_flaps_is_told_no_more_often_than_status_is_written() -> None:
    """One write and at most one Event about each condition for each interval."""
    bed = Bed()
    bed.book.record_sent(_REF, HERE, [], 1000)
    await bed.look()
    for second in range(100):
        bed.put(generation=second + 2, **({"sampling": {"percent": 10}} if second % 2 else {}))
        await bed.look(1)
    assert len(bed.kube.statuses) <= 11
    assert len(bed.kube.events) <= 11
