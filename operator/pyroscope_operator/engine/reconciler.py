"""From what is known to what is scraped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery import selector
from pyroscope_operator.discovery.contests import Changes
from pyroscope_operator.discovery.discovery import Discovery
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.engine.access import REASONS, ReferenceProblem, Resolver, references
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.engine.turns import in_turns
from pyroscope_operator.engine.verdict import Policy, Verdict, judge, without_namespaces
from pyroscope_operator.engine.writes import WriteDecision, Writes
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.data import DataRef
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.scrape.pool import ScrapePool

_LOG = logging.getLogger(__name__)
_GATHER_SECONDS = 0.02
"""Events come in bursts, even small ones."""
_APART_SECONDS = 0.1
"""Least time from one reconcile to the next: what arrives meanwhile is dealt with together."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided when an object or a Secret last changed; one value, replaced as a whole."""

    generations: dict[ObjectRef, int] = field(default_factory=dict)
    """Of the objects as they were read."""
    verdicts: dict[ObjectRef, Verdict] = field(default_factory=dict)
    plans: Mapping[ObjectRef, ObjectPlan] = field(default_factory=dict)
    """Of the accepted objects that are not suspended; these follow the pods, all else is as it was decided."""
    writes: WriteDecision = field(default_factory=WriteDecision)
    forwards: dict[ObjectRef, tuple[ObjectRef, ...]] = field(default_factory=dict)
    """The writes that get the profiles of each accepted object."""


