from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest
from builders import EPOCH, MIB, manifest, only, pod
from engine_builder import overview
from write_builder import no_fanout, write, writes

from pyroscope_operator.api.kinds import WRITE
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.engine import refusal, turns
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.reconciler import Reconciler
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.engine.verdict import Policy
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access
from pyroscope_operator.model.data import DataRef
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import FLAGS, EndpointKey
from pyroscope_operator.scrape.health import Health
from pyroscope_operator.scrape.pool import LoopState, ScrapePool

CHECKOUT = ObjectRef("shop", "checkout")
MEMORY = only("memory")

HERE = EndpointKey(FLAGS, "default")
MAIN = ObjectRef("shop", "main")


class FakePool:
    """A scrape pool that scrapes nothing and remembers what it was told."""

    def __init__(self) -> None:
        self.syncs: list[list[Scrape]] = []
        self.changed: dict[str, Scrape | None] = {}
        """What the last sync was told."""
        self.failing = False
        self.closed = False
        self.during_sync: list[Pod] = []
        self.store: Store | None = None
        self._scrapes: dict[str, Scrape] = {}

    def keys(self) -> Collection[str]:
        return self._scrapes.keys()

    async def sync(self, changes: Mapping[str, Scrape | None]) -> None:
        if self.failing:
            raise RuntimeError("no loops today")
        self._scrapes = {key: scrape for key, scrape in (self._scrapes | changes).items() if scrape is not None}
        self.changed = dict(changes)
        self.syncs.append(list(self._scrapes.values()))
        await asyncio.sleep(0)
        while self.during_sync and self.store:
            self.store.put_pod(self.during_sync.pop())

    async def close(self) -> None:
        self.closed = True

    def states_of(self, source: ObjectRef) -> list[LoopState]:
        """Nothing was tried yet."""
        return [LoopState(scrape, Health(), EPOCH) for scrape in self._scrapes.values() if scrape.source == source]


class World:
    """An engine over a fake pool."""

    def __init__(self) -> None:
        self.metrics, self.pool, self.book = Metrics(), FakePool(), DeliveryBook()
        self.store = self.pool.store = Store(self.metrics)
        pool = cast("ScrapePool", self.pool)
        self.fanout = no_fanout(self.metrics, self.book)
        self.secrets = Secrets(self.store.changed, self.metrics, jitter=lambda: 0.0)
        self.reconciler = self.remade(Policy(frozenset({"platform"}), MIB))
        self.engine = Engine(self.store, pool, self.reconciler, self.fanout, self.book, self.secrets)
        self.data: dict[str, dict[str, bytes]] = {}
        self.read_names: list[str] = []

    def remade(self, policy: Policy) -> Reconciler:
        made, pool = writes(self.store, self.fanout, self.secrets), cast("ScrapePool", self.pool)
        return Reconciler(self.store, pool, self.book, policy, self.metrics, secrets=self.secrets, writes=made)

    def put(self, name: str = "checkout", **fields: Any) -> None:
        made = manifest(name, **{"profilingConfig": MEMORY, **fields})
        self.store.put_object(ScrapeObject.from_manifest(made))

    async def read(self, ref: DataRef) -> Mapping[str, bytes] | None:
        """As the API server would answer."""
        self.read_names.append(ref.name)
        await asyncio.sleep(0.01)
        return self.data.get(ref.name)

    def access_of(self, name: str) -> list[Access]:
        """Of the scrapes of an object, as the pool knows them."""
        return [scrape.access for scrape in self.pool.syncs[-1] if scrape.source.name == name]

    def verdict(self, name: str) -> tuple[str, str]:
        found = self.reconciler.decision.verdicts[ObjectRef("shop", name)]
        return found.reason, found.message

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.reconciler.run()), asyncio.create_task(self.secrets.run(self))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
async def world() -> World:
    return World()


async def test_what_is_known_becomes_scrapes(world: World) -> None:
    world.store.put_pod(pod())
    world.put()
    world.put("invalid", port=0)
    world.put("forbidden", namespaceSelector={"any": True})
    world.put("asleep", suspend=True)
    await world.reconciler.reconcile()
    assert [(str(s.source), s.target.pod) for s in world.pool.syncs[-1]] == [("shop/checkout", "web-0")]
    decision = world.reconciler.decision
    assert {ref.name: verdict.reason for ref, verdict in decision.verdicts.items()} == {
        "checkout": "Accepted",
        "invalid": "InvalidSpec",
        "forbidden": "NamespaceNotAllowed",
        "asleep": "Accepted",
    }
    assert decision.plans.keys() == {CHECKOUT}
    assert set(decision.generations.values()) == {1}


