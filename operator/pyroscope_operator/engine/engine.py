"""The parts of the engine, held together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.reconciler import Decision, Reconciler
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import Store
from pyroscope_operator.engine.write_conditions import WriteObservation
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.fanout import Fanout
from pyroscope_operator.push.writer import WriterSnapshot
from pyroscope_operator.scrape.pool import LoopState, ScrapePool


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
        loops: dict[ObjectRef, list[LoopState]] = {}
        for state in self.pool.states().values():
            loops.setdefault(state.scrape.source, []).append(state)
        decision = self.reconciler.decision
        return {ref: self.observation(ref, decision, loops.get(ref, ())) for ref in decision.verdicts}

    def observation(self, ref: ObjectRef, decision: Decision, loops: Sequence[LoopState] = ()) -> Observation:
        """How an object is doing that `decision` knows, with these loops."""
        return Observation(
            generation=decision.generations[ref],
            verdict=decision.verdicts[ref],
            plan=decision.plans.get(ref),
            loops=loops,
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