class Judged(NamedTuple):
    """An object and what is said of it by itself."""

    found: ScrapeObject
    verdict: Verdict
    spec: PyroscopeScrapeSpec | None
    """As it is acted upon: no faster than the operator allows."""


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
        self._discovery: Discovery | None = None
        """In step with the pool. None: it is built anew."""
        self._editions: tuple[int, ...] | None = None
        """Those of objects, Secrets and the knowledge of namespaces, on which was decided."""
        self._judged: dict[ObjectRef, Judged] = {}
        self._judged_by: set[ObjectRef] = set()
        """The writes that existed then."""
        self._bugs: dict[ObjectRef, Exception] = {}

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
                await asyncio.sleep(_APART_SECONDS)
        finally:
            await self._pool.close()

    async def reconcile(self) -> None:
        """Bring the pool in step with what has changed; with everything, at first and after a failure."""
        since, self._store.since = self._store.since, None
        discovery, self._discovery = self._discovery, None  # not kept if anything fails
        stopped: Changes = {}
        if discovery is None:
            discovery, self._editions = self._anew(), None
            stopped = dict.fromkeys(self._pool.keys())
        wanted = None
        if self._editions != self._current(self._store.edition):
            decision, wanted = await self._reconsider(discovery)
        else:
            decision = self.decision
        pods = ((pod, self._store.pod(pod)) for pod in self._store.take_pods())
        steps = discovery.taking(wanted, pods, self._store.namespaces.take())
        self._metrics.reconcile_seconds.observe(await in_turns(steps))
        if decision is not self.decision:
            self._writes.sync(decision.writes)
            self._book.forget(decision.verdicts.keys())
        await self._pool.sync(stopped | discovery.changes())
        self._tell(decision, discovery.bugs())
        discovery.publish()
        self.decision, self._discovery = decision, discovery
        if since is not None:
            self._metrics.change_seconds.observe(time.monotonic() - since)

    def _anew(self) -> Discovery:
        policy = self._policy
        return Discovery(self._store.pods_in, policy.body_limit, policy.target_limit, self._store.namespaces.labels)

    def _current(self, edition: int) -> tuple[int, ...]:
        return edition, self._secrets.edition, self._store.namespaces.edition

    def ask(self) -> None:
        """Say whether namespaces are wanted, before the first decision."""
        self._ask(self.judged())

    def _ask(self, judged: Mapping[ObjectRef, Judged]) -> None:
        self._store.namespaces.want(any(_needs_namespaces(item) for item in judged.values()))

    async def _reconsider(self, discovery: Discovery) -> tuple[Decision, dict[ObjectRef, Wanted]]:
        """Decide anew on all objects, and say which are wanted; those that are as they were cost next to nothing."""
        edition = self._store.edition
        judged = self._judged = self.judged()  # as they are now: what comes while Secrets are read has its own turn
        self._ask(judged)
        await self._secrets.ensure(_references(judged.values()) | self._writes.references())
        self._editions = self._current(edition)
        decision, wanted = self.decide(judged, discovery)
        self._secrets.doubt(_references(_failing(judged, decision)) | self._writes.references(failing=decision.writes))
        return decision, wanted

    def judged(self) -> dict[ObjectRef, Judged]:
        """Every object, with what is said of it by itself."""
        writes = self._store.writes.keys()
        before, same_writes = self._judged, self._judged_by == writes
        self._judged_by = set(writes)
        judged = {}
        for ref, found in self._store.objects.items():
            known = before.get(ref)
            if known is None or known.found is not found:
                judged[ref] = Judged(found, judge(found, self._policy, writes), found.spec and self._policy.paced(found.spec))
            else:
                judged[ref] = known if same_writes else known._replace(verdict=judge(found, self._policy, writes))
        return judged

    def decide(
        self, judged: Mapping[ObjectRef, Judged], plans: Mapping[ObjectRef, ObjectPlan]
    ) -> tuple[Decision, dict[ObjectRef, Wanted]]:
        """What is decided, and the objects that are wanted. Pure but for reading Secrets."""
        verdicts: dict[ObjectRef, Verdict] = {}
        wanted: dict[ObjectRef, Wanted] = {}
        for ref, (found, verdict, spec) in judged.items():
            verdicts[ref] = verdict
            if spec is not None and verdict.accepted:
                outcome = self._outcome(found, spec)
                if isinstance(outcome, Wanted):
                    wanted[ref] = outcome
                else:
                    verdicts[ref] = outcome
        self._resolver.forget(judged.keys())
        generations = {ref: item.found.generation for ref, item in judged.items()}
        decision = Decision(generations, verdicts, plans, self._writes.decide(), self._forwards(wanted.values()))
        return decision, wanted

    def _outcome(self, found: ScrapeObject, spec: PyroscopeScrapeSpec) -> Wanted | Verdict:
        """A valid object with what it needs, or what is missing."""
        if (missing := without_namespaces(spec, self._store.namespaces.knowledge)) is not None:
            return missing
        try:
            return Wanted(found.ref, found.created, spec, self._resolver.resolve(found.ref, spec, found.ref.namespace))
        except ReferenceProblem as problem:
            return Verdict(problem.reason, problem.message)

    def _forwards(self, wanted: Iterable[Wanted]) -> dict[ObjectRef, tuple[ObjectRef, ...]]:
        default = (self._policy.default_write,) if self._policy.default_write else ()
        return {one.ref: one.spec.writes(one.ref.namespace) or default for one in wanted}

    def _tell(self, decision: Decision, bugs: dict[ObjectRef, Exception]) -> None:
        """Log what is new of what goes wrong."""
        for ref, bug in bugs.items():
            if self._bugs.get(ref) is not bug:
                _LOG.error("nothing of %s is scraped: a bug of the operator", ref, exc_info=bug, extra={"object": str(ref)})
        self._bugs = bugs
        if decision is not self.decision:
            _tell(self.decision.verdicts, decision.verdicts)
            _tell(self.decision.writes.verdicts, decision.writes.verdicts)


def _tell(before: Mapping[ObjectRef, Verdict], now: Mapping[ObjectRef, Verdict]) -> None:
    """Log what keeps a valid object from being used: without a cluster there is no status to look at."""
    for ref, verdict in now.items():
        if verdict.reason in REASONS and before.get(ref) != verdict:
            _LOG.warning("not accepted: %s: %s", verdict.reason, verdict.message, extra={"object": str(ref)})


def _failing(judged: Mapping[ObjectRef, Judged], decision: Decision) -> Iterator[Judged]:
    """Objects that would be accepted but for what they refer to."""
    return (item for ref, item in judged.items() if item.verdict.accepted and decision.verdicts[ref].reason in REASONS)


def _needs_namespaces(item: Judged) -> bool:
    spec = item.found.spec
    return spec is not None and item.verdict.accepted and not spec.suspend and selector.needs_namespaces(spec)


def _references(judged: Iterable[Judged]) -> frozenset[DataRef]:
    """All that the accepted objects refer to; Secrets of others are not even read."""
    accepted = (found for found, verdict, _ in judged if verdict.accepted)
    return frozenset(chain.from_iterable(references(found.spec, found.ref.namespace) for found in accepted if found.spec))
