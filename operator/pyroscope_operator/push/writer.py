"""Writes to one endpoint: the owner of its queue and of the only worker that sends from it.

One request at a time: with many series in each that is enough (Pyroscope handles the
series of a request in parallel), it keeps order, and a failing endpoint gets one
request to fail, not several.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.push.batch import Entry
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.delivery import QUEUE_FULL, DeliveryBook
from pyroscope_operator.push.encoder import Encoder
from pyroscope_operator.push.endpoint import EndpointKey
from pyroscope_operator.push.ledger import Ledger
from pyroscope_operator.push.memory import QueueMemory
from pyroscope_operator.push.queue import Queue
from pyroscope_operator.push.sender import Renew, Sender
from pyroscope_operator.push.shape import Limits, Refusal
from pyroscope_operator.push.sizing import BatchSize

_log = logging.getLogger(__name__)

QUEUE_BYTES = 64 << 20
"""The usual bound of a queue."""
MAX_LINGER = 1.0
"""Seconds for which a profile waits for others to share its request."""

SHUTDOWN = "Shutdown"
"""Reason of drops: the process ended before the profile was taken."""
ENDPOINT_REMOVED = "EndpointRemoved"
"""Reason of drops: the endpoint was taken out of its write before the profile was taken."""

_SOON = 0.001


@dataclass(frozen=True, slots=True)
class WriterSnapshot:
    """An `EndpointWriter` at one moment. Times are unix seconds."""

    key: EndpointKey
    sent: int
    dropped: int
    retried: int
    """Requests that were sent again."""
    queue_profiles: int
    queue_bytes: int
    overflowing: bool
    """There was no room for a profile, and there still is not much."""
    failing_since: float | None
    """Since when the endpoint has taken nothing; None while it does."""
    last_error_reason: str | None
    """Of the last push that failed, even if others were taken since."""
    last_error_message: str | None
    last_success: float | None


class EndpointWriter:
    """A Sink for one endpoint, to be used on the event loop's thread.

    `run` sends until `drain` brings it to an end; `put` may be called at any time.
    `clock` gives unix time, `monotonic` that of the event loop.
    """

    def __init__(
        self,
        client: PushClient,
        metrics: Metrics,
        book: DeliveryBook,
        *,
        queue_bytes: int = QUEUE_BYTES,
        memory: QueueMemory | None = None,
        renew: Renew | None = None,
        limits: Limits | None = None,
        size: BatchSize | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = client.endpoint
        self._memory = memory or QueueMemory()
        self._limits = limits or Limits()
        self._monotonic = monotonic
        self._encoder = Encoder(self.endpoint.external_labels, self._limits)
        self._queue = Queue(queue_bytes)
        self._ledger = Ledger(self.key, metrics, book, clock)
        self._sender = Sender(client, self._queue, self._ledger, size=size, renew=renew, clock=clock, monotonic=monotonic)
        self._overflowing = False
        self._wake = asyncio.Event()
        self._stop_at: float | None = None
        self._left = SHUTDOWN
        self._running: asyncio.Timeout | None = None
        self._ended = asyncio.Event()
        self._memory.join(self)
        self._ledger.watch(self._queue)

    @property
    def key(self) -> EndpointKey:
        return self.endpoint.key

    @property
    def held(self) -> int:
        """Bytes in the queue."""
        return self._queue.bytes

    def snapshot(self) -> WriterSnapshot:
        """For status and the web page."""
        health, figures = self._sender.health, self._ledger.figures
        return WriterSnapshot(
            key=self.key,
            sent=figures.sent,
            dropped=figures.dropped,
            retried=figures.retried,
            queue_profiles=len(self._queue),
            queue_bytes=self._queue.bytes,
            overflowing=self._is_tight(),
            failing_since=health.failing_since,
            last_error_reason=health.last_error.reason if health.last_error else None,
            last_error_message=health.last_error.message if health.last_error else None,
            last_success=health.last_success,
        )

    def update(self, client: PushClient) -> None:
        """Write to the same endpoint in another way; what is queued stays, with the labels that it has."""
        self.endpoint = client.endpoint
        if self._encoder.external != self.endpoint.external_labels:
            self._encoder = Encoder(self.endpoint.external_labels, self._limits)
        self._sender.replace(client)
        self._wake.set()

    def put(self, profile: Profile) -> None:
        """Queues `profile`. Never blocks, never raises: what can't be sent is counted as dropped."""
        made = self._encoder.encode(profile, self._monotonic())
        if isinstance(made, Refusal):
            self._ledger.dropped(profile.source, profile.labels, made.reason, made.message)
        elif self._ended.is_set():
            self._ledger.dropped(profile.source, profile.labels, self._left, "came after the end")
        else:
            self._enqueue(made)

    def _enqueue(self, entry: Entry) -> None:
        overflow = self._queue.put(entry)
        for old in overflow:
            self._overflow(old, "no room, the oldest went")
        self._overflowing = bool(overflow) or self._is_tight()
        self._memory.added(entry.size)
        if self._queue.waiting == 1 or self._is_enough():
            self._wake.set()

    def give_way(self) -> int:
        """Drops the oldest for the sake of all queues; returns its bytes, 0 when there is nothing to drop."""
        old = self._queue.drop_oldest()
        if old is None:
            return 0
        self._overflow(old, "no room in all queues together, the oldest of the largest went")
        return old.size

    def _is_tight(self) -> bool:
        """Whether it has overflowed and may do so again soon."""
        return self._overflowing and not (self._queue.half_empty and self._memory.is_roomy)

    def _overflow(self, old: Entry, message: str) -> None:
        self._ledger.dropped(old.source, old.series, QUEUE_FULL, message)
        if not self._overflowing:
            _log.warning("the queue of endpoint %s is full", self.key, extra={"endpoint": str(self.key)})
        self._overflowing = True

    async def run(self) -> None:
        """Sends until `drain` has brought it to an end, or until it is cancelled.

        A cancelled request may have arrived and would be sent again; `drain` avoids that.
        """
        if self._running is not None:
            await self._ended.wait()
            return
        try:
            async with asyncio.timeout_at(self._stop_at) as self._running:
                while await self._due():
                    await self._sender.push_next(aside=self._is_asides_turn())
        except TimeoutError:
            if self._stop_at is None:
                raise
        finally:
            self._running = None
            if self._stop_at is not None:
                self._end()

    async def drain(self, grace: float, *, left: str = SHUTDOWN) -> None:
        """Sends what is queued without waiting for more, and ends `run`; takes at most `grace` seconds.

        That long only if the endpoint fails: a series that is never taken must not delay every
        restart.  What is left then is dropped and counted, with the reason `left`.  If `run` was
        cancelled before, its work is done here.
        """
        if self._stop_at is None:
            self._left = left
            self._stop_at = asyncio.get_running_loop().time() + grace
            self._sender.drain()
            self._wake.set()
            if self._running is not None:
                self._running.reschedule(self._stop_at)
        if not self._ended.is_set():
            await self.run()

    def _end(self) -> None:
        for entry in self._queue.clear():
            self._ledger.dropped(entry.source, entry.series, self._left, "not delivered before the end")
        self._memory.leave(self)
        self._ended.set()

    def close(self, *, forget: bool = True) -> None:
        """Ends it at once: what is queued is dropped. With `forget` the troubles of its profiles end, too."""
        self._left = ENDPOINT_REMOVED
        self._end()
        if forget:
            self._ledger.close()

    async def _due(self) -> bool:
        """Waits until there is something to send; False if there never will be."""
        while True:
            delays = [delay for delay in (self._delay(), self._sender.delay_aside()) if delay is not None]
            delay = min(delays, default=None)
            if self._stop_at is not None and (delay is None or self._sender.is_hopeless):
                return False
            if _is_over(delay):
                return True
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wake.wait()

    def _is_asides_turn(self) -> bool:
        """When both are due, batches and profiles that stand aside take turns."""
        return _is_over(self._sender.delay_aside()) and not (self._sender.last_was_aside and _is_over(self._delay()))

    def _delay(self) -> float | None:
        """Seconds until the next batch is due, as things are; None: nothing to push but what stands aside."""
        head, pause = self._queue.head, self._sender.backoff.remaining()
        if head is None:
            return None
        if self._stop_at is not None or head.attempts or self._is_enough():
            return pause
        return max(pause, head.queued_at + MAX_LINGER - self._monotonic())

    def _is_enough(self) -> bool:
        """Whether what waits fills a request."""
        size = self._sender.size
        return self._queue.waiting >= size.count or self._queue.waiting_bytes >= size.bytes


def _is_over(delay: float | None) -> bool:
    return delay is not None and delay <= _SOON
