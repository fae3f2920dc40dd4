"""The parts of the engine, held together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.reconciler import Reconciler
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import Store
from pyroscope_operator.engine.write_conditions import WriteObservation
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.fanout import Fanout
from pyroscope_operator.push.writer import WriterSnapshot
from pyroscope_operator.scrape.pool import ScrapePool


@dataclass(frozen=True, slots=True)
class Engine:
    """What a source of objects (the controller, or files) fills, runs and reads."""

    store: Store
    pool: ScrapePool
    reconciler: Reconciler
    fanout: Fanout
    book: DeliveryBook
    secrets: Secrets
    """The source of objects feeds it, with `Secrets.run`."""
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the store knows everything that exists: deciding earlier would take duplicates for originals."""

    async def run(self) -> None:
        """Scrape what the store says, from the first complete knowledge until cancelled."""
        await self.synced.wait()
        await self.reconciler.run()

    def observations(self) -> dict[ObjectRef, Observation]:
        """How every object is doing; objects that no reconcile has seen yet are left out."""
        found = ((ref, self.observation(ref)) for ref in self.reconciler.decision.verdicts)
        return {ref: seen for ref, seen in found if seen is not None}

    def observation(self, ref: ObjectRef) -> Observation | None:
        """How one object is doing; None if no reconcile has seen it yet."""
        decision = self.reconciler.decision
        verdict = decision.verdicts.get(ref)
        if verdict is None:
            return None
        return Observation(
            generation=decision.generations[ref],
            verdict=verdict,
            plan=decision.plans.get(ref),
            loops=self.pool.states_of(ref),
            delivery=self.book.get(ref, decision.forwards.get(ref)),
        )

    def write_observations(self) -> dict[ObjectRef, WriteObservation]:
        """How every write is doing; objects that no reconcile has seen yet are left out."""
        endpoints: dict[ObjectRef, list[WriterSnapshot]] = {}
        for snapshot in self.fanout.snapshots():
            endpoints.setdefault(snapshot.key.write, []).append(snapshot)
        decision = self.reconciler.decision.writes
        return {
            ref: WriteObservation(decision.generations[ref], verdict, tuple(endpoints.get(ref, ())))
            for ref, verdict in decision.verdicts.items()
        }
