"""Gives every profile to the endpoints of the writes that it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress

from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import FLAGS, EndpointKey, WriteEndpoint
from pyroscope_operator.push.ledger import Ledger
from pyroscope_operator.push.memory import QueueMemory
from pyroscope_operator.push.writer import ENDPOINT_REMOVED, QUEUE_BYTES, EndpointWriter, WriterSnapshot
from pyroscope_operator.transport.clients import TransportFor

WRITE_NOT_ACCEPTED = "WriteNotAccepted"
"""Reason of drops: the write that the profile is for was never accepted."""

MAX_LEAVING = 100
"""Endpoints that are taken away at the same time; those beyond that are ended at once."""
LAST_LOOK = 60.0
"""Seconds for which the metrics of an endpoint outlive it: somebody shall see the last figures."""

RenewWrite = Callable[[ObjectRef], Awaitable[None]]
"""Looks after the Secrets of a write; what has changed has come to `Fanout.sync` when it returns."""
OpenWriter = Callable[[PushClient], EndpointWriter]


class Fanout:
    """A Sink over the writers of all endpoints, none of which waits for another.

    `sync` says which there are, `run` owns their tasks until `drain` brings all to an end.
    """

    def __init__(
        self,
        transport_for: TransportFor,
        metrics: Metrics,
        book: DeliveryBook,
        *,
        default: ObjectRef = FLAGS,
        queue_bytes: int = QUEUE_BYTES,
        memory: QueueMemory | None = None,
        grace: float = 20.0,
        open_writer: OpenWriter | None = None,
    ) -> None:
        """`default` is the write of profiles that name none; a removed endpoint has `grace` seconds to take what is queued."""
        self._transport_for = transport_for
        self._metrics = metrics
        self._book = book
        self._default = default
        self._grace = grace
        self._queue_bytes = queue_bytes
        self._memory = memory or QueueMemory()
        self._open_writer = open_writer or self._make_writer
        self._writers: dict[EndpointKey, EndpointWriter] = {}
        self._routes: dict[ObjectRef, tuple[EndpointWriter, ...]] = {}
        self._strangers: dict[ObjectRef, Ledger] = {}
        """Of writes that nothing is known of, but profiles came for."""
        self._leaving: dict[EndpointWriter, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._ended = asyncio.Event()
        self.renew: RenewWrite | None = None
        """Called for a write whose endpoint answers 401."""

    def put(self, profile: Profile) -> None:
        """Queues `profile` at every endpoint that it is for. Never blocks, never raises."""
        for write in profile.forward_to or (self._default,):
            writers = self._routes.get(write)
            if writers is None:
                message = f"the PyroscopeWrite {write} is not accepted: see its status"
                self._stranger(write).dropped(profile.source, profile.labels, WRITE_NOT_ACCEPTED, message)
                continue
            for writer in writers:
                writer.put(profile)

    def _stranger(self, write: ObjectRef) -> Ledger:
        if write not in self._strangers:
            self._strangers[write] = Ledger(EndpointKey(write, ""), self._metrics, self._book)
        return self._strangers[write]

    def sync(self, writes: Mapping[ObjectRef, Sequence[WriteEndpoint]]) -> None:
        """Make the endpoints those of `writes`, compared by write and name.

        An unchanged one stays untouched, a changed one keeps its queue.  A removed one is
        drained in the background, and what it does not take in time is dropped and counted.
        """
        wanted = {endpoint.key: endpoint for endpoints in writes.values() for endpoint in endpoints}
        for key in self._writers.keys() - wanted.keys():
            self._dismiss(self._writers.pop(key))
        for key, endpoint in wanted.items():
            writer = self._writers.get(key)
            if writer is None:
                self._start(key, endpoint)
            elif writer.endpoint != endpoint:
                writer.update(PushClient(endpoint, self._transport_for))
        self._routes = {
            write: tuple(self._writers[endpoint.key] for endpoint in endpoints) for write, endpoints in writes.items()
        }
        for write in self._strangers.keys() & self._routes.keys():
            self._strangers.pop(write).close()
            self._metrics.forget_endpoint(*EndpointKey(write, "").labels)

    def forget(self, writes: Collection[ObjectRef]) -> None:
        """These exist: what was dropped for others is no longer told."""
        for write in self._strangers.keys() - set(writes):
            self._strangers.pop(write).close()
            self._metrics.forget_endpoint(*EndpointKey(write, "").labels)

    def _start(self, key: EndpointKey, endpoint: WriteEndpoint) -> None:
        writer = self._writers[key] = self._open_writer(PushClient(endpoint, self._transport_for))
        if self._group is not None:
            self._group.create_task(writer.run(), name=f"push {key}")

    def _make_writer(self, client: PushClient) -> EndpointWriter:
        write = client.endpoint.write

        async def renew() -> None:
            if self.renew is not None:
                await self.renew(write)

        return EndpointWriter(
            client,
            self._metrics,
            self._book,
            queue_bytes=self._queue_bytes,
            memory=self._memory,
            renew=None if write == FLAGS else renew,
        )

    def _dismiss(self, writer: EndpointWriter) -> None:
        if self._group is None:
            self._close(writer)
            self._metrics.forget_endpoint(*writer.key.labels)
            return
        patient = len(self._leaving) < MAX_LEAVING
        self._leaving[writer] = self._group.create_task(self._see_off(writer, patient), name=f"dismiss {writer.key}")

    async def _see_off(self, writer: EndpointWriter, patient: bool) -> None:
        """From the removal of an endpoint until its figures are forgotten, too."""
        try:
            await writer.drain(self._grace if patient else 0.0, left=ENDPOINT_REMOVED)
            self._close(writer)
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_LOOK if patient else 0.0):
                    await self._ended.wait()
        finally:
            self._close(writer)
            del self._leaving[writer]
            if writer.key not in self._writers and all(other.key != writer.key for other in self._leaving):
                self._metrics.forget_endpoint(*writer.key.labels)

    def _close(self, writer: EndpointWriter) -> None:
        """Its troubles end with it, unless the endpoint is there again."""
        writer.close(forget=writer.key not in self._writers)

    async def run(self) -> None:
        """Runs all writers until `drain` has ended them, or until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for key, writer in self._writers.items():
                    self._group.create_task(writer.run(), name=f"push {key}")
                await self._ended.wait()
        finally:
            self._group = None

    async def drain(self, grace: float) -> None:
        """Drains all writers at the same time, within `grace` seconds."""
        async with asyncio.TaskGroup() as group:
            for writer in (*self._writers.values(), *self._leaving):
                group.create_task(writer.drain(grace), name=f"drain {writer.key}")
        self._ended.set()

    def snapshots(self) -> tuple[WriterSnapshot, ...]:
        """One snapshot for each endpoint, by write and name."""
        return tuple(self._writers[key].snapshot() for key in sorted(self._writers))
