"""The Lease where others write, too, and where the API server answers badly or not at all."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest
from controller_fakes import FakeKube

from pyroscope_operator.controller.lease import Lease
from pyroscope_operator.errors import LeaseLost
from pyroscope_operator.model.ref import ObjectRef

pytestmark = pytest.mark.looptime

DURATION = 15.0
OLD = "2001-01-01T00:00:00.000000Z"
FUTURE = "2999-01-01T00:00:00.000000Z"


def now() -> float:
    return asyncio.get_running_loop().time()


def lease_of(kube: FakeKube, identity: str = "me") -> Lease:
    return Lease(kube, ObjectRef("ns", "op"), identity, DURATION, now)


def foreign(renewed: str = FUTURE, **more: Any) -> dict[str, Any]:
    known = {"holderIdentity": "other", "leaseDurationSeconds": 15, "renewTime": renewed, "acquireTime": OLD}
    return {**known, "leaseTransitions": 4, **more}


def spec_of(kube: FakeKube) -> dict[str, Any]:
    assert kube.lease is not None
    spec: dict[str, Any] = kube.lease["spec"]
    return spec


async def acquired(lease: Lease) -> float:
    """Seconds until it was acquired."""
    began = now()
    await lease.acquire()
    assert lease.held
    return now() - began


async def held(kube: FakeKube) -> tuple[Lease, asyncio.Task[None]]:
    lease = lease_of(kube)
    await lease.acquire()
    return lease, asyncio.create_task(lease.hold())


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


# Taking


async def test_a_new_lease_is_what_client_go_would_write() -> None:
    kube = FakeKube()
    await acquired(lease_of(kube))
    spec = spec_of(kube)
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("me", 15, 0)
    for time in (spec["acquireTime"], spec["renewTime"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time)


@pytest.mark.parametrize("spec", [None, {}, foreign(holderIdentity=""), foreign(holderIdentity=None)])
async def test_one_that_nobody_holds_is_taken_at_once(spec: dict[str, Any] | None) -> None:
    kube = FakeKube()
    kube.put_lease(spec)
    assert await acquired(lease_of(kube)) == 0
    assert kube.holder == "me"
    assert spec_of(kube)["leaseTransitions"] == ((spec or {}).get("leaseTransitions") or 0) + 1


async def test_ones_own_is_taken_at_once_and_is_no_transition() -> None:
    kube = FakeKube()
    kube.put_lease(foreign(holderIdentity="me"))
    assert await acquired(lease_of(kube)) == 0
    assert (spec_of(kube)["acquireTime"], spec_of(kube)["leaseTransitions"]) == (OLD, 4)


@pytest.mark.parametrize("renewed", [OLD, FUTURE], ids=["behind", "ahead"])
@pytest.mark.parametrize("duration", [15, 60])
async def test_the_clock_of_a_dead_holder_does_not_matter_but_its_duration_does(renewed: str, duration: int) -> None:
    kube = FakeKube()
    kube.put_lease(foreign(renewed, leaseDurationSeconds=duration))
    assert duration <= await acquired(lease_of(kube)) <= duration + 5
    assert spec_of(kube)["leaseTransitions"] == 5


async def test_standing_by_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pyroscope_operator")
    kube = FakeKube()
    task = None
    for i in range(50):
        kube.put_lease(foreign(str(i)))
        task = task or asyncio.create_task(lease_of(kube).acquire())
        await asyncio.sleep(10)
        assert not task.done()
    kube.put_lease(foreign(holderIdentity=""))
    await asyncio.sleep(5)
    assert task is not None
    assert task.done()
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["standing by", "holding the lease"]


async def test_who_is_late_at_the_creation_stands_by() -> None:
    kube = FakeKube()
    kube.meanwhile = lambda: kube.put_lease(foreign())
    assert await acquired(lease_of(kube)) >= DURATION


@pytest.mark.parametrize("status", [403, 409, 500])
async def test_refusals_are_waited_out(status: int) -> None:
    kube = FakeKube()
    kube.refuse = status
    task = asyncio.create_task(lease_of(kube).acquire())
    await asyncio.sleep(60)
    assert not task.done()
    kube.refuse = 0
    await asyncio.sleep(5)
    assert task.done()
    await task


async def test_an_outage_is_no_silence_of_the_holder() -> None:
    """Both come back at the same moment: who holds the Lease gets its time to renew it."""
    kube = FakeKube()
    _, holding = await held(kube)
    standby = lease_of(kube, "other")
    standing_by = asyncio.create_task(standby.acquire())
    await asyncio.sleep(DURATION)
    for trouble in ("away", "hang"):
        setattr(kube, trouble, True)
        await asyncio.sleep(10 * DURATION + 0.5)  # who stands by is the first to look again
        setattr(kube, trouble, False)
        await asyncio.sleep(2 * DURATION)
        assert kube.holder == "me"
        assert not holding.done()
        assert not standing_by.done()
    await stopped(holding)
    await asyncio.sleep(2 * DURATION)
    assert kube.holder == "other", "a holder that really ends is followed"
    assert standing_by.done()


async def test_a_renewal_without_an_answer_is_tried_again_in_time() -> None:
    """A connection that was cut without a word: before the Lease expires there is another try."""
    kube = FakeKube()
    _, task = await held(kube)
    version = kube.version
    await asyncio.sleep(DURATION / 3 - 0.1)
    kube.hang = True
    await asyncio.sleep(0.2)
    kube.hang = False
    await asyncio.sleep(DURATION * 2 / 3)
    assert kube.version > version
    await stopped(task)


# Keeping


async def test_it_is_renewed_well_before_it_expires() -> None:
    kube = FakeKube()
    _, task = await held(kube)
    for _ in range(20):
        version = kube.version
        await asyncio.sleep(DURATION / 2)
        assert kube.version > version
    assert spec_of(kube)["leaseTransitions"] == 0
    await stopped(task)


async def test_a_foreign_holder_is_yielded_to_even_if_it_looks_expired() -> None:
    kube = FakeKube()
    lease, task = await held(kube)
    kube.put_lease(foreign(OLD, leaseDurationSeconds=1))
    await asyncio.sleep(DURATION / 3 + 1)
    with pytest.raises(LeaseLost):
        await task
    assert not lease.held


async def test_a_renewal_that_collides_is_looked_at_again() -> None:
    kube = FakeKube()
    lease, task = await held(kube)
    kube.meanwhile = lambda: kube.put_lease(spec_of(kube))
    await asyncio.sleep(DURATION)
    assert lease.held
    assert not task.done()
    await stopped(task)


async def test_a_renewal_that_collides_with_a_takeover_loses() -> None:
    kube = FakeKube()
    lease, task = await held(kube)
    kube.meanwhile = lambda: kube.put_lease(foreign())
    await asyncio.sleep(DURATION)
    with pytest.raises(LeaseLost):
        await task
    assert not lease.held


async def test_a_lease_that_was_deleted_is_made_again() -> None:
    kube = FakeKube()
    lease, task = await held(kube)
    kube.lease = None
    await asyncio.sleep(DURATION)
    assert kube.holder == "me"
    assert lease.held
    await stopped(task)


# Giving back


async def test_what_was_never_held_is_not_released() -> None:
    kube = FakeKube()
    await lease_of(kube).release()
    assert kube.calls == []


@pytest.mark.parametrize("trouble", ["away", "hang"])
async def test_a_release_never_fails_and_never_takes_long(trouble: str) -> None:
    """The grace period belongs to the profiles that are still queued."""
    kube = FakeKube()
    lease = lease_of(kube)
    await lease.acquire()
    setattr(kube, trouble, True)
    began = now()
    await lease.release()
    assert now() - began <= 5
    assert not lease.held


async def test_a_lease_that_is_gone_is_released() -> None:
    kube = FakeKube()
    lease = lease_of(kube)
    await lease.acquire()
    kube.lease = None
    await lease.release()
    assert kube.lease is None
