"""What becomes of each profile of a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from push_fakes import entry

from pyroscope_operator.errors import OutcomeUnknown, PartlyFailed, PushError, Rejected, RequestTooLarge, RetryLater
from pyroscope_operator.push.batch import Entry
from pyroscope_operator.push.outcome import Outcome, decide

DOWN = RetryLater("Unavailable", "HTTP 503")
NOBODY = RetryLater("Unreachable", "connection refused")
BUSY = RetryLater("RateLimited", "HTTP 429")
BROKEN = RetryLater("ServerError", "HTTP 500")
REFUSED = Rejected("Rejected", "HTTP 400")

A, B, C = entry(b"a"), entry(b"b"), entry(b"c")


def names(entries: tuple[Entry, ...]) -> str:
    return "".join({A.id: "a", B.id: "b", C.id: "c"}[one.id] for one in entries)


def summary(outcome: Outcome) -> tuple[str, str, str, list[tuple[str, str]]]:
    drops = [(names((drop.entry,)), drop.reason) for drop in outcome.dropped]
    return names(outcome.sent), names(outcome.again), names(outcome.later), drops


CASES = [
    (None, 2, ("ab", "", "", [])),
    (DOWN, 2, ("", "ab", "", [])),
    (DOWN, 1, ("", "a", "", [])),
    (BUSY, 2, ("", "ab", "", [])),
    (BROKEN, 2, ("", "", "ab", [])),
    (BROKEN, 1, ("", "", "a", [])),
    (REFUSED, 2, ("", "", "", [("a", "Rejected"), ("b", "Rejected")])),
    (RequestTooLarge("HTTP 413"), 2, ("", "ab", "", [])),
    (RequestTooLarge("HTTP 413"), 1, ("", "", "", [("a", "RequestTooLarge")])),
    (OutcomeUnknown("HTTP 400"), 2, ("", "", "", [("a", "unknown"), ("b", "unknown")])),
    (PartlyFailed("", {B.id: REFUSED, C.id: BROKEN}), 3, ("a", "", "c", [("b", "Rejected")])),
    (PartlyFailed("", {B.id: BUSY}), 3, ("ac", "", "b", [])),
    (PartlyFailed("", {A.id: BUSY}), 1, ("", "", "a", [])),
    (PartlyFailed("", {"of another": REFUSED}), 2, ("", "", "", [("a", "unknown"), ("b", "unknown")])),
]


@pytest.mark.parametrize(("error", "count", "expected"), CASES)
def test_outcomes(error: PushError | None, count: int, expected: object) -> None:
    assert summary(decide([A, B, C][:count], error, max_retries=10, successes=0)) == expected


@pytest.mark.parametrize("error", [BUSY, BROKEN, PartlyFailed("", {A.id: BROKEN})])
def test_answers_about_the_profile_use_up_its_retries(error: PushError) -> None:
    now, attempts = A, 0
    while not (outcome := decide([now], error, max_retries=3, successes=0)).dropped:
        (now,) = outcome.again or outcome.later
        attempts += 1
        assert now.data is A.data
        assert now.attempts == attempts
    assert attempts == 3
    (drop,) = outcome.dropped
    assert drop.reason == "RetriesExhausted"
    assert "4 attempts" in drop.message


def test_without_retries() -> None:
    assert summary(decide([A], BROKEN, max_retries=0, successes=0))[3] == [("a", "RetriesExhausted")]


def test_an_endpoint_that_is_down_uses_up_nothing() -> None:
    batch = [A, B]
    for _ in range(100):
        outcome = decide(batch, DOWN, max_retries=3, successes=0)
        assert names(outcome.again) == "ab"
        batch = list(outcome.again)
    assert [one.retries for one in batch] == [0, 0]
    now = A
    for _ in range(100):
        (now,) = decide([now], NOBODY, max_retries=3, successes=0).again
    assert now.retries == 0
    for _ in range(100):
        outcome = decide([now], DOWN, max_retries=3, successes=5)
        (now,) = outcome.again + outcome.later


def test_a_profile_that_breaks_the_connection_steps_aside_and_is_dropped_once_others_were_taken() -> None:
    worn = replace(A, retries=3)
    (aside,) = decide([worn], DOWN, max_retries=3, successes=5).later
    assert (aside.retries, aside.spared_at) == (0, 5)
    worn = replace(aside, retries=3)
    (aside,) = decide([worn], DOWN, max_retries=3, successes=5).later
    assert summary(decide([worn], DOWN, max_retries=3, successes=6))[3] == [("a", "RetriesExhausted")]
