"""A target that answers as told, on fake time, and all that a scraper needs around it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

import httpx
from pprof_builder import ALLOCS, raw

from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import ProfileRequest, Scrape, Target
from pyroscope_operator.pprof.delta import DeltaComputer
from pyroscope_operator.scrape.fetch import Fetcher
from pyroscope_operator.scrape.pool import ScrapePool
from pyroscope_operator.scrape.room import Room
from pyroscope_operator.scrape.scraper import Context
from pyroscope_operator.scrape.ticker import Ticker
from pyroscope_operator.scrape.workers import Workers

EPOCH = 1_800_000_000.0
INTERVAL = 15.0
SHOP = ObjectRef("shop", "checkout")
LABELS = Labels({"service_name": "checkout", "namespace": "shop", "pod": "checkout-0"})

CPU = ProfileRequest("process_cpu", "process_cpu", "/debug/pprof/profile", 14, cumulative=False, is_delta_label=False)
MEMORY = ProfileRequest("memory", "memory", "/debug/pprof/allocs", None, cumulative=True, is_delta_label=True)
GOROUTINE = ProfileRequest("goroutine", "goroutine", "/debug/pprof/goroutine", None, cumulative=False, is_delta_label=False)
CUSTOM = ProfileRequest("threads", "threads", "/threads", None, cumulative=False, is_delta_label=False, custom=True)

Answer = bytes | httpx.Response | Exception | Awaitable[bytes]


def target(**fields: Any) -> Target:
    known = {"pod_uid": "uid-0", "namespace": "shop", "pod": "checkout-0", "container": "app", "scheme": "http"}
    return Target(**{**known, "address": "10.0.0.1:6060", "container_id": "c1", "labels": LABELS, **fields})


def scrape(profile: ProfileRequest = GOROUTINE, at: Target | None = None, **fields: Any) -> Scrape:
    known = {"interval": INTERVAL, "timeout": 15.0 + (profile.seconds or 0), "body_limit": 1 << 20}
    return Scrape(source=SHOP, target=at or target(), profile=profile, **{**known, **fields})


def cumulative(*counts: int) -> bytes:
    """A memory profile of a process that allocated `counts[i]` objects of 10 bytes at stack i, and holds one of each."""
    return gzip.compress(raw([((i + 1,), (n, 10 * n, 1, 10)) for i, n in enumerate(counts)], ALLOCS), mtime=0)


def baseline(*counts: int) -> int:
    """How many bytes `cumulative(*counts)` takes as a baseline."""
    computer = DeltaComputer(1 << 20)
    computer.difference(cumulative(*counts))
    return computer.size


def snapshot(samples: int = 1) -> bytes:
    """A profile that is sent as it is."""
    return gzip.compress(raw([((i + 1,), (1,)) for i in range(samples)], [("goroutine", "count")]), mtime=0)


class Chunks(httpx.AsyncByteStream):
    """A body that is read as a stream, like those of a real transport."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks
        self.sent = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            self.sent += 1
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


def response(*chunks: bytes, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, stream=Chunks(*chunks), headers={k.replace("_", "-"): v for k, v in headers.items()})


class FakeTargets:
    """Gives what `answer` says, and keeps what it was asked, when, and how many at the same time."""

    def __init__(self, answer: Callable[[httpx.Request], Answer] | None = None) -> None:
        self.answer: Callable[[httpx.Request], Answer] = answer or (lambda _: snapshot())
        self.requests: list[httpx.Request] = []
        self.times: list[float] = []
        self.running: list[str] = []
        self.most = 0

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        self.running.append(request.url.path)
        self.most = max(self.most, len(self.running))
        try:
            answer = self.answer(request)
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, bytes | httpx.Response):
                return answer if isinstance(answer, httpx.Response) else response(answer)
            return response(await answer)
        finally:
            answer = b""  # an error holds this frame
            self.running.remove(request.url.path)


def answers(*many: Answer) -> Callable[[httpx.Request], Answer]:
    """One answer after the other."""
    left: Iterable[Answer] = iter(many)
    return lambda _: next(iter(left))


class Kept(list[Profile]):
    """A Sink."""

    put = list.append


class Inline(Executor):
    """Runs work at once, and counts it; `before` is called before each."""

    def __init__(self) -> None:
        self.calls = 0
        self.before: Callable[[], None] = lambda: None

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        self.before()
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        try:
            return done
        finally:
            del done  # it holds the error, which holds this frame


@dataclass
class Bench:
    """What scrapers share. The wall clock is EPOCH + the loop's time + `shift`."""

    targets: FakeTargets = field(default_factory=FakeTargets)
    sink: Kept = field(default_factory=Kept)
    metrics: Metrics = field(default_factory=Metrics)
    executor: Inline = field(default_factory=Inline)
    bodies: Room = field(default_factory=lambda: Room(1 << 24, "--body-memory"))
    baselines: Room = field(default_factory=lambda: Room(1 << 24, "--baseline-memory"))
    workers: Workers = field(init=False)
    ticker: Ticker = field(init=False)
    shift: float = 0.0
    drift: float = 1.0

    def __post_init__(self) -> None:
        self.workers = Workers(self.executor, 2)
        self.ticker = Ticker(self.now, self.metrics.scrape_lateness.observe)

    def now(self) -> float:
        return EPOCH + self.drift * asyncio.get_running_loop().time() + self.shift

    @property
    def context(self) -> Context:
        return Context(
            Fetcher(lambda _: httpx.MockTransport(self.targets.handle)),
            self.sink,
            self.metrics,
            self.bodies,
            self.baselines,
            self.workers,
            self.now,
        )

    def pool(self) -> ScrapePool:
        return ScrapePool(self.context)

    def value(self, name: str, **labels: str) -> float:
        """A metric, 0 if it was never touched."""
        return self.metrics.registry.get_sample_value(f"pyroscope_operator_{name}", labels) or 0.0


async def sync(pool: ScrapePool, scrapes: Iterable[Scrape]) -> None:
    """Have these scrapes and no others."""
    changes: dict[str, Scrape | None] = dict.fromkeys(pool.keys())
    await pool.sync(changes | {one.key: one for one in scrapes})
