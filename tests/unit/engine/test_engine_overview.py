from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, cast

from builders import EPOCH, MIB, container, manifest, only, pod
from engine_builder import overview
from write_builder import writes

from pyroscope_operator.discovery.contests import Changes
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.reconciler import Reconciler
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.engine.verdict import Policy
from pyroscope_operator.errors import FetchError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import FLAGS, EndpointKey
from pyroscope_operator.push.fanout import Fanout
from pyroscope_operator.push.writer import WriterSnapshot
from pyroscope_operator.scrape.health import Health
from pyroscope_operator.scrape.pool import LoopState, ScrapePool

EMPTY = Health()
GOOD = EMPTY.succeeded(EPOCH + 0.5, EPOCH + 0.75, 1234).skipped(2)
BAD = GOOD.failed(EPOCH + 15.5, EPOCH + 16, FetchError("Timeout", "no answer within 15s"))
IDLE = WriterSnapshot(EndpointKey(FLAGS, "default"), 0, 0, 0, 0, 0, False, None, None, None, None)
BUSY = WriterSnapshot(
    EndpointKey(ObjectRef("shop", "main"), "far"), 7, 2, 1, 3, 4096, False, EPOCH, "EndpointDown", "connection refused", EPOCH - 1
)


@dataclass
class FakePool:
    """Loops in given states, by profile type."""

    health: dict[str, Health]
    changes: Changes = field(default_factory=dict)

    def keys(self) -> Collection[str]:
        return ()

    async def sync(self, changes: Changes) -> None:
        self.changes = changes

    def states_of(self, source: ObjectRef) -> list[LoopState]:
        found = (s for s in self.changes.values() if s and s.source == source)
        return [LoopState(s, self.health[s.profile.type], EPOCH + 30) for s in found]


@dataclass
class FakeFanout:
    given: tuple[WriterSnapshot, ...] = ()

    renew = None

    def sync(self, endpoints: object) -> None: ...

    def forget(self, keep: object) -> None: ...

    def snapshots(self) -> tuple[WriterSnapshot, ...]:
        return self.given


async def shown(objects: list[dict[str, Any]], health: dict[str, Health], *endpoints: WriterSnapshot) -> dict[str, Any]:
    """The overview over these objects and two pods, as whoever asks over HTTP reads it."""
    metrics, book, fake = Metrics(), DeliveryBook(), FakePool(health)
    store, pool = Store(metrics), cast("ScrapePool", fake)
    for raw in objects:
        store.put_object(ScrapeObject.from_manifest(raw))
    store.put_pod(pod(labels={"app": "web"}))
    store.put_pod(pod("portless", "shop", container("app"), ip="10.0.0.2"))
    secrets = Secrets(store.changed, metrics)
    reconciler = Reconciler(
        store, pool, book, Policy(None, MIB), metrics, secrets=secrets, writes=writes(store, FakeFanout(), secrets)
    )
    await reconciler.reconcile()
    return await overview(Engine(store, pool, reconciler, cast("Fanout", FakeFanout(endpoints)), book, secrets))


async def test_nothing_is_known() -> None:
    assert await shown([], {}) == {"objects": [], "writes": [], "delivery": []}


async def test_objects_are_sorted() -> None:
    found = await shown([manifest("b", "x", port=0), manifest("a", "y", port=0), manifest("a", "x", port=0)], {})
    assert [(item["namespace"], item["name"]) for item in found["objects"]] == [("x", "a"), ("x", "b"), ("y", "a")]


