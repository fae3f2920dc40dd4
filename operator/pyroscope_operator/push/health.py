"""Whether an endpoint takes profiles, and a log line whenever that changes."""

from __future__ import annotations

import logging

from pyroscope_operator.errors import OutcomeUnknown, PushError, Rejected, RequestTooLarge
from pyroscope_operator.push.answer import ENDPOINT_DOWN, ENDPOINT_REFUSES, RATE_LIMITED
from pyroscope_operator.push.endpoint import EndpointKey

_log = logging.getLogger(__name__)

_STREAK = 3
"""Failures in a row after which even errors about single profiles are the endpoint's."""


class Health:
    """Follows the pushes to one endpoint. All times are unix seconds."""

    def __init__(self, endpoint: EndpointKey) -> None:
        self._endpoint = endpoint
        self._extra = dict(zip(("write", "endpoint"), endpoint.labels, strict=True))
        self._streak = 0
        self.failing_since: float | None = None
        self.last_success: float | None = None
        self.last_error: PushError | None = None

    def succeeded(self, when: float) -> None:
        """A request was taken."""
        self.last_success = when
        self._streak = 0
        if self.failing_since is None:
            return
        extra = {**self._extra, "seconds": round(when - self.failing_since, 1)}
        _log.info("endpoint %s takes profiles again", self._endpoint, extra=extra)
        self.failing_since = None

    def failed(self, error: PushError, when: float, *, old_news: bool = False) -> None:
        """A request was not taken, or only in part: then `succeeded` was told before.

        `old_news`: one series failed that is known to fail while others are taken.
        """
        self.last_error = error
        if old_news or isinstance(error, RequestTooLarge):
            return
        self._streak += 1
        if self.failing_since is None and (_is_endpoints(error) or self._streak >= _STREAK):
            self.failing_since = when
            extra = {**self._extra, "reason": error.reason}
            _log.warning("endpoint %s takes no profiles: %s", self._endpoint, error, extra=extra)


def _is_endpoints(error: PushError) -> bool:
    """Whether the next profile would most likely meet the same error."""
    if isinstance(error, OutcomeUnknown):
        return False
    reasons = ENDPOINT_REFUSES if isinstance(error, Rejected) else ENDPOINT_DOWN | {RATE_LIMITED}
    return error.reason in reasons
