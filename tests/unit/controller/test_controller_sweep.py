"""What the watches missed, and when everything is listed."""

from __future__ import annotations

import asyncio

import pytest
from controller_fakes import FakeKube, sweep_of

from pyroscope_operator.controller.sweep import gone
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

pytestmark = pytest.mark.looptime


def _pod(name: str, uid: str) -> Pod:
    return Pod("shop", name, uid)


def _object(name: str, uid: str) -> ScrapeObject:
    return ScrapeObject(ObjectRef("shop", name), uid, 1, "", None)


_A = ObjectRef("shop", "a")


@pytest.mark.parametrize(
    ("known", "listed", "expected"),
    [
        ({}, {}, []),
        ({_A: "1"}, {_A: "1"}, []),
        ({_A: "1"}, {}, [(_A, "1")]),
        ({_A: "1"}, {_A: "2"}, [(_A, "1")]),
        ({}, {_A: "1"}, []),
        (
            {ObjectRef("n", "stays"): "1", ObjectRef("n", "vanished"): "2", ObjectRef("n", "made anew"): "3"},
            {ObjectRef("n", "stays"): "1", ObjectRef("n", "made anew"): "4", ObjectRef("n", "new"): "5"},
            [(ObjectRef("n", "vanished"), "2"), (ObjectRef("n", "made anew"), "3")],
        ),
    ],
)
def test_gone(known: dict[ObjectRef, str], listed: dict[ObjectRef, str], expected: list[tuple[ObjectRef, str]]) -> None:
    assert gone(known, listed) == expected


async def test_sweep_forgets_what_no_longer_exists() -> None:
    kube, store = FakeKube(), Store(Metrics())
    for name, uid in (("stays", "1"), ("vanished", "2")):
        store.put_pod(_pod(name, uid))
        store.put_object(_object(name, uid))
    kube.pods = kube.objects = {ObjectRef("shop", "stays"): "1"}
    await sweep_of(kube, store, 300).sweep()
    assert store.pod_uids() == store.object_uids() == {ObjectRef("shop", "stays"): "1"}


async def test_what_comes_during_the_list_stays() -> None:
    kube, store = FakeKube(), Store(Metrics())

    class Slow(FakeKube):
        async def pod_uids(self, namespace: str | None = None) -> dict[ObjectRef, str]:
            listed = await kube.pod_uids()
            store.put_pod(_pod("just-created", "9"))  # the watch is faster than the list
            return listed

    await sweep_of(Slow(), store, 300).sweep()
    assert store.pod_uids() == {ObjectRef("shop", "just-created"): "9"}


async def test_it_goes_on_after_an_outage() -> None:
    kube, store = FakeKube(), Store(Metrics())
    store.put_pod(_pod("vanished", "1"))
    kube.away = True
    running = asyncio.create_task(sweep_of(kube, store, 10).run())
    await asyncio.sleep(25)
    assert store.pod_uids() and not running.done()
    kube.away = False
    await asyncio.sleep(10)
    assert not store.pod_uids()
    running.cancel()
    await asyncio.wait([running])


async def test_synced_when_the_watches_know_what_is_listed() -> None:
    kube, store = FakeKube(), Store(Metrics())
    kube.away = True
    kube.pods, kube.objects = {ObjectRef("shop", "p"): "1", ObjectRef("shop", "deleted-soon"): "2"}, {ObjectRef("shop", "o"): "3"}
    waiting = asyncio.create_task(sweep_of(kube, store, 300).wait_until_synced())
    await asyncio.sleep(10)
    kube.away = False
    await asyncio.sleep(10)
    assert not waiting.done()
    store.put_object(_object("o", "3"))
    store.put_pod(_pod("p", "1"))
    await asyncio.sleep(3)
    assert not waiting.done(), "one pod is still unknown"
    del kube.pods[ObjectRef("shop", "deleted-soon")]  # and the watch never saw it: the list is renewed
    await asyncio.sleep(10)
    assert waiting.done()