async def test_an_object() -> None:
    raw = manifest(profilingConfig=only("memory", "processCPU", "goroutine"), params={"token": ["hunter2"]})
    (item,) = (await shown([raw], {"memory": GOOD, "process_cpu": BAD, "goroutine": EMPTY}))["objects"]
    assert (item["namespace"], item["name"]) == ("shop", "checkout")
    assert item["conditions"].keys() == {"Ready", "Accepted", "Discovered", "Scraping", "Delivering"}
    assert item["conditions"]["Accepted"] == {"status": "True", "reason": "Accepted", "message": "the object is valid"}
    (drop,) = item["dropped"]
    assert (drop["namespace"], drop["pod"], drop["reason"]) == ("shop", "portless", "PortNotFound")
    assert "set spec.port" in drop["message"]
    assert item["duplicates"] == []

    (target,) = item["targets"]
    scrapes = {scrape["profile"]: scrape for scrape in target.pop("scrapes")}
    discovered = target.pop("discoveredLabels")
    assert discovered["__address__"] == "10.0.0.1:6060"
    assert discovered["__meta_kubernetes_pod_label_app"] == "web"
    assert discovered["__param_token"] == "(not shown)"
    assert target == {
        "namespace": "shop",
        "pod": "web-0",
        "container": "app",
        "address": "10.0.0.1:6060",
        "scheme": "http",
        "labels": {
            "container": "app",
            "instance": "10.0.0.1:6060",
            "job": "shop/checkout",
            "namespace": "shop",
            "pod": "web-0",
            "service_name": "shop/app",
        },
    }
    assert scrapes["memory"] == {
        "profile": "memory",
        "path": "/debug/pprof/allocs",
        "seconds": None,
        "intervalSeconds": 15.0,
        "state": "up",
        "reason": "",
        "message": "",
        "lastScrape": "2027-01-15T08:00:00.500+00:00",
        "lastSuccess": "2027-01-15T08:00:00.500+00:00",
        "durationSeconds": 0.25,
        "bodyBytes": 1234,
        "nextScrape": "2027-01-15T08:00:30.000+00:00",
        "scrapes": 1,
        "failures": 0,
        "skippedSlots": 2,
    }
    assert scrapes["process_cpu"] == {
        **scrapes["memory"],
        "profile": "process_cpu",
        "path": "/debug/pprof/profile",
        "seconds": 14,
        "state": "down",
        "reason": "Timeout",
        "message": "no answer within 15s",
        "lastScrape": "2027-01-15T08:00:15.500+00:00",
        "durationSeconds": 0.5,
        "scrapes": 2,
        "failures": 1,
    }
    assert (scrapes["goroutine"]["state"], scrapes["goroutine"]["lastScrape"]) == ("unknown", None)


async def test_objects_that_are_not_acted_upon() -> None:
    found = await shown([manifest("invalid", port=0), manifest("asleep", suspend=True)], {})
    for item, reason in zip(found["objects"], ("Suspended", "InvalidSpec"), strict=True):
        assert item["conditions"]["Ready"]["reason"] == reason
        assert (item["targets"], item["dropped"], item["duplicates"]) == ([], [], [])


async def test_duplicates() -> None:
    objects = [manifest(name, profilingConfig=only("memory")) for name in ("first", "second")]
    _, second = (await shown(objects, {"memory": GOOD}))["objects"]
    assert second["targets"] == []
    assert second["duplicates"] == ["memory of web-0 is scraped by shop/first"]


async def test_delivery() -> None:
    found = await shown([], {}, IDLE, BUSY)
    assert found["delivery"] == [
        {
            "write": "default",
            "endpoint": "default",
            "sent": 0,
            "dropped": 0,
            "retried": 0,
            "queueProfiles": 0,
            "queueBytes": 0,
            "failingSince": None,
            "lastError": None,
            "lastErrorReason": None,
            "lastSuccess": None,
        },
        {
            "write": "shop/main",
            "endpoint": "far",
            "sent": 7,
            "dropped": 2,
            "retried": 1,
            "queueProfiles": 3,
            "queueBytes": 4096,
            "failingSince": "2027-01-15T08:00:00.000+00:00",
            "lastError": "connection refused",
            "lastErrorReason": "EndpointDown",
            "lastSuccess": "2027-01-15T07:59:59.000+00:00",
        },
    ]
