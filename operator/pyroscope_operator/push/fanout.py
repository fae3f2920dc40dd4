"""Gives every profile to every endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pyroscope_operator.model.profile import Profile
from pyroscope_operator.push.writer import EndpointWriter, WriterSnapshot


class Fanout:
    """A Sink over several writers, none of which waits for another."""

    def __init__(self, writers: Sequence[EndpointWriter]) -> None:
        self._writers = tuple(writers)

    def put(self, profile: Profile) -> None:
        """Queues `profile` at every endpoint. Never blocks, never raises."""
        for writer in self._writers:
            writer.put(profile)

    async def run(self) -> None:
        """Runs all writers until `drain` has ended them, or until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for writer in self._writers:
                group.create_task(writer.run(), name=f"push-{writer.endpoint.name}")

    async def drain(self, grace: float) -> None:
        """Drains all writers at the same time, within `grace` seconds."""
        async with asyncio.TaskGroup() as group:
            for writer in self._writers:
                group.create_task(writer.drain(grace), name=f"drain-{writer.endpoint.name}")

    def snapshots(self) -> tuple[WriterSnapshot, ...]:
        """One snapshot for each endpoint."""
        return tuple(writer.snapshot() for writer in self._writers)
