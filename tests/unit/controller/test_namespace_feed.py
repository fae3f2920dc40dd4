"""Namespaces are watched while somebody needs their labels, and their absence is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from controller_fakes import FakeKube

from pyroscope_operator.controller import namespaces
from pyroscope_operator.controller.namespaces import NamespaceFeed
from pyroscope_operator.engine.namespaces import Knowledge
from pyroscope_operator.engine.store import Store
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

pytestmark = pytest.mark.looptime

SHOP = ObjectRef("", "shop")


class FakeWatch:
    """Tells of what the API server has after a second."""

    kube: FakeKube
    running = 0
    begun = 0

    def __init__(self, store: Store, _: Metrics) -> None:
        self._store = store

    async def run(self) -> None:
        FakeWatch.running += 1
        FakeWatch.begun += 1
        try:
            await asyncio.sleep(1)
            for ref, uid in self.kube.namespaces.items():
                self._store.namespaces.put(ref.name, uid, {"team": "x"})
            await asyncio.Event().wait()
        finally:
            FakeWatch.running -= 1

    def restart(self) -> None: ...


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    FakeWatch.kube, FakeWatch.running, FakeWatch.begun = FakeKube(), 0, 0
    FakeWatch.kube.namespaces = {SHOP: "1"}
    monkeypatch.setattr(namespaces, "NamespaceWatch", FakeWatch)
    return FakeWatch.kube


@asynccontextmanager
async def feeding(kube: FakeKube) -> AsyncIterator[Store]:
    store = Store(Metrics())
    task = asyncio.create_task(NamespaceFeed(kube, store, Metrics(), 300).run())
    try:
        yield store
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled() and not FakeWatch.running


async def test_only_while_they_are_wanted(kube: FakeKube) -> None:
    async with feeding(kube) as store:
        known = store.namespaces
        await asyncio.sleep(1000)
        assert not kube.calls and not FakeWatch.begun
        known.want(True)
        await asyncio.sleep(0.5)
        assert known.knowledge is Knowledge.PENDING, "the watch has told nothing yet"
        await asyncio.sleep(1)
        assert (known.knowledge, known.labels) == (Knowledge.LISTED, {"shop": {"team": "x"}})
        known.want(True)
        await asyncio.sleep(1000)
        assert FakeWatch.begun == FakeWatch.running == 1
        known.want(False)
        await asyncio.sleep(1)
        assert (known.knowledge, known.labels, FakeWatch.running) == (Knowledge.PENDING, {}, 0)
        kube.calls.clear()
        await asyncio.sleep(1000)
        assert not kube.calls
        known.want(True)
        await asyncio.sleep(2)
        assert known.labels and FakeWatch.begun == 2


async def test_what_the_watch_missed_is_swept(kube: FakeKube) -> None:
    async with feeding(kube) as store:
        store.namespaces.want(True)
        await asyncio.sleep(2)
        kube.namespaces = {}
        await asyncio.sleep(300)
        assert not store.namespaces.labels


async def test_a_missing_right_is_told_and_looked_for_again(kube: FakeKube) -> None:
    kube.refuse_call = {"namespaces": 403}
    async with feeding(kube) as store:
        store.namespaces.want(True)
        await asyncio.sleep(100)
        assert store.namespaces.knowledge is Knowledge.REFUSED
        assert not FakeWatch.begun, "no watch that would be refused, too"
        assert len(kube.calls) <= 21
        kube.refuse_call = {}
        await asyncio.sleep(7)
        assert store.namespaces.knowledge is Knowledge.LISTED


@pytest.mark.parametrize("status", [0, 500])
async def test_an_outage_is_no_refusal(kube: FakeKube, status: int) -> None:
    kube.refuse_call = {"namespaces": status}
    async with feeding(kube) as store:
        store.namespaces.want(True)
        await asyncio.sleep(100)
        assert store.namespaces.knowledge is Knowledge.PENDING
        kube.refuse_call = {}
        await asyncio.sleep(5)
        assert store.namespaces.knowledge is Knowledge.LISTED


async def test_a_right_that_is_lost_later_changes_nothing(kube: FakeKube) -> None:
    async with feeding(kube) as store:
        store.namespaces.want(True)
        await asyncio.sleep(2)
        kube.refuse_call = {"namespaces": 403}
        await asyncio.sleep(1000)
        assert (store.namespaces.knowledge, len(store.namespaces.labels)) == (Knowledge.LISTED, 1)


async def test_nobody_wants_them_any_more_while_they_are_refused(kube: FakeKube) -> None:
    kube.refuse_call = {"namespaces": 403}
    async with feeding(kube) as store:
        store.namespaces.want(True)
        await asyncio.sleep(1)
        store.namespaces.want(False)
        await asyncio.sleep(1)
        assert store.namespaces.knowledge is Knowledge.PENDING
        kube.calls.clear()
        await asyncio.sleep(100)
        assert not kube.calls
