"""What becomes of each profile of a batch."""

from __future__ import annotations

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


def summary(outcome: Outcome) -> dict[str, object]:
    """What is not empty."""
    found = {name: names(getattr(outcome, name)) for name in ("sent", "again", "later", "aside")}
    dropped = {names((drop.entry,)): drop.reason for drop in outcome.dropped}
    return {name: entries for name, entries in {**found, "dropped": dropped}.items() if entries}


CASES = [
    (None, 2, {"sent": "ab"}),
    (DOWN, 2, {"again": "ab"}),
    (DOWN, 1, {"aside": "a"}),
    (NOBODY, 2, {"again": "ab"}),
    (NOBODY, 1, {"again": "a"}),
    (BUSY, 2, {"again": "ab"}),
    (BUSY, 1, {"again": "a"}),
    (BROKEN, 2, {"later": "ab"}),
    (BROKEN, 1, {"aside": "a"}),
    (REFUSED, 2, {"dropped": {"a": "Rejected", "b": "Rejected"}}),
    (RequestTooLarge("HTTP 413"), 2, {"again": "ab"}),
    (RequestTooLarge("HTTP 413"), 1, {"dropped": {"a": "RequestTooLarge"}}),
    (OutcomeUnknown("HTTP 400"), 2, {"dropped": {"a": "unknown", "b": "unknown"}}),
    (PartlyFailed("", {B.id: REFUSED, C.id: BROKEN}), 3, {"sent": "a", "aside": "c", "dropped": {"b": "Rejected"}}),
    (PartlyFailed("", {B.id: BUSY}), 3, {"sent": "ac", "aside": "b"}),
    (PartlyFailed("", {A.id: BUSY}), 1, {"aside": "a"}),
    (PartlyFailed("", {"of another": REFUSED}), 2, {"dropped": {"a": "unknown", "b": "unknown"}}),
]


@pytest.mark.parametrize(("error", "count", "expected"), CASES)
def test_outcomes(error: PushError | None, count: int, expected: object) -> None:
    assert summary(decide([A, B, C][:count], error, max_retries=10, successes=0)) == expected


def test_a_rate_limit_for_a_suspect_may_be_its_own() -> None:
    assert summary(decide([A], BUSY, max_retries=10, successes=0, suspect=True)) == {"aside": "a"}


@pytest.mark.parametrize("error", [BUSY, BROKEN, PartlyFailed("", {A.id: BROKEN})])
def test_answers_about_the_profile_use_up_its_retries(error: PushError) -> None:
    now, attempts = A, 0
    while not (outcome := decide([now], error, max_retries=3, successes=0)).dropped:
        (now,) = outcome.again or outcome.aside
        attempts += 1
        assert now.head is A.head and now.body is A.body
        assert now.attempts == attempts
    assert attempts == 3
    (drop,) = outcome.dropped
    assert drop.reason == "RetriesExhausted"
    assert "4 attempts" in drop.message


def test_without_retries() -> None:
    assert summary(decide([A], BROKEN, max_retries=0, successes=0)) == {"dropped": {"a": "RetriesExhausted"}}


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
        (now,) = decide([now], DOWN, max_retries=3, successes=5).aside
    assert now.retries == 0


def test_a_profile_on_which_the_endpoint_fails_while_it_takes_others_is_dropped_in_the_end() -> None:
    now = A
    for successes in (5, 6, 7, 7, 8):
        (now,) = decide([now], DOWN, max_retries=3, successes=successes).aside
    assert now.retries == 3
    assert summary(decide([now], DOWN, max_retries=3, successes=9)) == {"dropped": {"a": "RetriesExhausted"}}
