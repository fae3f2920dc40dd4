"""One active operator: leader election by an own clock, on fake time."""

from __future__ import annotations

import asyncio

import pytest
from controller_fakes import FakeKube

from pyroscope_operator.controller.lease import Lease
from pyroscope_operator.errors import LeaseLost
from pyroscope_operator.model.ref import ObjectRef

pytestmark = pytest.mark.looptime
_REF = ObjectRef("default", "pyroscope-operator")


def _lease(kube: FakeKube, identity: str) -> Lease:
    return Lease(kube, _REF, identity, duration=15.0, clock=asyncio.get_running_loop().time)


async def _acquired_after(lease: Lease) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await lease.acquire()
    return loop.time() - started


async def test_a_free_lease_is_taken_at_once() -> None:
    kube = FakeKube()
    assert await _acquired_after(_lease(kube, "a")) == 0
    assert kube.holder == "a"


async def test_a_dead_holder_is_replaced_after_the_duration_by_our_clock() -> None:
    kube = FakeKube()
    await _lease(kube, "dead").acquire()
    assert kube.lease is not None
    kube.lease["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z"  # another machine's clock says nothing
    assert 15 <= await _acquired_after(_lease(kube, "b")) < 15 + 15 / 5 + 0.1
    assert kube.holder == "b"
    assert kube.lease["spec"]["leaseTransitions"] == 1


async def test_a_living_holder_keeps_it() -> None:
    kube = FakeKube()
    first = _lease(kube, "a")
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    waiting = asyncio.create_task(_lease(kube, "b").acquire())
    await asyncio.sleep(120)
    assert not waiting.done() and kube.holder == "a"
    holding.cancel()
    await asyncio.wait([holding])
    await first.release()
    await asyncio.sleep(15 / 5 + 0.1)
    assert waiting.done() and kube.holder == "b", "a released lease is free at once"


async def test_an_outage_changes_nothing_for_the_holder() -> None:
    kube = FakeKube()
    lease = _lease(kube, "a")
    await lease.acquire()
    holding = asyncio.create_task(lease.hold())
    kube.away = True
    await asyncio.sleep(600)
    assert not holding.done() and lease.held
    kube.away = False
    await asyncio.sleep(10)
    assert not holding.done() and kube.holder == "a"
    holding.cancel()
    await asyncio.wait([holding])


async def test_a_deleted_lease_is_made_again_by_who_goes_on() -> None:
    """Not at once: `helm uninstall` deletes it while the operator ends, and nothing should be left."""
    kube = FakeKube()
    lease = _lease(kube, "a")
    await lease.acquire()
    holding = asyncio.create_task(lease.hold())
    await asyncio.sleep(1)
    for _ in range(2):
        kube.lease = None
        await asyncio.sleep(15 / 3)
        assert kube.lease is None
        await asyncio.sleep(15 / 3)
        assert kube.holder == "a" and lease.held
    kube.lease = None
    holding.cancel()
    await asyncio.wait([holding])
    await lease.release()
    assert kube.lease is None


async def test_who_sees_another_holder_stops() -> None:
    kube = FakeKube()
    lease = _lease(kube, "a")
    await lease.acquire()
    holding = asyncio.create_task(lease.hold())
    assert kube.lease is not None
    kube.lease["spec"]["holderIdentity"] = "thief"
    await asyncio.wait([holding])
    assert isinstance(holding.exception(), LeaseLost)
    await lease.release()
    assert kube.holder == "thief", "only one's own lease is released"


async def test_two_at_the_same_moment() -> None:
    kube = FakeKube()
    one, two = _lease(kube, "a"), _lease(kube, "b")
    tasks = [asyncio.create_task(lease.acquire()) for lease in (one, two)]
    await asyncio.sleep(1)
    assert sum(task.done() for task in tasks) == 1
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_standing_by_survives_an_outage() -> None:
    kube = FakeKube()
    kube.away = True
    waiting = asyncio.create_task(_lease(kube, "a").acquire())
    await asyncio.sleep(100)
    assert not waiting.done()
    kube.away = False
    await asyncio.sleep(3.1)
    assert waiting.done()
