"""What an answer of the push API means. Pure.

Source: knowledge of Pyroscope's distributor (every series of a request is attempted)
and of Connect (an error carries a code and the text of the first error only).  The
server's text is read for ids and for the body limit, and goes no further: messages
made here hold the HTTP status and Connect's code.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from pyroscope_operator.errors import (
    OutcomeUnknown,
    PartlyFailed,
    PushError,
    Rejected,
    RequestTooLarge,
    RetryLater,
    Unauthenticated,
)
from pyroscope_operator.transport.faults import ACCESS_REASONS

UNREACHABLE = "Unreachable"
CONNECTION_FAILED = "ConnectionFailed"
DEADLINE_EXCEEDED = "DeadlineExceeded"
UNAVAILABLE = "Unavailable"
UNEXPECTED_ANSWER = "UnexpectedAnswer"
RATE_LIMITED = "RateLimited"
SERVER_ERROR = "ServerError"
REJECTED = "Rejected"
REDIRECTED = "Redirected"

NEVER_SENT = ACCESS_REASONS | {UNREACHABLE}
"""Reasons of RetryLater that no profile can have caused: nothing of it left this machine."""
ENDPOINT_DOWN = NEVER_SENT | {CONNECTION_FAILED, DEADLINE_EXCEEDED, UNAVAILABLE, UNEXPECTED_ANSWER}
"""Reasons of RetryLater that tell of the endpoint and not of what was sent."""

_REFUSALS = {401: "Unauthorized", 403: "Unauthorized", 404: "NotFound", 405: "NotFound", 501: "NotFound"}

ENDPOINT_REFUSES = frozenset({*_REFUSALS.values(), REDIRECTED})
"""Reasons of Rejected that tell of the endpoint's configuration and not of what was sent."""

_CODES = frozenset(
    {
        *("canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists"),
        *("permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range"),
        *("unimplemented", "internal", "unavailable", "data_loss", "unauthenticated"),
    }
)
_CALLERS = frozenset({"unauthenticated", "permission_denied", "unimplemented"})
"""Codes that can't be about a single series."""

_ID = re.compile(r"push series with index \d+ and id ([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}) failed")

# Before any quote or brace: label values, which the server quotes, must not be able to say this.
_BODY_LIMIT = re.compile(r"[^'\"{]*?(?:exceeds limit|is larger than configured max)")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, as far as it matters."""

    status: int
    content_type: str = ""
    retry_after: float | None = None
    """Seconds."""
    body: bytes = field(default=b"", repr=False)
    cut: bool = False
    """The body is not complete: too long, or the connection broke."""


@dataclass(frozen=True, slots=True)
class _ConnectError:
    code: str
    text: str = field(repr=False)


def verdict(answer: Answer, *, series: int, retry_on_429: bool) -> PushError | None:
    """The error that the answer to a request of `series` series means, None for success."""
    if answer.status == 200:
        if _is_other_service(answer.content_type):
            return RetryLater(UNEXPECTED_ANSWER, "HTTP 200, but not from a Pyroscope push API")
        return None
    error = _connect_error(answer)
    message = f"HTTP {answer.status}, {error.code}" if error else f"HTTP {answer.status}"
    if _too_large(answer.status, error):
        return RequestTooLarge(message)
    each = _of_one(answer, error, message, retry_on_429)
    if error and (ids := _ID.findall(error.text)):
        return PartlyFailed(message, dict.fromkeys(ids, each))
    if series > 1 and _is_ambiguous(answer, error, each):
        return OutcomeUnknown(message)
    return each


def _is_other_service(content_type: str) -> bool:
    """A login or maintenance page, say: Pyroscope answers in protobuf."""
    return content_type.lower().startswith(("text/", "application/json"))


def _connect_error(answer: Answer) -> _ConnectError | None:
    """The body as a Connect error; None when something in front of Pyroscope answered."""
    try:
        error = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(error, dict):
        return None
    code, text = error.get("code"), error.get("message")
    if not isinstance(code, str) or code not in _CODES:
        return None
    return _ConnectError(code, text if isinstance(text, str) else "")


def _too_large(status: int, error: _ConnectError | None) -> bool:
    """Whether the request as a whole was over a limit, of Pyroscope or of a proxy."""
    if status == 413:
        return True
    if error is None or not 400 <= status < 500 or _ID.search(error.text):
        return False
    return _BODY_LIMIT.match(error.text) is not None


def _of_one(answer: Answer, error: _ConnectError | None, message: str, retry_on_429: bool) -> PushError:
    """What the answer means for a request, or part of it, that certainly failed."""
    reason = _retry_reason(answer.status, error.code if error else "")
    if reason is None:
        default = REDIRECTED if 300 <= answer.status < 400 else REJECTED
        kind = Unauthenticated if answer.status == 401 else Rejected
        return kind(_REFUSALS.get(answer.status, default), message)
    if reason == RATE_LIMITED and not retry_on_429:
        return Rejected(RATE_LIMITED, message)
    return RetryLater(reason, message, answer.retry_after)


def _retry_reason(status: int, code: str) -> str | None:
    """Why the same may be sent again; None if that is pointless."""
    if code == "deadline_exceeded" or status == 408:
        return DEADLINE_EXCEEDED
    if code == "unavailable" or status in {502, 503, 504}:
        return UNAVAILABLE
    if code == "resource_exhausted" or status == 429:
        return RATE_LIMITED
    if code == "unimplemented" or status < 500 or status == 501:
        return None
    return SERVER_ERROR


def _is_ambiguous(answer: Answer, error: _ConnectError | None, each: PushError) -> bool:
    """Whether only some series of a batch may have failed.

    Not so if Pyroscope's push handler can't have been what answered: then the whole
    request failed alike.  A cut body could have been a Connect error with ids.
    """
    if each.reason in ENDPOINT_DOWN:
        return False
    if error is None:
        return answer.cut
    return error.code not in _CALLERS
