"""Sweeps of an operator that watches some namespaces only: each one by itself, and only they."""

from __future__ import annotations

import asyncio

import pytest
from controller_fakes import FakeKube, sweep_of

from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.engine.store import Store
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

pytestmark = pytest.mark.looptime

A, B = ObjectRef("a", "pod"), ObjectRef("b", "pod")
WATCHED = ("a", "b")


def _store(*pods: ObjectRef) -> Store:
    store = Store(Metrics())
    for ref in pods:
        store.put_pod(Pod(*ref, "1"))
    return store


async def test_nothing_but_these_is_asked_for() -> None:
    kube = FakeKube()
    await sweep_of(kube, _store(), 300, namespaces=WATCHED).sweep()
    assert kube.calls == [f"{what} in {namespace}" for namespace in WATCHED for what in ("objects", "writes", "pods")]


async def test_each_is_compared_with_its_own_list() -> None:
    kube, store = FakeKube(), _store(A, B)
    kube.pods = {A: "1"}
    await sweep_of(kube, store, 300, namespaces=WATCHED).sweep()
    assert store.pod_uids() == {A: "1"}


async def test_one_that_can_not_be_listed_keeps_what_is_known_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    kube, store = FakeKube(), _store(A, B)
    kube.refuse_namespace = {"b": 403}
    sweep = sweep_of(kube, store, 300, namespaces=WATCHED)
    await sweep.sweep()
    await sweep.sweep()
    assert store.pod_uids() == {B: "1"}
    said = [record.getMessage() for record in caplog.records if "can't list" in record.getMessage()]
    assert len(said) == 3, "once for each resource"
    assert all(" in b, going on" in line and "403" in line for line in said)


@pytest.mark.parametrize("status", [403, 500, 0])
async def test_nobody_waits_for_one_that_does_not_exist_yet(status: int) -> None:
    """A failure of another kind may hide pods that exist: that is waited for, as in the whole cluster."""
    kube, store = FakeKube(), _store()
    kube.pods = {A: "1"}
    kube.refuse_namespace = {"b": status}
    waiting = asyncio.create_task(sweep_of(kube, store, 300, namespaces=WATCHED).wait_until_synced())
    await asyncio.sleep(10)
    assert not waiting.done(), "the pod of the other one is not there yet"
    store.put_pod(Pod(*A, "1"))
    await asyncio.sleep(20)
    assert waiting.done() == (status == 403)
    waiting.cancel()


async def test_without_the_right_to_the_whole_cluster_it_waits() -> None:
    kube = FakeKube()
    kube.refuse_namespace = {None: 403}
    waiting = asyncio.create_task(sweep_of(kube, _store(), 300).wait_until_synced())
    await asyncio.sleep(100)
    assert not waiting.done()
    assert len(kube.calls) <= 21, "somebody has to grant something: no hurry"
    waiting.cancel()
