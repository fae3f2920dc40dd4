"""From what is known to what is scraped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from pyroscope_operator.discovery.plan import ObjectPlan, Wanted, plan
from pyroscope_operator.engine.access import REASONS, ReferenceProblem, Resolver, references
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.engine.verdict import Policy, Verdict, judge
from pyroscope_operator.engine.writes import WriteDecision, Writes
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.data import DataRef
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.scrape.pool import ScrapePool

_LOG = logging.getLogger(__name__)
_GATHER_SECONDS = 0.1
"""Events come in bursts: one computation for all that arrive within this time."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the last reconcile decided; one value, replaced as a whole."""

    generations: dict[ObjectRef, int] = field(default_factory=dict)
    """Of the objects as they were read."""
    verdicts: dict[ObjectRef, Verdict] = field(default_factory=dict)
    plans: dict[ObjectRef, ObjectPlan] = field(default_factory=dict)
    """Of the accepted objects that are not suspended."""
    writes: WriteDecision = field(default_factory=WriteDecision)
    forwards: dict[ObjectRef, tuple[ObjectRef, ...]] = field(default_factory=dict)
    """The writes that get the profiles of each accepted object."""


class Judged(NamedTuple):
    """An object and what is said of it by itself."""

    found: ScrapeObject
    verdict: Verdict


class Reconciler:
    """The one task that changes the scrape pool."""

    def __init__(
        self,
        store: Store,
        pool: ScrapePool,
        book: DeliveryBook,
        policy: Policy,
        metrics: Metrics,
        *,
        secrets: Secrets,
        writes: Writes,
    ) -> None:
        self.decision = Decision()
        self._secrets = secrets
        self._resolver = Resolver(secrets.lookup)
        self._store = store
        self._pool = pool
        self._writes = writes
        self._book = book
        self._policy = policy
        self._metrics = metrics

    async def run(self) -> None:
        """Reconcile after each change, until cancelled; then stop all loops."""
        try:
            while True:
                await self._store.changed.wait()
                await asyncio.sleep(_GATHER_SECONDS)
                self._store.changed.clear()
                try:
                    await self.reconcile()
                except Exception:  # a bug must not end the task that all objects share
                    _LOG.exception("reconcile failed: scraping goes on as before")
        finally:
            await self._pool.close()

    async def reconcile(self) -> None:
        """Compute everything anew and bring the pool in step."""
        judged = self.judged()  # as they are now: what comes while Secrets are read has its own turn
        await self._secrets.ensure(_references(judged.values()) | self._writes.references())
        with self._metrics.reconcile_seconds.time():
            decision = self.decide(judged)
        self._secrets.doubt(_references(_failing(judged, decision)) | self._writes.references(failing=decision.writes))
        self._writes.sync(decision.writes)
        await self._pool.sync(scrape for mine in decision.plans.values() for scrape in mine.scrapes)
        for ref, mine in decision.plans.items():
            if mine.bug is not None:
                _LOG.error("nothing of %s is scraped: a bug of the operator", ref, exc_info=mine.bug, extra={"object": str(ref)})
        _tell(self.decision.verdicts, decision.verdicts)
        _tell(self.decision.writes.verdicts, decision.writes.verdicts)
        self.decision = decision
        self._book.forget(decision.verdicts.keys())

    def judged(self) -> dict[ObjectRef, Judged]:
        """Every object, with what is said of it by itself."""
        return {ref: Judged(found, judge(found, self._policy, self._store.writes)) for ref, found in self._store.objects.items()}

    def decide(self, judged: Mapping[ObjectRef, Judged]) -> Decision:
        """Pure but for reading pods and Secrets."""
        verdicts, wanted = {ref: verdict for ref, (_, verdict) in judged.items()}, []
        for ref, (found, verdict) in judged.items():
            if found.spec is not None and verdict.accepted:
                try:
                    access = self._resolver.resolve(ref, found.spec, ref.namespace)
                except ReferenceProblem as problem:
                    verdicts[ref] = Verdict(problem.reason, problem.message)
                else:
                    wanted.append(Wanted(ref, found.created, found.spec, access))
        self._resolver.forget(judged.keys())
        generations = {ref: found.generation for ref, (found, _) in judged.items()}
        plans = plan(wanted, self._store.pods_in, self._policy.body_limit)
        return Decision(generations, verdicts, plans, self._writes.decide(), self._forwards(wanted))

    def _forwards(self, wanted: Sequence[Wanted]) -> dict[ObjectRef, tuple[ObjectRef, ...]]:
        default = (self._policy.default_write,) if self._policy.default_write else ()
        return {one.ref: one.spec.writes(one.ref.namespace) or default for one in wanted}


def _tell(before: Mapping[ObjectRef, Verdict], now: Mapping[ObjectRef, Verdict]) -> None:
    """Log what keeps a valid object from being used: without a cluster there is no status to look at."""
    for ref, verdict in now.items():
        if verdict.reason in REASONS and before.get(ref) != verdict:
            _LOG.warning("not accepted: %s: %s", verdict.reason, verdict.message, extra={"object": str(ref)})


def _failing(judged: Mapping[ObjectRef, Judged], decision: Decision) -> Iterator[Judged]:
    """Objects that would be accepted but for what they refer to."""
    return (item for ref, item in judged.items() if item.verdict.accepted and not decision.verdicts[ref].accepted)


def _references(judged: Iterable[Judged]) -> frozenset[DataRef]:
    """All that the accepted objects refer to; Secrets of others are not even read."""
    accepted = (found for found, verdict in judged if verdict.accepted)
    return frozenset(chain.from_iterable(references(found.spec, found.ref.namespace) for found in accepted if found.spec))
