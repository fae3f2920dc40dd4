"""The real pipeline in one process on fake time: store → plan → loops → difference → queue → push request."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from pprof_builder import read
from scrape_fakes import EPOCH, Bench, FakeTargets, cumulative, snapshot

from pyroscope_operator._proto.push_pb2 import PushRequest, RawProfileSeries
from pyroscope_operator.engine.conditions import aspects
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.reconciler import Reconciler
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.engine.verdict import Policy
from pyroscope_operator.engine.writes import Writes
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import WriteEndpoint
from pyroscope_operator.push.fanout import Fanout
from pyroscope_operator.push.writer import EndpointWriter
from pyroscope_operator.scrape.pool import ScrapePool

pytestmark = pytest.mark.looptime
_REF = ObjectRef("shop", "checkout")


class Process:
    """A Go process: every memory profile has counted on, stack 1 by 10 and stack 2 by 1."""

    def __init__(self) -> None:
        self.scrapes = 0

    def answer(self, request: httpx.Request) -> bytes:
        if request.url.path != "/debug/pprof/allocs":
            return snapshot()
        self.scrapes += 1
        return cumulative(100 + 10 * self.scrapes, 5 + self.scrapes)


@dataclass
class Pyroscope:
    """Takes pushes, or refuses all with `down`."""

    down: bool = False
    series: list[RawProfileSeries] = field(default_factory=list)
    requests: int = 0

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.down:
            return httpx.Response(503)
        self.series += PushRequest.FromString(await request.aread()).series
        return httpx.Response(200, headers={"content-type": "application/proto"})

    def of(self, name: str) -> list[RawProfileSeries]:
        return [s for s in self.series if {"__name__": name}.items() <= _labels(s).items()]


@dataclass
class Bed:
    """The engine between a process and a Pyroscope."""

    engine: Engine
    bench: Bench
    pyroscope: Pyroscope

    def apply(self, generation: int = 1, **spec: Any) -> None:
        known = {"interval": "15s", "staticTargets": [{"address": "10.0.0.1:6060", "labels": {"service_name": "checkout"}}]}
        manifest = {
            "apiVersion": "pyroscope-operator.dev/v1alpha1",
            "kind": "PyroscopeScrape",
            "metadata": {"namespace": "shop", "name": "checkout", "uid": "u", "generation": generation},
            "spec": {**known, **spec},
        }
        self.engine.store.put_object(ScrapeObject.from_manifest(manifest))


@asynccontextmanager
async def running() -> AsyncIterator[Bed]:
    """Everything that `app.run` makes, on fake time and with transports that are functions."""
    process, pyroscope = Process(), Pyroscope()
    bench = Bench(FakeTargets(process.answer))
    loop = asyncio.get_running_loop()
    book = DeliveryBook()
    transport = httpx.MockTransport(pyroscope.handle)

    def open_writer(client: PushClient) -> EndpointWriter:
        return EndpointWriter(client, bench.metrics, book, clock=bench.now, monotonic=loop.time)

    fanout = Fanout(lambda _: transport, bench.metrics, book, open_writer=open_writer)
    pool = ScrapePool(replace(bench.context, sink=fanout))
    store = Store(bench.metrics)
    policy = Policy(privileged_namespaces=None, body_limit=1 << 20)
    secrets = Secrets(store.changed, bench.metrics)
    made = Writes(store, fanout, secrets, WriteEndpoint("http://pyroscope:4040"))
    reconciler = Reconciler(store, pool, book, policy, bench.metrics, secrets=secrets, writes=made)
    engine = Engine(store, pool, reconciler, fanout, book, secrets)
    engine.synced.set()
    async with asyncio.TaskGroup() as group:
        group.create_task(fanout.run())
        work = group.create_task(engine.run())
        yield Bed(engine, bench, pyroscope)
        work.cancel()
        await asyncio.wait([work])
        await fanout.drain(5)


def _labels(series: RawProfileSeries) -> dict[str, str]:
    return {pair.name: pair.value for pair in series.labels}


def _memory(pyroscope: Pyroscope) -> Iterator[dict[int, list[int]]]:
    """Values by address of each memory profile that arrived, in order."""
    for series in pyroscope.of("memory"):
        (sample,) = series.samples
        yield {stack[0]: values for (stack, _), values in read(gzip.decompress(sample.raw_profile)).items()}


async def test_labels_and_differences_are_exact() -> None:
    async with running() as bed:
        bed.apply(profilingConfig={"block": {"enabled": False}, "mutex": {"enabled": False}})
        await asyncio.sleep(15 * 10 + 5)
        seen = bed.engine.observations()[_REF]
        assert {kind: aspect.reason for kind, aspect in aspects(seen).items()} == {
            "Ready": "AllUp",
            "Accepted": "Accepted",
            "Discovered": "TargetsFound",
            "Scraping": "AllUp",
            "Delivering": "Delivered",
        }
    common = {"service_name": "checkout", "namespace": "shop", "job": "shop/checkout", "instance": "10.0.0.1:6060"}
    assert {tuple(sorted(_labels(s).items())) for s in bed.pyroscope.series} == {
        tuple(sorted({**common, "__name__": name, **more}.items()))
        for name, more in (("memory", {"__delta__": "false"}), ("goroutine", {}), ("process_cpu", {}))
    }
    profiles = list(_memory(bed.pyroscope))
    assert len(profiles) == bed.bench.targets.paths.count("/debug/pprof/allocs") - 1, "all but the baseline"
    assert all(values == {1: [10, 100, 1, 10], 2: [1, 10, 1, 10]} for values in profiles)
    ids = [sample.ID for series in bed.pyroscope.series for sample in series.samples]
    assert len(ids) == len(set(ids))
    assert bed.pyroscope.requests < len(ids) / 2, "batches"


async def test_pyroscope_down_for_twenty_intervals() -> None:
    """No slot is missed, and everything that was scraped meanwhile arrives, once and in order."""
    async with running() as bed:
        bed.apply()
        await asyncio.sleep(15 * 3 + 5)
        bed.pyroscope.down = True
        await asyncio.sleep(15 * 20)
        assert aspects(bed.engine.observations()[_REF])["Delivering"].reason == "PushFailing"
        bed.pyroscope.down = False
        await asyncio.sleep(15 * 3)
        assert aspects(bed.engine.observations()[_REF])["Delivering"].reason == "Delivered"
    asked = Counter(bed.bench.targets.paths)
    assert set(asked.values()) == {asked["/debug/pprof/allocs"]} and asked["/debug/pprof/allocs"] >= 26
    assert bed.bench.value("scrape_slots_skipped_total") == 0
    assert len(list(_memory(bed.pyroscope))) == asked["/debug/pprof/allocs"] - 1
    assert len(bed.pyroscope.of("goroutine")) == asked["/debug/pprof/goroutine"]
    ids = [sample.ID for series in bed.pyroscope.series for sample in series.samples]
    assert len(ids) == len(set(ids))


async def test_an_edit_keeps_phase_and_difference() -> None:
    async with running() as bed:
        bed.apply()
        await asyncio.sleep(15 * 4)
        bed.apply(generation=2, jobName="renamed", profilingConfig={"mutex": {"enabled": False}})
        await asyncio.sleep(15 * 4)
        bed.apply(generation=3, suspend=True)
        await asyncio.sleep(1)
        mark = len(bed.bench.targets.requests)
        await asyncio.sleep(60)
        assert len(bed.bench.targets.requests) == mark, "suspended"
    times = [t for t, path in zip(bed.bench.targets.times, bed.bench.targets.paths, strict=True) if path.endswith("allocs")]
    assert {round((EPOCH + t) % 15, 3) for t in times} == {round((EPOCH + times[0]) % 15, 3)}
    assert all(values == {1: [10, 100, 1, 10], 2: [1, 10, 1, 10]} for values in _memory(bed.pyroscope)), "no baseline in between"
    assert {_labels(s)["job"] for s in bed.pyroscope.of("memory")} == {"shop/checkout", "renamed"}
