"""What each answer of the push API means."""

from __future__ import annotations

import json

import pytest
from push_fakes import failed_id

from pyroscope_operator.errors import (
    OutcomeUnknown,
    PartlyFailed,
    PushError,
    Rejected,
    RequestTooLarge,
    RetryLater,
    Unauthenticated,
)
from pyroscope_operator.push.answer import Answer, verdict

ID_1 = "0b5f7a8e-5f58-4f4e-9d5e-111111111111"
ID_2 = "0b5f7a8e-5f58-4f4e-9d5e-222222222222"


def connect(status: int, code: str, message: str = "", retry_after: float | None = None) -> Answer:
    body = json.dumps({"code": code, "message": message}).encode()
    return Answer(status, "application/json", retry_after, body)


def plain(status: int) -> Answer:
    return Answer(status, "text/plain", body=b"nginx says no")


def judge(answer: Answer, series: int = 1, retry_on_429: bool = True) -> PushError | None:
    return verdict(answer, series=series, retry_on_429=retry_on_429)


@pytest.mark.parametrize("content_type", ["application/proto", "application/proto; charset=x", "", "application/octet-stream"])
def test_success(content_type: str) -> None:
    assert judge(Answer(200, content_type)) is None


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json", "Text/Plain"])
def test_another_service_that_answers_200_has_taken_nothing(content_type: str) -> None:
    error = judge(Answer(200, content_type, body=b"<html>log in</html>"), series=3)
    assert isinstance(error, RetryLater)
    assert error.reason == "UnexpectedAnswer"


# status, kind and reason for one series and, where nobody in front of the handler answers, for several alike
PLAIN = [
    (408, RetryLater, "DeadlineExceeded"),
    (429, RetryLater, "RateLimited"),
    (500, RetryLater, "ServerError"),
    (501, Rejected, "NotFound"),
    (502, RetryLater, "Unavailable"),
    (503, RetryLater, "Unavailable"),
    (504, RetryLater, "Unavailable"),
    (520, RetryLater, "ServerError"),
    (301, Rejected, "Redirected"),
    (308, Rejected, "Redirected"),
    (400, Rejected, "Rejected"),
    (401, Unauthenticated, "Unauthorized"),
    (403, Rejected, "Unauthorized"),
    (404, Rejected, "NotFound"),
    (409, Rejected, "Rejected"),
    (413, RequestTooLarge, "RequestTooLarge"),
    (422, Rejected, "Rejected"),
    (499, Rejected, "Rejected"),
    (204, Rejected, "Rejected"),
]


@pytest.mark.parametrize("series", [1, 3])
@pytest.mark.parametrize(("status", "kind", "reason"), PLAIN)
def test_by_status_alone(status: int, kind: type[PushError], reason: str, series: int) -> None:
    error = judge(plain(status), series)
    assert type(error) is kind
    assert error.reason == reason
    assert error.message == f"HTTP {status}"


# status, code, kind for one series, kind for several
CONNECT = [
    (400, "invalid_argument", Rejected, OutcomeUnknown),
    (400, "failed_precondition", Rejected, OutcomeUnknown),
    (404, "not_found", Rejected, OutcomeUnknown),
    (409, "aborted", Rejected, OutcomeUnknown),
    (499, "canceled", Rejected, OutcomeUnknown),
    (429, "resource_exhausted", RetryLater, OutcomeUnknown),
    (500, "unknown", RetryLater, OutcomeUnknown),
    (500, "internal", RetryLater, OutcomeUnknown),
    (503, "unavailable", RetryLater, RetryLater),
    (504, "deadline_exceeded", RetryLater, RetryLater),
    (408, "deadline_exceeded", RetryLater, RetryLater),
    (408, "canceled", RetryLater, RetryLater),
    (401, "unauthenticated", Unauthenticated, Unauthenticated),
    (403, "permission_denied", Rejected, Rejected),
    (501, "unimplemented", Rejected, Rejected),
]


@pytest.mark.parametrize(("status", "code", "one", "several"), CONNECT)
def test_connect_errors_without_ids(status: int, code: str, one: type[PushError], several: type[PushError]) -> None:
    answer = connect(status, code, "profile too old")
    assert type(judge(answer)) is one
    assert type(judge(answer, series=2)) is several