async def test_what_is_gone_ends(world: World) -> None:
    world.store.put_pod(pod())
    world.put()
    await world.reconciler.reconcile()
    world.store.remove_object(CHECKOUT)
    await world.reconciler.reconcile()
    assert world.pool.syncs[-1] == []
    assert world.reconciler.decision.verdicts == {}


@pytest.mark.looptime
async def test_a_burst_is_gathered(world: World) -> None:
    async with world.running():
        world.put()
        for number in range(50):
            world.store.put_pod(pod(f"web-{number}", ip=f"10.0.0.{number}"))
            await asyncio.sleep(0.001)
        await asyncio.sleep(10)
        assert len(world.pool.syncs) == 2
        assert len(world.pool.syncs[-1]) == 50


@pytest.mark.looptime
async def test_nothing_is_done_without_a_change(world: World) -> None:
    async with world.running():
        await asyncio.sleep(3600)
        assert world.pool.syncs == []
        world.put()
        await asyncio.sleep(1)
        world.put()
        await asyncio.sleep(1)
        assert len(world.pool.syncs) == 1


@pytest.mark.looptime
async def test_a_change_during_a_reconcile_is_not_lost(world: World) -> None:
    world.pool.during_sync = [pod()]
    async with world.running():
        world.put()
        await asyncio.sleep(1)
        assert [len(scrapes) for scrapes in world.pool.syncs] == [0, 1]


