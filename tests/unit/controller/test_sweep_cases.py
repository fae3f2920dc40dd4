"""Sweeps and the first listing where the world changes meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from controller_fakes import FakeKube

from pyroscope_operator.controller.sweep import Sweep
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.errors import ApiError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

pytestmark = pytest.mark.looptime

A, B, C = (ObjectRef("shop", name) for name in "abc")


def store_of(pods: dict[ObjectRef, str], objects: dict[ObjectRef, str] | None = None) -> Store:
    store = Store(Metrics())
    for ref, uid in pods.items():
        store.put_pod(Pod(*ref, uid))
    for ref, uid in (objects or {}).items():
        store.put_object(ScrapeObject(ref, uid, 1, "", None))
    store.changed.clear()
    return store


async def test_nothing_missed_changes_nothing() -> None:
    store, kube = store_of({A: "1"}, {B: "2"}), FakeKube()
    kube.pods, kube.objects = {A: "1"}, {B: "2"}
    await Sweep(kube, store, 300).sweep()
    assert not store.changed.is_set()


async def test_what_is_recreated_while_listing_stays() -> None:
    """The list may be older than the watch, in which the namesake is already."""
    store, kube = store_of({A: "1", B: "2"}), FakeKube()

    def watch_is_faster() -> None:
        store.put_pod(Pod(*B, "3"))
        store.put_pod(Pod(*C, "4"))

    kube.meanwhile = watch_is_faster
    await Sweep(kube, store, 300).sweep()
    assert store.pod_uids() == {B: "3", C: "4"}


@pytest.mark.parametrize("status", [403, 410, 500])
async def test_without_an_answer_nothing_is_removed_and_the_next_sweep_comes(status: int) -> None:
    store, kube = store_of({A: "1"}, {B: "2"}), FakeKube()
    kube.refuse = status
    with pytest.raises(ApiError):
        await Sweep(kube, store, 300).sweep()
    task = asyncio.create_task(Sweep(kube, store, 300).run())
    await asyncio.sleep(1000)
    assert len(kube.calls) == 1 + 3
    assert (store.pod_uids(), store.object_uids()) == ({A: "1"}, {B: "2"})
    kube.refuse = 0
    await asyncio.sleep(300)
    assert (store.pod_uids(), store.object_uids()) == ({}, {})
    task.cancel()
    await asyncio.wait([task])


async def synced(kube: FakeKube, store: Store) -> bool:
    """Within 10 s."""
    try:
        async with asyncio.timeout(10):
            await Sweep(kube, store, 300).wait_until_synced()
    except TimeoutError:
        return False
    return True


async def test_an_empty_cluster_is_synced() -> None:
    assert await synced(FakeKube(), store_of({}))


async def test_more_than_is_listed_is_fine() -> None:
    assert await synced(FakeKube(), store_of({A: "1"}, {B: "2"}))


async def test_a_namesake_is_not_what_is_listed() -> None:
    kube = FakeKube()
    kube.pods = {A: "new"}
    assert not await synced(kube, store_of({A: "old"}))


async def test_an_api_server_that_does_not_answer_is_not_hammered() -> None:
    kube = FakeKube()
    kube.away = True
    assert not await synced(kube, store_of({}))
    assert len(kube.calls) <= 6
