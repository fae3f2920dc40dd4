"""What happens at a slot: fetch, check, take the difference, hand over to the sink."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from pyroscope_operator.errors import FetchError, ProfileError, ScrapeError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.profile import Profile, Sink
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape
from pyroscope_operator.pprof import core
from pyroscope_operator.pprof.delta import DeltaComputer
from pyroscope_operator.pprof.gunzip import decompress, stated_size
from pyroscope_operator.pprof.prepare import Prepared, Skipped, prepare
from pyroscope_operator.scrape.fetch import UNAUTHORIZED, Answer, Fetcher, request_for, url_of
from pyroscope_operator.scrape.health import UNTRIED
from pyroscope_operator.scrape.room import Claim, Room
from pyroscope_operator.scrape.workers import Cost, Workers

_LOG = logging.getLogger(__name__)
_INLINE_BYTES = (64 if core.IS_NATIVE else 16) * 1024
"""Profiles up to this, uncompressed, are worked on by the event loop: it takes less than 1 ms."""
_QUICK_BYTES = 512 * 1024
"""Profiles up to this, if it has a moment; otherwise, and larger ones, in a thread."""


@dataclass(frozen=True, slots=True)
class Context:
    """What all scrapers share."""

    fetcher: Fetcher
    sink: Sink
    metrics: Metrics
    bodies: Room
    """For the bodies that are being read or worked on."""
    baselines: Room
    """For what cumulative profiles are compared with."""
    workers: Workers
    """Do the work on large profiles."""
    clock: Callable[[], float]
    """Unix time in seconds."""
    unauthorized: Callable[[ObjectRef], None] = lambda _: None
    """Called when a target has not accepted the credentials of this object."""


class Scraper:
    """Does one scrape over and over: owns its delta state and its health."""

    __slots__ = ("_baseline", "_baseline_lost", "_context", "_cost", "_delta", "_meters", "_request", "_scrape", "health")

    def __init__(self, scrape: Scrape, context: Context) -> None:
        self.health = UNTRIED
        self._context = context
        self._delta: DeltaComputer | None = None
        self._baseline: Claim | None = None
        self._baseline_lost = False
        self._cost = Cost()
        self._scrape = scrape
        self._request = request_for(scrape)
        self._meters = context.metrics.meters(scrape.profile.metric_type)
        self._new_delta()

    @property
    def scrape(self) -> Scrape:
        return self._scrape

    def update(self, scrape: Scrape) -> None:
        """Scrape as `scrape` says from now on; a restarted container begins a new baseline."""
        before, self._scrape = self._scrape, scrape
        if url_of(scrape) != url_of(before):
            self._request = request_for(scrape)
        restarted = before.target.container_id and before.target.container_id != scrape.target.container_id
        remade = (before.profile.cumulative, before.body_limit) != (scrape.profile.cumulative, scrape.body_limit)
        if restarted or remade:
            self._new_delta()

    def _new_delta(self) -> None:
        """Forget the baseline. A computation that is still running keeps the old one to itself."""
        cumulative = self._scrape.profile.cumulative
        self._delta = DeltaComputer(max_raw_bytes=self._scrape.body_limit) if cumulative else None
        self.close()

    def close(self) -> None:
        """Free the room that the baseline takes."""
        if self._baseline:
            self._baseline.leave()
        self._baseline = None

    def _lose_baseline(self) -> None:
        self._baseline_lost = True
        self._new_delta()

    def _keep_baseline(self, scrape: Scrape, computer: DeltaComputer) -> None:
        """Claim room for it. Raises FetchError MemoryFull if there is none, or was none before."""
        if computer is not self._delta:
            return
        if self._baseline is None:
            self._baseline = self._context.baselines.enter(scrape.target.namespace, self._lose_baseline)
        try:
            self._baseline.resize(computer.size)
        except FetchError:
            self._new_delta()
            raise
        if self._baseline_lost:
            self._baseline_lost = False
            raise self._context.baselines.full()

    async def once(self) -> None:
        """One scrape. Never raises: what goes wrong stands in `health`."""
        scrape, started = self._scrape, self._context.clock()
        try:
            body_bytes = await self._scrape_once(scrape, started)
        except ScrapeError as error:
            self._failed(scrape, started, error)
        except Exception:  # a bug of ours must not end the loop
            _LOG.exception("scrape failed unexpectedly", extra=_names(scrape))
            self._failed(scrape, started, ScrapeError("InternalError", "a bug in the operator: see its log"))
        else:
            self._succeeded(scrape, started, body_bytes)

    async def _scrape_once(self, scrape: Scrape, started: float) -> int:
        context, computer = self._context, self._delta  # as the request asks for it: an update may come while it runs
        with context.bodies.claim(scrape.target.namespace) as claim:
            answer = await context.fetcher.fetch(self._request, scrape, claim)
            context.metrics.scrape_bytes.inc(len(answer.body))
            prepared = await self._prepared(answer, scrape, computer, claim)
        if isinstance(prepared, Prepared):
            context.sink.put(
                Profile(
                    source=scrape.source,
                    labels=scrape.labels,
                    body=prepared.body,
                    raw_bytes=prepared.raw_bytes,
                    samples=prepared.samples,
                    scraped_at=started,
                    forward_to=scrape.forward_to,
                )
            )
        elif prepared is Skipped.BASELINE:
            context.metrics.baselines.inc()
        else:
            context.metrics.empty.inc()
        if computer is not None:
            self._keep_baseline(scrape, computer)
        return len(answer.body)

    async def _prepared(self, answer: Answer, scrape: Scrape, computer: DeltaComputer | None, claim: Claim) -> Prepared | Skipped:
        limit, workers = scrape.body_limit, self._context.workers
        size = max(len(answer.body), stated_size(answer.body))
        is_quick = _INLINE_BYTES < size <= _QUICK_BYTES and workers.has_moment(self._cost)
        bound = _QUICK_BYTES if is_quick else _INLINE_BYTES
        if size <= bound:
            work = partial(self._prepare, answer, computer, min(limit, bound))
            try:
                return workers.at_once(self._cost, work) if is_quick else work()
            except ProfileError as error:  # gzip may hold a thousand times its own size, and lie about it
                if error.reason != "BodyTooLarge" or limit <= bound:
                    raise
        work = partial(self._prepare, answer, computer, limit)
        return await workers.run(self._cost, work, claim.pin, patience=scrape.interval)

    def _prepare(self, answer: Answer, computer: DeltaComputer | None, limit: int) -> Prepared | Skipped:
        """In a thread for large bodies: touches nothing of the scraper."""
        body = decompress(answer.body, limit) if answer.encoded else answer.body
        if computer is None:
            return prepare(body, limit, None)
        began = perf_counter()
        try:
            return prepare(body, limit, computer)
        finally:
            self._context.metrics.delta_seconds.observe(perf_counter() - began)

    def skipped(self, slots: int) -> None:
        """Count slots that began while a scrape was still running."""
        self.health = self.health.skipped(slots)
        self._context.metrics.slots_skipped.inc(slots)

    def _succeeded(self, scrape: Scrape, started: float, body_bytes: int) -> None:
        ended = max(started, self._context.clock())
        if self.health.up is False:
            _LOG.info("target is up again", extra=_names(scrape))
        self.health = self.health.succeeded(started, ended, body_bytes)
        self._meters.good.inc()
        self._observe(scrape, ended - started)

    def _failed(self, scrape: Scrape, started: float, error: ScrapeError) -> None:
        ended = max(started, self._context.clock())
        if (self.health.up, self.health.reason) != (False, error.reason):
            _LOG.warning("scrape failed: %s", error, extra=_names(scrape))
        if error.reason == UNAUTHORIZED:
            self._context.unauthorized(scrape.source)
        self.health = self.health.failed(started, ended, error)
        self._context.metrics.scrapes.labels(scrape.profile.metric_type, error.reason).inc()
        self._observe(scrape, ended - started)

    def _observe(self, scrape: Scrape, duration: float) -> None:
        self._meters.seconds.observe(max(0.0, duration - (scrape.profile.seconds or 0)))


def _names(scrape: Scrape) -> dict[str, str]:
    """Who it is, for a log line."""
    target = scrape.target
    return {"object": str(scrape.source), "pod": target.pod, "target": target.address, "profile_type": scrape.profile.type}