@pytest.mark.parametrize(
    ("status", "code", "each", "reason"),
    [
        (503, "unavailable", RetryLater, "Unavailable"),
        (504, "deadline_exceeded", RetryLater, "DeadlineExceeded"),
        (429, "resource_exhausted", RetryLater, "RateLimited"),
        (500, "unknown", RetryLater, "ServerError"),
        (400, "invalid_argument", Rejected, "Rejected"),
    ],
)
@pytest.mark.parametrize("series", [1, 5])
def test_connect_errors_with_ids(status: int, code: str, each: type[PushError], reason: str, series: int) -> None:
    text = f"2 errors: {failed_id(ID_1, index=3)}; {failed_id(ID_2.upper(), 'rpc error: x')}"
    error = judge(connect(status, code, text, retry_after=7.0), series)
    assert isinstance(error, PartlyFailed)
    assert list(error.failed) == [ID_1, ID_2.upper()]
    for one in error.failed.values():
        assert type(one) is each
        assert one.reason == reason
        assert not isinstance(one, RetryLater) or one.retry_after == 7.0


@pytest.mark.parametrize(
    "text",
    [
        "push series with index 3 failed: x",
        "push series with index 3 and id  failed: x",
        "push series with index 3 and id 12 failed: x",
        ID_1,
    ],
)
def test_an_index_is_no_id(text: str) -> None:
    assert isinstance(judge(connect(500, "unknown", text), series=2), OutcomeUnknown)


@pytest.mark.parametrize(
    ("answer", "large"),
    [
        (connect(400, "invalid_argument", "uncompressed batched profile payload size exceeds limit of 1.0 MB"), True),
        (connect(429, "resource_exhausted", "message size 9 is larger than configured max 4"), True),
        (plain(413), True),
        (connect(400, "invalid_argument", "the profile with labels '{a=\"exceeds limit\"}' has no type"), False),
        (connect(400, "invalid_argument", "the profile with labels '{}' exceeds the size limit"), False),
        (connect(400, "invalid_argument", failed_id(ID_1, "body exceeds limit")), False),
        (connect(500, "unknown", "disk usage exceeds limit"), False),
        (Answer(400, "text/plain", body=b"exceeds limit"), False),
    ],
)
@pytest.mark.parametrize("series", [1, 2])
def test_a_request_that_is_too_large_as_a_whole(answer: Answer, large: bool, series: int) -> None:
    assert isinstance(judge(answer, series), RequestTooLarge) is large


def test_rate_limits_that_shall_not_be_retried() -> None:
    for answer in (plain(429), connect(429, "resource_exhausted")):
        error = judge(answer, retry_on_429=False)
        assert isinstance(error, Rejected)
        assert error.reason == "RateLimited"
    partly = judge(connect(429, "resource_exhausted", failed_id(ID_1)), series=2, retry_on_429=False)
    assert isinstance(partly, PartlyFailed)
    assert isinstance(partly.failed[ID_1], Rejected)
    assert isinstance(judge(plain(503), retry_on_429=False), RetryLater)


def test_a_cut_answer_may_have_named_ids() -> None:
    cut = Answer(500, "application/json", body=b'{"code":"unknown","message":"2 err', cut=True)
    assert isinstance(judge(cut, series=2), OutcomeUnknown)
    assert isinstance(judge(cut, series=1), RetryLater)
    assert isinstance(judge(Answer(503, cut=True), series=2), RetryLater)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"\xff", b'{"code":7}', b'{"code":[]}', b'{"code":"of the door"}', b'{"message":"x"}', b"[" * 50_000],
)
def test_bodies_that_are_no_connect_errors(body: bytes) -> None:
    error = judge(Answer(400, "application/json", body=body), series=2)
    assert isinstance(error, Rejected)
    assert error.message == "HTTP 400"


def test_a_connect_error_without_a_text() -> None:
    assert isinstance(judge(Answer(400, body=b'{"code":"internal","message":5}')), Rejected)


def test_messages_never_hold_the_servers_text() -> None:
    text = f"secret-text {failed_id(ID_1)} exceeds limit"
    for status in (400, 401, 404, 429, 500, 503):
        for answer in (connect(status, "invalid_argument", text), Answer(status, "secret-text", body=text.encode())):
            for series in (1, 2):
                error = judge(answer, series)
                assert error is not None
                assert "secret-text" not in f"{error} {error!r} {error.message}"
    assert "secret-text" not in repr(Answer(500, body=b"secret-text"))
