"""The one error tree.

    OperatorError
    ├── SettingsError           a flag, an environment variable or a file given at start is wrong
    ├── ManifestError           a file of manifests can't be read
    ├── SpecError               an object of ours is invalid; tells the wrong fields
    ├── AccessError             TLS, a proxy, a token or the destination kept a request from the other side
    ├── ScrapeError             this scrape failed; the next one is tried as planned
    │   ├── FetchError              no usable HTTP answer came
    │   └── ProfileError            the answer is no profile, or not one within the limits
    ├── PushError               a push request failed
    │   ├── RetryLater              the same request may be sent again (at least once)
    │   ├── RequestTooLarge         nothing was taken; send it in smaller parts
    │   ├── PartlyFailed            some series of the batch failed, and the answer says which
    │   ├── OutcomeUnknown          some series failed, nobody knows which: do not send it again
    │   └── Rejected                sending it again is pointless
    │       └── Unauthenticated         unless the credentials have changed
    └── ClusterError            the operator can't have from the cluster what it needs
        ├── ApiError                one call to the API server failed
        └── LeaseLost               another operator of the same name has taken over

Every error carries a `reason`: a CamelCase word that stands in status, metrics and
logs.  Messages are short and hold neither secrets nor response bodies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Place = tuple[int | str, ...]
"""Where something stands in an object: names of fields, keys of maps and indices of lists, from the outside in."""

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class OperatorError(Exception):
    """Base of all errors that the operator raises on purpose.

    `reason` is CamelCase and bounded in number, fit for a metric label; `message`
    is one short sentence for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class SettingsError(OperatorError):
    """A setting given at start is wrong; the process ends with exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidSettings", message)


class ManifestError(OperatorError):
    """A file of manifests can't be read or parsed.

    `problem` is what is wrong at `line` and `column`, which count from 1; 0: it is about the whole file.
    """

    def __init__(self, file: str, problem: str, line: int = 0, column: int = 0) -> None:
        super().__init__("InvalidManifest", f"{file}:{line}: {problem}" if line else f"{file}: {problem}")
        self.problem = problem
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in an object. The message says the fix and never holds a value."""

    place: Place
    """The wrong field, or the missing one."""
    message: str

    @property
    def path(self) -> str:
        """`place` as a JSON path: spec.custom[0].path; keys of maps that are no field names go into brackets."""
        path = ""
        for part in self.place:
            text = str(part)[:63]
            plain = isinstance(part, str) and _FIELD.fullmatch(text)
            path += ("." if path and plain else "") + (text if plain else f"[{text}]")
        return path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.place else self.message


class SpecError(OperatorError):
    """An object of ours is invalid. It is reported, and nothing of it is scraped."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("InvalidSpec", "; ".join(map(str, problems)))
        self.problems = list(problems)


class AccessError(OperatorError):
    """A request did not get as far as the other side's answer, and it is known which part of the way failed.

    `reason` is one of those in `transport.faults`.
    """


class ScrapeError(OperatorError):
    """One scrape failed. State is untouched and the next slot is tried as planned."""


class FetchError(ScrapeError):
    """No usable HTTP answer: connection, timeout, status, redirect or body limit."""


class ProfileError(ScrapeError):
    """The body is not a pprof profile, is broken, or exceeds a limit."""


class PushError(OperatorError):
    """A push request failed; the subclass says what to do with what it carried."""


class RetryLater(PushError):
    """The whole request may be sent again: either nothing was taken or nobody knows.

    `retry_after` is the server's wish in seconds, if it had one.
    """

    def __init__(self, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after


class RequestTooLarge(PushError):
    """The request as a whole was over the server's limit; nothing of it was taken."""

    def __init__(self, message: str) -> None:
        super().__init__("RequestTooLarge", message)


class PartlyFailed(PushError):
    """Some series failed and are known by the id of their sample.

    `failed` maps the failed sample ids to the error that each one met
    (`RetryLater` or `Rejected`); all other series of the request were taken.
    """

    def __init__(self, message: str, failed: Mapping[str, PushError]) -> None:
        super().__init__("PartlyFailed", message)
        self.failed = failed


class OutcomeUnknown(PushError):
    """Some series of a batch failed and the answer doesn't say which.

    Sending the batch again would count the accepted profiles twice.
    """

    def __init__(self, message: str) -> None:
        super().__init__("OutcomeUnknown", message)


class Rejected(PushError):
    """The server will never take this request."""


class Unauthenticated(Rejected):
    """HTTP 401: the server does not know us, with these credentials."""


class ClusterError(OperatorError):
    """The operator can't have from the cluster what it needs."""


class ApiError(ClusterError):
    """One call to the API server failed, with HTTP `status`; 0 means no answer at all."""

    def __init__(self, status: int, what: str) -> None:
        answer = f"the API server answered {status}" if status else "no answer from the API server"
        super().__init__("ApiServerRefused" if status else "ApiServerUnreachable", f"{what}: {answer}")
        self.status = status


class LeaseLost(ClusterError):
    """Another operator of the same name holds the Lease now."""

    def __init__(self, message: str) -> None:
        super().__init__("LeaseLost", message)
