"""Sweeps and the first listing where the world changes meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from controller_fakes import FakeKube, sweep_of

from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.engine.store import ScrapeObject, Store
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
    await sweep_of(kube, store, 300).sweep()
    assert not store.changed.is_set()


async def test_what_is_recreated_while_listing_stays() -> None:
    """The list may be older than the watch, in which the namesake is already."""
    store, kube = store_of({A: "1", B: "2"}), FakeKube()

    def watch_is_faster() -> None:
        store.put_pod(Pod(*B, "3"))
        store.put_pod(Pod(*C, "4"))

    kube.meanwhile = watch_is_faster
    await sweep_of(kube, store, 300).sweep()
    assert store.pod_uids() == {B: "3", C: "4"}


@pytest.mark.parametrize("status", [403, 410, 500])
async def test_without_an_answer_nothing_is_removed_and_the_next_sweep_comes(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    store, kube = store_of({A: "1"}, {B: "2"}), FakeKube()
    kube.refuse = status
    task = asyncio.create_task(sweep_of(kube, store, 300).run())
    await asyncio.sleep(1000)
    assert kube.calls == ["objects", "writes", "pods"] * 3
    assert len(caplog.records) == 3, "each failure is said once"
    assert (store.pod_uids(), store.object_uids()) == ({A: "1"}, {B: "2"})
    kube.refuse = 0
    await asyncio.sleep(300)
    assert (store.pod_uids(), store.object_uids()) == ({}, {})
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    ("forbidden", "pods", "objects"), [("objects", {}, {B: "2"}), ("pods", {A: "1"}, {})], ids=["objects", "pods"]
)
async def test_one_resource_that_can_not_be_listed_does_not_keep_the_other_from_being_swept(
    forbidden: str, pods: dict[ObjectRef, str], objects: dict[ObjectRef, str]
) -> None:
    store, kube = store_of({A: "1"}, {B: "2"}), FakeKube()
    kube.refuse_call = {forbidden: 403}
    await sweep_of(kube, store, 300).sweep()
    assert (store.pod_uids(), store.object_uids()) == (pods, objects)


async def test_what_was_missed_is_counted() -> None:
    store, kube, metrics = store_of({A: "1", B: "2"}, {C: "3"}), FakeKube(), Metrics()
    kube.pods, kube.objects = {A: "1"}, {C: "3"}
    await sweep_of(kube, store, 300, metrics).sweep()
    assert missed(metrics, "pods", "deleted") == 1
    assert missed(metrics, "pyroscopescrapes", "deleted") == 0
    kube.refuse_call = {"objects": 403}
    before = swept(metrics, "pyroscopescrapes")
    assert before > 1e9
    await sweep_of(kube, store, 300, metrics).sweep()
    assert swept(metrics, "pyroscopescrapes") == before
    assert swept(metrics, "pods") > before


def missed(metrics: Metrics, resource: str, change: str) -> float | None:
    labels = {"resource": resource, "change": change}
    return metrics.registry.get_sample_value("pyroscope_operator_watch_missed_total", labels)


def swept(metrics: Metrics, resource: str) -> float:
    name = "pyroscope_operator_sweep_last_success_timestamp_seconds"
    return metrics.registry.get_sample_value(name, {"resource": resource}) or 0.0


# A watch that is deaf


class Restarts:
    """Stands for the watches, which are started again."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def __call__(self) -> None:
        self.at.append(asyncio.get_running_loop().time())


@pytest.mark.parametrize("resource", ["pods", "pyroscopescrapes"])
async def test_watches_that_miss_the_same_twice_are_started_again(resource: str, caplog: pytest.LogCaptureFixture) -> None:
    store, kube, metrics, restarts = store_of({A: "1"}, {A: "1"}), FakeKube(), Metrics(), Restarts()
    kube.pods = {A: "1", **({B: "2"} if resource == "pods" else {})}
    kube.objects = {A: "1", **({B: "2"} if resource != "pods" else {})}
    sweep = sweep_of(kube, store, 300, metrics, restarts)
    await sweep.sweep()
    assert not restarts.at
    assert missed(metrics, resource, "added") == 0
    await asyncio.sleep(300)
    await sweep.sweep()
    assert len(restarts.at) == 1
    assert missed(metrics, resource, "added") == 1
    assert [record.getMessage() for record in caplog.records] == [f"the watch of {resource} is deaf: starting the watches again"]
    await asyncio.sleep(300)
    await sweep.sweep()
    assert len(restarts.at) == 1, "the new ones get their time, too"


async def test_watches_that_are_only_slow_are_left_alone() -> None:
    """Each sweep finds something new that the watch tells of a moment later."""
    store, kube, restarts = store_of({}), FakeKube(), Restarts()
    sweep = sweep_of(kube, store, 300, restart=restarts)
    for number in range(5):
        kube.pods[ObjectRef("shop", f"pod-{number}")] = str(number)
        await sweep.sweep()
        store.put_pod(Pod("shop", f"pod-{number}", str(number)))
        await asyncio.sleep(300)
    assert not restarts.at


async def test_short_periods_are_not_mistaken_for_deafness() -> None:
    """After an outage Kopf needs some seconds until it is back."""
    store, kube, restarts = store_of({}), FakeKube(), Restarts()
    kube.pods = {A: "1"}
    task = asyncio.create_task(sweep_of(kube, store, 2, restart=restarts).run())
    await asyncio.sleep(20)
    assert not restarts.at
    await asyncio.sleep(20)
    assert len(restarts.at) == 1
    task.cancel()
    await asyncio.wait([task])


# The first listing


async def synced(kube: FakeKube, store: Store) -> bool:
    """Within 10 s."""
    try:
        async with asyncio.timeout(10):
            await sweep_of(kube, store, 300).wait_until_synced()
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


async def test_many_pods_and_slow_lists() -> None:
    """5,000 pods, a list that takes 20 s, a watch that tells of 100 pods per second."""
    kube, store, restarts = FakeKube(), store_of({}), Restarts()
    kube.slow = 20.0
    kube.pods = {ObjectRef("shop", f"pod-{number}"): str(number) for number in range(5_000)}
    task = asyncio.create_task(sweep_of(kube, store, 300, restart=restarts).wait_until_synced())
    for ref, uid in kube.pods.items():
        assert not task.done()
        store.put_pod(Pod(*ref, uid))
        if int(uid) % 500 == 0:
            await asyncio.sleep(5)
    await asyncio.sleep(kube.slow + 1)
    assert task.done()
    assert not restarts.at, "slow is not deaf"


async def test_where_pods_come_and_go_all_the_time() -> None:
    """There is always one that the watch has not told of yet, or that was gone before it could."""
    kube, store, number = FakeKube(), store_of({}), 0

    def next_pod() -> None:
        nonlocal number
        number += 1
        kube.pods = {ObjectRef("shop", f"pod-{number}"): str(number)}

    kube.meanwhile = next_pod
    next_pod()
    assert await synced(kube, store)


async def test_a_first_listing_that_gets_stuck_starts_the_watches_again() -> None:
    kube, store, restarts = FakeKube(), store_of({}), Restarts()
    kube.pods = {A: "1"}
    task = asyncio.create_task(sweep_of(kube, store, 300, restart=restarts).wait_until_synced())
    await asyncio.sleep(100)
    assert [round(at) for at in restarts.at] == [35, 65, 95]
    store.put_pod(Pod(*A, "1"))
    await asyncio.sleep(0.2)
    assert task.done()
