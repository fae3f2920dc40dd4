"""What a push means for each profile that it carried. Pure.

What counts against `max_retries`: answers about the very thing that was sent, such
as 429 and 500.  A failing endpoint (`answer.ENDPOINT_DOWN`) does not: profiles then
wait, in order, as long as the queue holds them, so that an outage costs only what
doesn't fit.

A profile that is sent again must not hold up those of other series, which may well be
taken.  So what failed alone stands aside with all younger ones of its series (see
`aside`), also when the endpoint seemed to be down, for the profile may be what breaks it.
Then, and only if others were taken meanwhile, that counts against `max_retries`, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyroscope_operator.errors import OutcomeUnknown, PartlyFailed, PushError, Rejected, RequestTooLarge, RetryLater
from pyroscope_operator.push.answer import ENDPOINT_DOWN, NEVER_SENT, RATE_LIMITED
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
    """To be sent again after all others."""
    aside: tuple[Entry, ...] = ()
    """To be sent again one by one, with their series apart from the others."""
    dropped: tuple[Drop, ...] = ()


def decide(
    batch: Sequence[Entry], error: PushError | None, *, max_retries: int, successes: int, suspect: bool = False
) -> Outcome:
    """What becomes of `batch` after the push that ended with `error`.

    `successes` is how many requests the endpoint has taken so far; `suspect` tells that
    the series in `batch` was in trouble before and therefore is alone.
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
        return _retried(tried, error, max_retries, suspect=suspect)
    reason = UNKNOWN if isinstance(error, OutcomeUnknown) else error.reason
    return Outcome(dropped=tuple(Drop(entry, reason, error.message) for entry in tried))


def _partly(batch: list[Entry], error: PartlyFailed, max_retries: int) -> Outcome:
    """Failed ids go the way of their own error, the rest was taken.

    Should the ids be none of ours, the answer tells nothing.
    """
    sent = tuple(entry for entry in batch if entry.id not in error.failed)
    if len(sent) == len(batch):
        return Outcome(dropped=tuple(Drop(entry, UNKNOWN, error.message) for entry in batch))
    aside: list[Entry] = []
    dropped: list[Drop] = []
    for entry in batch:
        why = error.failed.get(entry.id)
        if isinstance(why, Rejected):
            dropped.append(Drop(entry, why.reason, why.message))
        elif why is not None:
            part = _retried([entry], why, max_retries, suspect=True)
            aside += part.aside
            dropped += part.dropped
    return Outcome(sent=sent, aside=tuple(aside), dropped=tuple(dropped))


def _down(batch: list[Entry], error: RetryLater, max_retries: int, successes: int) -> Outcome:
    if len(batch) > 1 or error.reason in NEVER_SENT:
        return Outcome(again=tuple(batch))
    (entry,) = batch
    others_were_taken = entry.failed_at is not None and successes > entry.failed_at
    entry = replace(entry, retries=entry.retries + others_were_taken, failed_at=successes)
    if entry.retries > max_retries:
        return Outcome(dropped=(_exhausted(entry, error),))
    return Outcome(aside=(entry,))


def _retried(batch: list[Entry], error: PushError, max_retries: int, *, suspect: bool) -> Outcome:
    """A rate limit holds for all alike, unless there is a suspicion; another error may be this batch's own."""
    counted = [replace(entry, retries=entry.retries + 1) for entry in batch]
    kept = tuple(entry for entry in counted if entry.retries <= max_retries)
    dropped = tuple(_exhausted(entry, error) for entry in counted if entry.retries > max_retries)
    if error.reason == RATE_LIMITED and not suspect:
        return Outcome(again=kept, dropped=dropped)
    if len(batch) == 1:
        return Outcome(aside=kept, dropped=dropped)
    return Outcome(later=kept, dropped=dropped)


def _exhausted(entry: Entry, error: PushError) -> Drop:
    return Drop(entry, RETRIES_EXHAUSTED, f"given up after {entry.attempts} attempts, the last one: {error}")