@pytest.mark.looptime
async def test_a_failed_reconcile_is_told_and_the_next_one_is_made(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with world.running():
        world.pool.failing = True
        world.put()
        await asyncio.sleep(1)
        assert "reconcile failed" in caplog.text
        assert world.reconciler.decision.verdicts == {}
        world.pool.failing = False
        world.store.put_pod(pod())
        await asyncio.sleep(1)
        assert len(world.pool.syncs[-1]) == 1
        assert world.reconciler.decision.verdicts.keys() == {CHECKOUT}


async def test_an_object_that_fails_does_not_stop_the_others(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.store.put_pod(pod())
    world.store.put_pod(Pod("other", "broken", "uid", labels=None))  # type: ignore[arg-type]
    world.put()
    victim = manifest("victim", "other", selector={"matchLabels": {"app": "x"}})
    world.store.put_object(ScrapeObject.from_manifest(victim))
    with caplog.at_level(logging.ERROR):
        await world.reconciler.reconcile()
    assert len(world.pool.syncs[-1]) == 1
    assert "nothing of other/victim is scraped" in caplog.text
    assert "AttributeError" in caplog.text
    conditions = {item["name"]: item["conditions"] for item in (await overview(world.engine))["objects"]}
    assert conditions["victim"]["Ready"]["reason"] == "InternalError"
    assert conditions["checkout"]["Ready"]["reason"] == "Pending"


async def test_deliveries_of_objects_that_are_gone_are_forgotten(world: World) -> None:
    gone, refused = ObjectRef("shop", "gone"), ObjectRef("shop", "refused")
    for source in (CHECKOUT, gone, refused):
        world.book.record_sent(source, HERE, [], EPOCH)
    world.put()
    world.put("refused", port=0)
    await world.reconciler.reconcile()
    assert [world.book.get(source).last_push for source in (CHECKOUT, refused, gone)] == [EPOCH, EPOCH, None]


@pytest.mark.looptime
async def test_the_loops_end_with_the_reconciler(world: World) -> None:
    async with world.running():
        await asyncio.sleep(1)
        assert not world.pool.closed
    assert world.pool.closed


@pytest.mark.looptime
async def test_the_engine_waits_until_everything_is_known(world: World) -> None:
    task = asyncio.create_task(world.engine.run())
    world.put()
    world.store.put_pod(pod())
    await asyncio.sleep(60)
    assert world.pool.syncs == []
    world.engine.synced.set()
    await asyncio.sleep(1)
    assert len(world.pool.syncs) == 1
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert world.pool.closed


async def test_observations_put_everything_about_an_object_together(world: World) -> None:
    assert world.engine.observations() == {}
    world.store.put_pod(pod())
    world.put()
    world.put("other", meta={"generation": 9}, port=0)
    world.book.record_sent(CHECKOUT, HERE, [], EPOCH)
    await world.reconciler.reconcile()
    seen = world.engine.observations()
    mine, other = seen[CHECKOUT], seen[ObjectRef("shop", "other")]
    assert [state.scrape.profile.type for state in mine.loops] == ["memory"]
    assert (mine.generation, mine.delivery.last_push) == (1, EPOCH)
    assert mine.plan is world.reconciler.decision.plans[CHECKOUT]
    assert (other.generation, other.plan, list(other.loops), other.delivery.last_push) == (9, None, [], None)


async def test_an_object_is_observed_as_the_last_reconcile_saw_it(world: World) -> None:
    world.put()
    await world.reconciler.reconcile()
    world.put(meta={"generation": 2}, port=0)
    world.put("unseen")
    (seen,) = world.engine.observations().values()
    assert (seen.generation, seen.verdict.reason) == (1, "Accepted")


TOKEN = {"bearerTokenSecret": {"name": "credentials", "key": "token"}}


def two_objects(world: World, **fields: Any) -> None:
    """`guarded` with a token, `open` without; a pod each."""
    for name in ("guarded", "open"):
        world.store.put_pod(pod(name, ip=f"10.0.0.{len(name)}", labels={"app": name}))
        world.put(name, selector={"matchLabels": {"app": name}}, **(fields or TOKEN if name == "guarded" else {}))


@pytest.mark.looptime
async def test_a_missing_secret_concerns_nobody_else_and_mends_itself(world: World, caplog: pytest.LogCaptureFixture) -> None:
    two_objects(world)
    async with world.running():
        await asyncio.sleep(1)
        assert world.verdict("guarded") == (
            "SecretNotFound",
            "Secret shop/credentials does not exist: create it, or correct spec.bearerTokenSecret",
        )
        assert world.verdict("open")[0] == "Accepted"
        assert (len(world.access_of("guarded")), len(world.access_of("open"))) == (0, 1)
        world.put("open", selector={"matchLabels": {"app": "open"}}, meta={"generation": 2})
        await asyncio.sleep(1)
        assert [record.message for record in caplog.records] == [f"not accepted: {': '.join(world.verdict('guarded'))}"]
        world.data["credentials"] = {"other": b"hunter2"}
        await asyncio.sleep(6)
        assert world.verdict("guarded")[1].startswith("Secret shop/credentials has no key token")
        world.data["credentials"] = {"token": b"hunter2"}
        await asyncio.sleep(6)
        assert world.verdict("guarded")[0] == "Accepted"
        assert world.access_of("guarded") == [Access(authorization="Bearer hunter2")]


@pytest.mark.looptime
async def test_the_first_decision_knows_the_secrets(world: World) -> None:
    world.data["credentials"] = {"token": b"hunter2"}
    two_objects(world)
    async with world.running():
        await asyncio.sleep(1)
        assert len(world.pool.syncs) == 1
        assert world.access_of("guarded") == [Access(authorization="Bearer hunter2")]


@pytest.mark.looptime
async def test_a_rotated_secret_changes_the_scrapes_that_use_it_and_no_others(world: World) -> None:
    world.data["credentials"] = {"token": b"hunter2"}
    two_objects(world)
    async with world.running():
        await asyncio.sleep(40)
        (before,) = world.access_of("guarded")
        first = {scrape.source.name: scrape for scrape in world.pool.syncs[-1]}
        world.data["credentials"] = {"token": b"hunter3"}
        await asyncio.sleep(31)
        assert len(world.pool.syncs) == 2
        assert world.access_of("guarded") == [Access(authorization="Bearer hunter3")]
        second = {scrape.source.name: scrape for scrape in world.pool.syncs[-1]}
        assert second["open"] == first["open"]
        assert second["guarded"].key == first["guarded"].key
        world.put("another", selector={"matchLabels": {"app": "none"}})
        await asyncio.sleep(1)
        assert len(world.pool.syncs) == 3
        third = next(scrape for scrape in world.pool.syncs[-1] if scrape.source.name == "guarded")
        assert third.access is second["guarded"].access is not before


@pytest.mark.looptime
async def test_secrets_of_objects_that_are_not_accepted_are_not_read(world: World) -> None:
    world.put("forbidden", namespaceSelector={"any": True}, **TOKEN)
    world.put("invalid", port=0, **TOKEN)
    async with world.running():
        await asyncio.sleep(100)
        assert world.read_names == []
        world.put("mine", **TOKEN)
        await asyncio.sleep(1)
        assert world.read_names == ["credentials"]
        world.store.remove_object(ObjectRef("shop", "mine"))
        await asyncio.sleep(100)
        assert world.read_names == ["credentials"]


@pytest.mark.looptime
async def test_a_target_that_refuses_has_the_secret_read_early(world: World) -> None:
    world.data["credentials"] = {"token": b"hunter2"}
    two_objects(world)
    refused = refusal.reread(world.store, world.secrets)
    async with world.running():
        await asyncio.sleep(11)
        world.data["credentials"] = {"token": b"hunter3"}
        for source in ("open", "gone", "guarded", "guarded"):
            refused(ObjectRef("shop", source))
        await asyncio.sleep(0.5)
        assert world.access_of("guarded") == [Access(authorization="Bearer hunter3")]
        assert len(world.read_names) == 2


class TestWrites:
    async def test_a_scrape_begins_when_its_write_comes_and_ends_with_it(self, world: World) -> None:
        world.store.put_pod(pod())
        world.put(forwardTo=[{"name": "main"}])
        await world.reconciler.reconcile()
        assert world.engine.observations()[CHECKOUT].verdict.reason == "WriteNotFound"
        world.store.put_object(write("eu"))
        await world.reconciler.reconcile()
        assert world.engine.observations()[CHECKOUT].verdict.accepted
        assert {scrape.forward_to for scrape in world.pool.syncs[-1]} == {(MAIN,)}
        assert {str(snapshot.key) for snapshot in world.fanout.snapshots()} == {"default", "shop/main/eu"}
        world.store.remove_object(MAIN, kind=WRITE)
        await world.reconciler.reconcile()
        assert not world.pool.syncs[-1]

    async def test_a_write_that_is_not_accepted_stops_no_scrape(self, world: World) -> None:
        """Its status says why; the profiles are counted as lost."""
        world.put(forwardTo=[{"name": "main"}])
        world.store.put_object(write({"name": "eu"}))
        await world.reconciler.reconcile()
        assert world.engine.observations()[CHECKOUT].verdict.accepted
        assert world.engine.write_observations()[MAIN].verdict.reason == "InvalidSpec"
        assert world.engine.write_observations()[MAIN].endpoints == ()

    async def test_only_the_endpoints_of_its_writes_are_its_trouble(self, world: World) -> None:
        world.put(forwardTo=[{"name": "main"}])
        world.store.put_object(write("eu"))
        await world.reconciler.reconcile()
        world.book.record_waiting(CHECKOUT, HERE, "default: Unreachable")
        assert world.engine.observations()[CHECKOUT].delivery.waiting is None
        world.book.record_waiting(CHECKOUT, EndpointKey(MAIN, "eu"), "shop/main/eu: Unreachable")
        assert world.engine.observations()[CHECKOUT].delivery.waiting == "shop/main/eu: Unreachable"

    async def test_how_a_write_is_doing(self, world: World) -> None:
        world.store.put_object(write("eu", "us", meta={"generation": 4}))
        await world.reconciler.reconcile()
        seen = world.engine.write_observations()[MAIN]
        assert (seen.generation, [snapshot.key.endpoint for snapshot in seen.endpoints]) == (4, ["eu", "us"])


class Watch:
    """A task that looks at what is decided, once in each round of the event loop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rounds = 0
        self.targets: set[tuple[str, int, int]] = set()
        """Verdict, pods and targets of the object `checkout`."""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.rounds += 1
            for ref, seen in self._world.engine.observations().items():
                if ref == CHECKOUT and seen.plan:
                    self.targets.add((seen.verdict.reason, seen.plan.pods, len(seen.plan.targets)))

    async def during_reconcile(self) -> None:
        task = asyncio.create_task(self.run())
        await asyncio.sleep(0)
        self.rounds = 0
        self.targets.clear()
        await self._world.reconciler.reconcile()
        task.cancel()


class TestTurns:
    PODS = 300

    @pytest.fixture
    async def watch(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Watch:
        """A turn is a step."""
        monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
        for number in range(self.PODS):
            world.store.put_pod(pod(f"web-{number}", ip=f"10.0.{number // 250}.{number % 250}"))
        return Watch(world)

    async def test_others_run_while_a_new_object_looks_at_many_pods(self, world: World, watch: Watch) -> None:
        world.put()
        await watch.during_reconcile()
        assert watch.rounds > self.PODS
        assert watch.targets == set(), "nothing of it is told before it is decided"
        assert len(world.pool.syncs[-1]) == self.PODS
        assert world.reconciler.decision.plans[CHECKOUT].pods == self.PODS

    async def test_others_run_while_many_pods_change(self, world: World, watch: Watch) -> None:
        world.put()
        await world.reconciler.reconcile()
        for number in range(self.PODS):
            world.store.remove_pod(ObjectRef("shop", f"web-{number}"))
        await watch.during_reconcile()
        assert watch.rounds >= self.PODS
        assert watch.targets == {("Accepted", self.PODS, self.PODS)}, "plans are those of before"
        assert world.reconciler.decision.plans[CHECKOUT].pods == 0

    async def test_others_run_while_an_object_goes(self, world: World, watch: Watch) -> None:
        world.put()
        await world.reconciler.reconcile()
        world.store.remove_object(CHECKOUT)
        await watch.during_reconcile()
        assert watch.rounds >= self.PODS
        assert watch.targets == {("Accepted", self.PODS, self.PODS)}
        assert world.reconciler.decision.plans == {}
        assert world.pool.syncs[-1] == []

    async def test_what_changes_meanwhile_has_its_own_turn(self, world: World, watch: Watch) -> None:
        world.put()

        async def meanwhile() -> None:
            for number in range(self.PODS):
                await asyncio.sleep(0)
                world.store.remove_pod(ObjectRef("shop", f"web-{number}"))
            world.store.put_pod(pod("late", ip="10.9.9.9"))
            world.put(meta={"generation": 2}, interval="30s")

        task = asyncio.create_task(meanwhile())
        await world.reconciler.reconcile()
        await task
        assert world.store.changed.is_set()
        await world.reconciler.reconcile()
        assert [(scrape.target.pod, scrape.interval) for scrape in world.pool.syncs[-1]] == [("late", 30.0)]
        assert world.reconciler.decision.plans[CHECKOUT].pods == 1

    async def test_a_failure_in_the_midst_leaves_what_was_decided(
        self, world: World, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.put()
        await world.reconciler.reconcile()
        world.put(meta={"generation": 2}, selector={"matchLabels": {"app": "none"}})
        world.pool.failing = True
        with pytest.raises(RuntimeError):
            await world.reconciler.reconcile()
        decision = world.reconciler.decision
        assert decision.generations[CHECKOUT] == 1
        assert decision.plans[CHECKOUT].pods == self.PODS
        world.pool.failing = False
        await watch.during_reconcile()
        assert watch.targets == {("Accepted", self.PODS, self.PODS)}
        assert world.reconciler.decision.plans[CHECKOUT].pods == 0


async def test_the_operators_interval_and_limit(world: World) -> None:
    """Raised once, and the same value until the object changes: nothing is done anew for it."""
    world.reconciler = world.remade(Policy(None, MIB, min_interval=30, target_limit=1))
    for number in range(3):
        world.store.put_pod(pod(f"web-{number}", ip=f"10.0.0.{number}"))
    world.put(profilingConfig=only("processCPU"), interval="10s")
    await world.reconciler.reconcile()
    (scrape,) = world.pool.syncs[-1]
    assert (scrape.interval, scrape.profile.seconds) == (30.0, 29)
    assert "spec.interval is raised to 30s" in world.verdict("checkout")[1]
    assert {drop.reason for drop in world.reconciler.decision.plans[CHECKOUT].drops} == {"LimitExceeded"}
    world.store.put_object(write(name="other"))
    await world.reconciler.reconcile()
    assert world.pool.changed == {}
