"""Writes down what became of the profiles of one endpoint: in the metrics and in the delivery book."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyroscope_operator.errors import PushError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.batch import Entry
from pyroscope_operator.push.delivery import PUSH_FAILING, QUEUE_FULL, DeliveryBook, Trouble
from pyroscope_operator.push.endpoint import EndpointKey
from pyroscope_operator.push.queue import Queue


@dataclass(slots=True)
class Figures:
    """What became of the profiles of one endpoint, since it is there."""

    sent: int = 0
    dropped: int = 0
    retried: int = 0
    """Requests that were sent again."""


class Ledger:
    """The books of one endpoint. `clock` gives unix time in seconds."""

    def __init__(
        self, endpoint: EndpointKey, metrics: Metrics, book: DeliveryBook, clock: Callable[[], float] = time.time
    ) -> None:
        self.figures = Figures()
        self._endpoint = endpoint
        self._labels = endpoint.labels
        self._metrics = metrics
        self._book = book
        self._clock = clock

    def pushed(self, batch: Iterable[Entry], seconds: float, size: int, error: PushError | None) -> None:
        """A request with `batch`, `size` bytes long, was answered or failed after `seconds`."""
        if any(entry.attempts for entry in batch):
            self._metrics.push_retries.labels(*self._labels).inc()
            self.figures.retried += 1
        if error is None:
            self._metrics.push_bytes.labels(*self._labels).inc(size)
        self._metrics.fanout_latency.labels(*self._labels).observe(seconds)
        self._metrics.pushes.labels(*self._labels, error.reason if error else "ok").inc()

    def sent(self, entries: Iterable[Entry]) -> None:
        """These were taken."""
        by_source: dict[ObjectRef, list[Labels]] = {}
        for entry in entries:
            by_source.setdefault(entry.source, []).append(entry.series)
        count = sum(map(len, by_source.values()))
        self._metrics.profiles_sent.labels(*self._labels).inc(count)
        self.figures.sent += count
        now = self._clock()
        for source, series in by_source.items():
            self._book.record_sent(source, self._endpoint, series, now)

    def dropped(self, source: ObjectRef, series: Labels, reason: str, message: str) -> None:
        """A profile of `series` will never arrive. `reason` is CamelCase, fit for a metric."""
        self._metrics.profiles_dropped.labels(*self._labels, reason).inc()
        self.figures.dropped += 1
        status = QUEUE_FULL if reason == QUEUE_FULL else PUSH_FAILING
        trouble = self._trouble(status, f"{reason}: {message}")
        self._book.record_trouble(source, self._endpoint, series, trouble, dropped=True)

    def refused(self, entries: Iterable[Entry], error: PushError) -> None:
        """These will be sent again: the endpoint works, but did not take them."""
        trouble = self._trouble(PUSH_FAILING, str(error))
        for entry in entries:
            self._book.record_trouble(entry.source, self._endpoint, entry.series, trouble, dropped=False)

    def waiting(self, sources: Iterable[ObjectRef], error: PushError) -> None:
        """Profiles of these wait because the endpoint fails."""
        for source in sources:
            self._book.record_waiting(source, self._endpoint, f"{self._endpoint}: {error}")

    def watch(self, queue: Queue) -> None:
        """The gauges show `queue` from now on, as it is when they are asked for."""
        self._metrics.queue_bytes.labels(*self._labels).set_function(lambda: queue.bytes)
        self._metrics.queue_profiles.labels(*self._labels).set_function(lambda: len(queue))

    def close(self) -> None:
        """The endpoint is no more: its troubles end. Its figures stay in the metrics until these are forgotten."""
        self._book.close(self._endpoint)

    def _trouble(self, status: str, message: str) -> Trouble:
        return Trouble(status, f"{self._endpoint}: {message}")
