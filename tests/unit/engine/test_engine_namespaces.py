"""Labels of namespaces as a store has them, and objects that select by them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from builders import MIB, manifest, only, pod
from write_builder import no_fanout, writes

from pyroscope_operator.engine.conditions import Observation, aspects
from pyroscope_operator.engine.namespaces import Knowledge, Namespaces
from pyroscope_operator.engine.reconciler import Reconciler
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.engine.verdict import Policy, Verdict
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape
from pyroscope_operator.push.delivery import DeliveryBook

BY_LABELS = {"matchLabels": {"team": "x"}}
CHECKOUT, OTHER = ObjectRef("shop", "checkout"), ObjectRef("shop", "other")


class Pool:
    def __init__(self) -> None:
        self.scrapes: dict[str, Scrape] = {}
        self.changes: list[dict[str, Scrape | None]] = []

    def keys(self) -> list[str]:
        return list(self.scrapes)

    async def sync(self, changes: Mapping[str, Scrape | None]) -> None:
        self.changes.append(dict(changes))
        self.scrapes = {key: scrape for key, scrape in (self.scrapes | changes).items() if scrape is not None}


class World:
    """A reconciler that is called by hand."""

    def __init__(self) -> None:
        metrics, book = Metrics(), DeliveryBook()
        self.pool, self.store = Pool(), Store(metrics)
        secrets = Secrets(self.store.changed, metrics, jitter=lambda: 0.0)
        made = writes(self.store, no_fanout(metrics, book), secrets)
        policy = Policy(frozenset({"shop"}), MIB)
        pool = self.pool
        self.reconciler = Reconciler(self.store, pool, book, policy, metrics, secrets=secrets, writes=made)  # type: ignore[arg-type]
        self.store.put_pod(pod("a", "team-x", ip="10.0.0.1"))
        self.store.put_pod(pod("b", "team-y", ip="10.0.0.2"))

    def put(self, name: str = "checkout", generation: int = 1, **fields: object) -> None:
        meta = {"generation": generation}
        made = manifest(name, meta=meta, **{"profilingConfig": only("memory"), "namespaceSelector": BY_LABELS, **fields})
        self.store.put_object(ScrapeObject.from_manifest(made))

    def label(self, name: str, **labels: str) -> None:
        self.store.namespaces.put(name, f"uid-{name}", labels)

    async def scraped(self) -> list[str]:
        """Pods, after what is new was acted upon."""
        await self.reconciler.reconcile()
        return sorted(scrape.target.pod for scrape in self.pool.scrapes.values())

    def reason(self, ref: ObjectRef = CHECKOUT) -> str:
        return self.reconciler.decision.verdicts[ref].reason


@pytest.fixture
async def world() -> AsyncIterator[World]:
    yield World()


async def test_labels_show_and_hide_pods(world: World) -> None:
    known = world.store.namespaces
    world.put()
    world.label("team-x", team="x")
    world.label("team-y", team="y")
    known.listed()
    assert await world.scraped() == ["a"]
    assert world.reason() == "Accepted"
    world.label("team-y", team="x")
    assert await world.scraped() == ["a", "b"]
    world.label("team-x")
    assert await world.scraped() == ["b"]
    known.remove("team-y", "uid-team-y")
    assert await world.scraped() == []
    assert world.reconciler.decision.plans[CHECKOUT].pods == 0


async def test_cost_follows_what_changes(world: World) -> None:
    world.put()
    world.label("team-x", team="x")
    world.store.namespaces.listed()
    await world.scraped()
    decision = world.reconciler.decision
    world.label("team-y", team="x")
    await world.scraped()
    assert [scrape.target.pod for scrape in world.pool.changes[-1].values() if scrape] == ["b"]
    world.label("team-y", team="x", unrelated="z")
    await world.scraped()
    assert world.pool.changes[-1] == {}
    assert world.reconciler.decision is decision, "nothing was judged anew"


async def test_a_pod_that_goes_together_with_the_label(world: World) -> None:
    world.put()
    world.label("team-x", team="x")
    world.store.namespaces.listed()
    assert await world.scraped() == ["a"]
    world.store.remove_pod(ObjectRef("team-x", "a"))
    world.label("team-x")
    assert await world.scraped() == []
    world.label("team-x", team="x")
    assert await world.scraped() == []


async def test_until_they_are_listed(world: World) -> None:
    """Nobody is judged by half of them, and others are not concerned."""
    world.put()
    world.put("other", namespaceSelector={"matchNames": ["team-y"]})
    world.label("team-x", team="x")
    assert await world.scraped() == ["b"]
    assert (world.reason(), world.reason(OTHER)) == ("NamespacesPending", "Accepted")
    world.store.namespaces.listed()
    assert await world.scraped() == ["a", "b"]
    assert world.reason() == "Accepted"
    assert None not in world.pool.changes[-1].values(), "the other one's scrape goes on"


async def test_if_they_can_not_be_listed(world: World) -> None:
    world.put()
    world.put("other", namespaceSelector={"any": True, "matchNames": []})
    world.store.namespaces.refused()
    assert await world.scraped() == ["a", "b"]
    assert (world.reason(), world.reason(OTHER)) == ("NamespacesUnreadable", "Accepted")
    world.label("team-x", team="x")
    world.store.namespaces.listed()
    await world.scraped()
    assert world.reason() == "Accepted"
    world.store.namespaces.refused()
    await world.scraped()
    assert world.reason() == "Accepted", "what is known stays in use, as pods do"


async def test_wanted_while_somebody_selects_by_them(world: World) -> None:
    known = world.store.namespaces
    world.put("other", namespaceSelector={"any": True})
    world.reconciler.ask()
    assert (known.wanted.is_set(), known.unwanted.is_set()) == (False, True)
    world.put()
    world.reconciler.ask()
    assert (known.wanted.is_set(), known.unwanted.is_set()) == (True, False)
    known.listed()
    for generation, fields in enumerate(
        ({"suspend": True}, {"selector": None, "staticTargets": [{"address": "a:1"}]}, {"port": 0}), 2
    ):
        world.put(generation=generation, **fields)
        await world.scraped()
        assert not known.wanted.is_set(), fields
        world.put(generation=generation + 10)
        await world.scraped()
        assert known.wanted.is_set()
    world.store.remove_object(CHECKOUT)
    await world.scraped()
    assert not known.wanted.is_set()


async def test_a_refused_object_does_not_want_them(world: World) -> None:
    made = manifest("tenant", "elsewhere", namespaceSelector=BY_LABELS)
    world.store.put_object(ScrapeObject.from_manifest(made))
    await world.scraped()
    assert world.reason(ObjectRef("elsewhere", "tenant")) == "NamespaceNotAllowed"
    assert not world.store.namespaces.wanted.is_set()


async def test_after_a_failure_everything_is_there_again(world: World) -> None:
    world.put()
    world.label("team-x", team="x")
    world.store.namespaces.listed()
    await world.scraped()
    world.label("team-y", team="x")
    sync, world.pool.sync = world.pool.sync, None  # type: ignore[assignment, method-assign]
    with pytest.raises(TypeError):
        await world.reconciler.reconcile()
    world.pool.sync = sync  # type: ignore[method-assign]
    assert await world.scraped() == ["a", "b"]


def test_a_namesake_is_another_one() -> None:
    touched: list[bool] = []
    known = Namespaces(lambda: touched.append(True))
    known.put("a", "1", {})
    known.put("a", "2", {})
    assert len(touched) == 1, "the same labels: nobody is concerned"
    known.remove("a", "1")
    assert known.uids() == {ObjectRef("", "a"): "2"}
    known.remove("a", "2")
    assert not known.labels and not known.uids()
    assert known.take() == {"a"} and not known.take()


def test_forgotten() -> None:
    known = Namespaces(lambda: None)
    known.put("a", "1", {"x": "y"})
    known.listed()
    assert known.settled.is_set()
    known.forget()
    assert (known.knowledge, known.labels, known.settled.is_set()) == (Knowledge.PENDING, {}, False)


def test_the_conditions_of_who_waits() -> None:
    waiting = Verdict("NamespacesPending", "spec.namespaceSelector: not yet")
    found = aspects(Observation(generation=1, verdict=waiting, plan=None))
    assert {kind: (aspect.status, aspect.reason) for kind, aspect in found.items() if kind != "Delivering"} == {
        "Ready": ("False", "NamespacesPending"),
        "Accepted": ("Unknown", "NamespacesPending"),
        "Discovered": ("Unknown", "NotAccepted"),
        "Scraping": ("Unknown", "NotAccepted"),
    }
