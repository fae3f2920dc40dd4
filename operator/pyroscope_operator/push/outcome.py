"""What a push means for each profile that it carried. Pure.

What counts against `max_retries`: answers about the very thing that was sent, such
as 429 and 500.  A failing endpoint (`answer.ENDPOINT_DOWN`) does not: profiles then
wait, in order, as long as the queue holds them, so that an outage costs only what
doesn't fit.  One exception keeps a profile that breaks the server, or its
connection, from blocking all others: when it reached the server alone and failed
more than `max_retries` times, it goes behind the others; if those are then taken and
it fails as often once more, it is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyroscope_operator.errors import OutcomeUnknown, PartlyFailed, PushError, Rejected, RequestTooLarge, RetryLater
from pyroscope_operator.push.answer import ENDPOINT_DOWN, RATE_LIMITED, UNREACHABLE
from pyroscope_operator.push.batch import Entry

UNKNOWN = "unknown"
"""Reason of drops: some of the batch were taken and some not, nobody knows which."""
RETRIES_EXHAUSTED = "RetriesExhausted"


@dataclass(frozen=True, slots=True)
class Drop:
    """An entry that is given up, with the reason for the metric and words for people."""

    entry: Entry
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Each entry of a batch is in exactly one of these."""

    sent: tuple[Entry, ...] = ()
    again: tuple[Entry, ...] = ()
    """To be sent again before all others."""
    later: tuple[Entry, ...] = ()
    """To be sent again after all others, which must not suffer from them."""
    dropped: tuple[Drop, ...] = ()


def decide(batch: Sequence[Entry], error: PushError | None, *, max_retries: int, successes: int) -> Outcome:
    """What becomes of `batch` after the push that ended with `error`.

    `successes` is how many requests the endpoint has taken so far.
    """
    if error is None:
        return Outcome(sent=tuple(batch))
    tried = [replace(entry, attempts=entry.attempts + 1) for entry in batch]
    if isinstance(error, PartlyFailed):
        return _partly(tried, error, max_retries)
    if isinstance(error, RequestTooLarge) and len(tried) > 1:
        return Outcome(again=tuple(tried))
    if isinstance(error, RetryLater) and error.reason in ENDPOINT_DOWN:
        return _down(tried, error, max_retries, successes)
    if isinstance(error, RetryLater):
        return _retried(tried, error, max_retries)
    reason = UNKNOWN if isinstance(error, OutcomeUnknown) else error.reason
    return Outcome(dropped=tuple(Drop(entry, reason, error.message) for entry in tried))


def _partly(batch: list[Entry], error: PartlyFailed, max_retries: int) -> Outcome:
    """Failed ids go the way of their own error, the rest was taken.

    Should the ids be none of ours, the answer tells nothing.
    """
    sent = tuple(entry for entry in batch if entry.id not in error.failed)
    if len(sent) == len(batch):
        return Outcome(dropped=tuple(Drop(entry, UNKNOWN, error.message) for entry in batch))
    later: list[Entry] = []
    dropped: list[Drop] = []
    for entry in batch:
        why = error.failed.get(entry.id)
        if isinstance(why, Rejected):
            dropped.append(Drop(entry, why.reason, why.message))
        elif why is not None:
            part = _retried([entry], why, max_retries)
            later += part.again + part.later
            dropped += part.dropped
    return Outcome(sent=sent, later=tuple(later), dropped=tuple(dropped))


def _down(batch: list[Entry], error: RetryLater, max_retries: int, successes: int) -> Outcome:
    if len(batch) > 1 or error.reason == UNREACHABLE:
        return Outcome(again=tuple(batch))
    entry = replace(batch[0], retries=batch[0].retries + 1)
    if entry.retries <= max_retries:
        return Outcome(again=(entry,))
    if entry.spared_at is not None and successes > entry.spared_at:
        return Outcome(dropped=(_exhausted(entry, error),))
    return Outcome(later=(replace(entry, retries=0, spared_at=successes),))


def _retried(batch: list[Entry], error: PushError, max_retries: int) -> Outcome:
    """A rate limit holds for all alike, so order is kept; another error may be this batch's own."""
    counted = [replace(entry, retries=entry.retries + 1) for entry in batch]
    kept = tuple(entry for entry in counted if entry.retries <= max_retries)
    dropped = tuple(_exhausted(entry, error) for entry in counted if entry.retries > max_retries)
    if error.reason == RATE_LIMITED:
        return Outcome(again=kept, dropped=dropped)
    return Outcome(later=kept, dropped=dropped)


def _exhausted(entry: Entry, error: PushError) -> Drop:
    return Drop(entry, RETRIES_EXHAUSTED, f"given up after {entry.attempts} attempts, the last one: {error}")
