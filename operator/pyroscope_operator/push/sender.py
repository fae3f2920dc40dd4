"""Takes one batch from the queue, pushes it and draws the conclusions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from pyroscope_operator.errors import OutcomeUnknown, PartlyFailed, PushError, Rejected, RequestTooLarge, RetryLater
from pyroscope_operator.push.answer import ENDPOINT_REFUSES, RATE_LIMITED, UNREACHABLE
from pyroscope_operator.push.backoff import Backoff
from pyroscope_operator.push.batch import Entry, request_body
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.health import Health
from pyroscope_operator.push.ledger import Ledger
from pyroscope_operator.push.outcome import Outcome, decide
from pyroscope_operator.push.queue import Queue
from pyroscope_operator.push.sizing import BatchSize, Suspects

_log = logging.getLogger(__name__)

MAX_AGE = 55 * 60.0
"""Seconds after the scrape beyond which a profile is not sent: Pyroscope refuses it at 60 min."""


class Sender:
    """What an endpoint's answers have taught: back-off, size of batches, suspects, health."""

    def __init__(
        self,
        client: PushClient,
        queue: Queue,
        ledger: Ledger,
        *,
        size: BatchSize | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        endpoint = client.endpoint
        self._client = client
        self._queue = queue
        self._ledger = ledger
        self._clock = clock
        self._monotonic = monotonic
        self._suspects = Suspects()
        self._successes = 0
        self.size = size or BatchSize()
        self.backoff = Backoff(endpoint.min_backoff, endpoint.max_backoff, monotonic=monotonic)
        self.health = Health(endpoint.name)

    async def push_next(self) -> None:
        """One request at most.

        If it is cancelled it may have arrived nevertheless; its profiles go back to the queue.
        """
        batch, expired = self._queue.take(
            self.size.count,
            self.size.bytes,
            alone=lambda entry: entry.labels in self._suspects,
            not_before=self._clock() - MAX_AGE,
        )
        for entry in expired:
            self._ledger.dropped(entry.source, entry.series, "TooOld", f"not delivered within {MAX_AGE / 60:.0f} min")
        if not batch:
            return
        try:
            error = await self._attempt(batch)
        except BaseException:
            self._queue.give_back(replace(entry, attempts=entry.attempts + 1) for entry in batch)
            raise
        self._settle(batch, error)

    async def _attempt(self, batch: list[Entry]) -> PushError | None:
        body, start, error = request_body(batch), self._monotonic(), None
        try:
            await self._client.push(body, series=len(batch))
        except PushError as failure:
            error = failure
        self._ledger.pushed(batch, self._monotonic() - start, len(body), error)
        return error

    def _settle(self, batch: list[Entry], error: PushError | None) -> None:
        """For the entries first, then for the endpoint, then for the batches to come."""
        outcome = decide(batch, error, max_retries=self._client.endpoint.max_retries, successes=self._successes)
        self._move(outcome)
        if outcome.sent:
            self._successes += 1
            self.backoff.reset()
            self.health.succeeded(self._clock())
        if error is None:
            self.size.succeeded()
            return
        self.health.failed(error, self._clock())
        self._wait(error)
        self._resize(batch, error)
        self._suspect(batch, error, outcome)
        self._tell(outcome, error)

    def _move(self, outcome: Outcome) -> None:
        """Every entry of the batch to where it belongs."""
        self._queue.done(outcome.sent)
        self._queue.done(drop.entry for drop in outcome.dropped)
        self._queue.give_back(outcome.again)
        self._queue.give_back(outcome.later, front=False)
        self._suspects.clear(entry.labels for entry in outcome.sent)
        if outcome.sent:
            self._ledger.sent(outcome.sent)
        for drop in outcome.dropped:
            self._ledger.dropped(drop.entry.source, drop.entry.series, drop.reason, drop.message)

    def _wait(self, error: PushError) -> None:
        """Backs off if the server failed, or refused what it may take later."""
        match error:
            case RetryLater(retry_after=seconds):
                self.backoff.failed(seconds)
            case PartlyFailed(failed=failed):
                again = [one for one in failed.values() if isinstance(one, RetryLater)]
                if again:
                    self.backoff.failed(max(one.retry_after or 0 for one in again))
            case OutcomeUnknown():
                self.backoff.failed()

    def _resize(self, batch: list[Entry], error: PushError) -> None:
        match error:
            case RequestTooLarge():
                self.size.too_large(len(batch), sum(entry.size for entry in batch))
            case OutcomeUnknown():
                if not self.size.careful:
                    extra = {"endpoint": self._client.endpoint.name, "profiles": len(batch)}
                    _log.warning("parts of a batch were refused, profiles now go one by one: %s", error, extra=extra)
                self.size.ambiguous()
            case RetryLater(reason=reason) if reason not in {RATE_LIMITED, UNREACHABLE}:
                self.size.failed(len(batch))

    def _suspect(self, batch: list[Entry], error: PushError, outcome: Outcome) -> None:
        """Which series are sent alone from now on."""
        found: Iterable[Entry] = ()
        match error:
            case OutcomeUnknown():
                found = batch
            case PartlyFailed(failed=failed):
                found = [entry for entry in batch if entry.id in failed] or batch
            case Rejected(reason=reason) if reason in ENDPOINT_REFUSES:
                pass
            case _ if len(batch) == 1:
                found = (*outcome.later, *(drop.entry for drop in outcome.dropped))
        self._suspects.add(entry.labels for entry in found)

    def _tell(self, outcome: Outcome, error: PushError) -> None:
        """Who waits because of `error`: all in the queue while the endpoint fails, else those of the batch that go again."""
        if isinstance(error, RequestTooLarge):
            return
        if self.health.failing_since is not None:
            self._ledger.waiting(self._queue.sources(), error)
        else:
            self._ledger.refused((*outcome.again, *outcome.later), error)
