"""Takes one batch from the queue, pushes it and draws the conclusions."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from pyroscope_operator.errors import OutcomeUnknown, PartlyFailed, PushError, RequestTooLarge, RetryLater, Unauthenticated
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.push.answer import ENDPOINT_DOWN, ENDPOINT_REFUSES, NEVER_SENT, RATE_LIMITED
from pyroscope_operator.push.backoff import Backoff
from pyroscope_operator.push.batch import Entry, request_body
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.health import Health
from pyroscope_operator.push.ledger import Ledger
from pyroscope_operator.push.outcome import Outcome, decide
from pyroscope_operator.push.queue import Queue, Taken
from pyroscope_operator.push.sizing import BatchSize, Suspects

_log = logging.getLogger(__name__)

MAX_AGE = 55 * 60.0
"""Seconds after the scrape beyond which a profile is not sent: Pyroscope refuses it at 60 min."""


RENEW_TIMEOUT = 5.0
"""Seconds for a look at the Secrets, after a 401."""
RENEW_PAUSE = 10.0
"""Seconds between two such looks, at least."""

Renew = Callable[[], Awaitable[None]]
"""Looks after credentials now; what has changed has come to `Sender.replace` when it returns."""


class Sender:
    """What an endpoint's answers have taught: back-off, size of batches, suspects, health."""

    def __init__(
        self,
        client: PushClient,
        queue: Queue,
        ledger: Ledger,
        *,
        size: BatchSize | None = None,
        renew: Renew | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        endpoint = client.endpoint
        self._client = client
        self._renew = renew
        self._renewed_at = -math.inf
        self._queue = queue
        self._ledger = ledger
        self._clock = clock
        self._monotonic = monotonic
        self._suspects = Suspects()
        self._successes = 0
        self._tried_once_more: set[Labels] | None = None
        self.last_was_aside = False
        self.size = size or BatchSize()
        self.backoff = Backoff(endpoint.min_backoff, endpoint.max_backoff, monotonic=monotonic)
        self.backoff_aside = Backoff(endpoint.min_backoff, endpoint.max_backoff, monotonic=monotonic)
        self.health = Health(endpoint.key)

    def replace(self, client: PushClient) -> None:
        """Send with this one from now on. Where the address has changed, somebody has mended it: no pause holds any more."""
        before, now = self._client.endpoint, client.endpoint
        self._client = client
        for backoff in (self.backoff, self.backoff_aside):
            backoff.rebound(now.min_backoff, now.max_backoff)
            if now.address != before.address:
                backoff.reset()
        if now.url != before.url:
            self.size = BatchSize()

    def delay_aside(self) -> float | None:
        """Seconds until a profile that stands aside is due; None if there is none."""
        return max(self.backoff.remaining(), self.backoff_aside.remaining()) if self._queue.aside else None

    def drain(self) -> None:
        """Everything is tried at once, from now on for the last time."""
        self.backoff.reset()
        self.backoff_aside.reset()
        self._tried_once_more = set()

    @property
    def is_hopeless(self) -> bool:
        """While draining: whether nothing is left but what failed once more although others were taken."""
        if self._tried_once_more is None or self._queue.waiting or self.health.failing_since is not None:
            return False
        return self._tried_once_more.issuperset(self._queue.series_aside)

    async def push_next(self, *, aside: bool) -> None:
        """One request at most, with a batch or with one of the profiles that stand aside.

        If it is cancelled it may have arrived nevertheless; its profiles go back to the queue.
        """
        batch, expired = self._take(aside)
        for entry in expired:
            self._ledger.dropped(entry.source, entry.series, "TooOld", f"not delivered within {MAX_AGE / 60:.0f} min")
        self.last_was_aside = aside
        if not batch:
            return
        client = self._client
        try:
            error = await self._attempt(client, batch)
            if isinstance(error, Unauthenticated) and await self._has_new_credentials(client):
                client = self._client
                batch = [replace(entry, attempts=entry.attempts + 1) for entry in batch]
                error = await self._attempt(client, batch)
        except BaseException:
            self._queue.give_back(replace(entry, attempts=entry.attempts + 1) for entry in batch)
            raise
        if error is not None and client.endpoint.address != self._client.endpoint.address and _is_addresses(error):
            self._queue.give_back(replace(entry, attempts=entry.attempts + 1) for entry in batch)
            return
        self._settle(batch, error, aside)

    def _take(self, aside: bool) -> Taken:
        not_before = self._clock() - MAX_AGE
        if aside:
            return self._queue.take_aside(not_before=not_before)
        return self._queue.take(
            self.size.count,
            self.size.bytes,
            aside=lambda entry: entry.series in self._suspects,
            not_before=not_before,
        )

    async def _has_new_credentials(self, client: PushClient) -> bool:
        """Whether those that were refused have been replaced meanwhile; that is looked after before anything is given up."""
        if self._renew is not None and self._monotonic() - self._renewed_at >= RENEW_PAUSE:
            self._renewed_at = self._monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_TIMEOUT):
                    await self._renew()
        return self._client.endpoint.address != client.endpoint.address

    async def _attempt(self, client: PushClient, batch: list[Entry]) -> PushError | None:
        body, start, error = request_body(batch), self._monotonic(), None
        try:
            await client.push(body, series=len(batch))
        except PushError as failure:
            error = _alone(failure)
        self._ledger.pushed(batch, self._monotonic() - start, len(body), error)
        return error

    def _settle(self, batch: list[Entry], error: PushError | None, aside: bool) -> None:
        """For the entries first, then for the endpoint, then for the batches to come."""
        max_retries = self._client.endpoint.max_retries
        outcome = decide(batch, error, max_retries=max_retries, successes=self._successes, suspect=aside)
        self._move(outcome, aside)
        if outcome.sent:
            self._taken(aside)
        if error is None:
            self.size.succeeded()
            return
        old_news = aside and self._suspects.old_news(batch[0].series, self._successes)
        if old_news and self._tried_once_more is not None:
            self._tried_once_more.add(batch[0].series)
        self.health.failed(error, self._clock(), old_news=old_news)
        self._wait(outcome, error, aside)
        if not aside:
            self._resize(batch, error)
        self._suspect(batch, error, outcome)
        self._tell(outcome, error)

    def _move(self, outcome: Outcome, aside: bool) -> None:
        """Every entry of the batch to where it belongs."""
        self._queue.done(outcome.sent)
        self._queue.done(drop.entry for drop in outcome.dropped)
        if aside:
            self._queue.set_aside(outcome.again)
        else:
            self._queue.give_back(outcome.again)
        self._queue.give_back(outcome.later, front=False)
        self._queue.set_aside(outcome.aside)
        self._suspects.clear(entry.series for entry in outcome.sent)
        if outcome.sent:
            self._ledger.sent(outcome.sent)
        for entry in outcome.sent if aside else ():
            self._queue.release(entry.series)
        for drop in outcome.dropped:
            self._ledger.dropped(drop.entry.source, drop.entry.series, drop.reason, drop.message)

    def _taken(self, aside: bool) -> None:
        """The endpoint has taken something."""
        self._successes += 1
        self.backoff.reset()
        if aside:
            self.backoff_aside.reset()
        self.health.succeeded(self._clock())

    def _wait(self, outcome: Outcome, error: PushError, aside: bool) -> None:
        """Backs off if the server failed, or refused what it may take later.

        Those aside wait for longer and longer even if others are taken, whose success shortens only the endpoint's wait.
        """
        causes = error.failed.values() if isinstance(error, PartlyFailed) else (error,)
        later = [cause for cause in causes if isinstance(cause, RetryLater)]
        if not later and not isinstance(error, OutcomeUnknown):
            return
        wish = max((cause.retry_after for cause in later if cause.retry_after is not None), default=None)
        if aside or (outcome.aside and not self.backoff_aside.remaining()):
            self.backoff_aside.failed(wish)
        if wish is not None or not outcome.sent:
            self.backoff.failed(wish)

    def _resize(self, batch: list[Entry], error: PushError) -> None:
        match error:
            case RequestTooLarge():
                self.size.too_large(len(batch), sum(entry.size for entry in batch))
            case OutcomeUnknown():
                if not self.size.careful:
                    extra = {"endpoint": str(self._client.endpoint.key), "profiles": len(batch)}
                    _log.warning("parts of a batch were refused, profiles now go one by one: %s", error, extra=extra)
                self.size.ambiguous()
            case RetryLater(reason=reason) if reason not in NEVER_SENT | {RATE_LIMITED}:
                self.size.failed(len(batch))

    def _suspect(self, batch: list[Entry], error: PushError, outcome: Outcome) -> None:
        """Which series are sent alone from now on."""
        if isinstance(error, OutcomeUnknown):
            self._suspects.add(entry.series for entry in batch)
            return
        failed = [entry for entry in outcome.aside if entry.retries <= 1 or entry.series in self._suspects]
        if (len(batch) == 1 or isinstance(error, PartlyFailed)) and error.reason not in ENDPOINT_REFUSES:
            failed += (drop.entry for drop in outcome.dropped)
        self._suspects.convict((entry.series for entry in failed), self._successes)

    def _tell(self, outcome: Outcome, error: PushError) -> None:
        """Who waits because of `error`: all in the queue while the endpoint fails, else those of the batch that go again."""
        if isinstance(error, RequestTooLarge):
            return
        if self.health.failing_since is not None:
            self._ledger.waiting(self._queue.sources(), error)
        else:
            self._ledger.refused((*outcome.again, *outcome.later, *outcome.aside), error)


def _alone(error: PushError) -> PushError:
    """`error` without the frames and errors that it came through.

    It is kept, as the last one, and they hold the request; and it is held by them, which only the cycle collector would end.
    """
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error


def _is_addresses(error: PushError) -> bool:
    """Whether `error` is the fault of where the request went, or with what, and not of what it carried."""
    return error.reason in ENDPOINT_DOWN | ENDPOINT_REFUSES
