"""Everything that is known at one moment: taken on the event loop, read in a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.write_conditions import WriteObservation
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.writer import WriterSnapshot
from pyroscope_operator.scrape.pool import LoopState

_STRETCH_SECONDS = 0.01
"""For which the event loop is kept at a time, or as long as the plan of one object takes."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Nothing in it changes any more."""

    taken: float = 0.0
    """Unix seconds."""
    loops: tuple[LoopState, ...] = ()
    known: Mapping[ObjectRef, Observation] = field(default_factory=dict)
    """The objects, without their loops."""
    writes: Mapping[ObjectRef, WriteObservation] = field(default_factory=dict)
    delivery: tuple[WriterSnapshot, ...] = ()

    def observations(self) -> dict[ObjectRef, Observation]:
        """How every object is doing, by namespace and name."""
        loops: dict[ObjectRef, list[LoopState]] = {}
        for state in self.loops:
            loops.setdefault(state.scrape.source, []).append(state)
        return {ref: replace(seen, loops=loops.get(ref, ())) for ref, seen in sorted(self.known.items())}


async def take(engine: Engine) -> Snapshot:
    """A snapshot; others have their turn while it is taken, so objects may be some milliseconds older than loops."""
    loops = tuple(engine.pool.states().values())
    decision, known, began = engine.reconciler.decision, {}, time.monotonic()
    for ref in decision.verdicts:
        if time.monotonic() - began > _STRETCH_SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()
        known[ref] = engine.observation(ref, decision)
    await asyncio.sleep(0)
    return Snapshot(time.time(), loops, known, engine.write_observations(), engine.fanout.snapshots())
