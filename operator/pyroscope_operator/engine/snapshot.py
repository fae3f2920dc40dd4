"""Everything that is known at one moment: taken on the event loop, read in a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.turns import in_turns
from pyroscope_operator.engine.write_conditions import WriteObservation
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.writer import WriterSnapshot


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Nothing in it changes any more."""

    taken: float = 0.0
    """Unix seconds."""
    observations: Mapping[ObjectRef, Observation] = field(default_factory=dict)
    """How every object is doing, by namespace and name."""
    writes: Mapping[ObjectRef, WriteObservation] = field(default_factory=dict)
    delivery: tuple[WriterSnapshot, ...] = ()


async def take(engine: Engine) -> Snapshot:
    """A snapshot; others have their turn while it is taken, so objects may be some milliseconds older than others."""
    found: dict[ObjectRef, Observation] = {}

    def look() -> Iterator[None]:
        for ref in sorted(engine.reconciler.decision.verdicts):
            if (seen := engine.observation(ref)) is not None:
                found[ref] = seen
            yield

    await in_turns(look())
    await asyncio.sleep(0)
    return Snapshot(time.time(), found, engine.write_observations(), engine.fanout.snapshots())
