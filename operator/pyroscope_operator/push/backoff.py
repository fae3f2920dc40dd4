"""How long an endpoint is left alone after a failure."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

_MAX_DOUBLINGS = 40


class Backoff:
    """Exponential with jitter, for a whole endpoint.

    The n-th failure in a row waits between a half and the whole of `lowest · 2ⁿ`,
    always within [lowest, highest] seconds.
    """

    def __init__(
        self,
        lowest: float,
        highest: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._lowest = lowest
        self._highest = highest
        self._monotonic = monotonic
        self._jitter = jitter
        self._failures = 0
        self._until = 0.0

    def rebound(self, lowest: float, highest: float) -> None:
        """Other bounds for the waits to come."""
        self._lowest, self._highest = lowest, highest

    def failed(self, retry_after: float | None = None) -> float:
        """One more failure; returns the seconds to wait from now on.

        The server's `retry_after` lengthens the wait, though never beyond the bound.
        """
        self._failures = min(self._failures + 1, _MAX_DOUBLINGS)
        top = min(self._highest, self._lowest * 2.0**self._failures)
        wait = max(self._lowest, top * (0.5 + self._jitter() / 2))
        if retry_after is not None:
            wait = max(wait, min(retry_after, self._highest))
        self._until = self._monotonic() + wait
        return wait

    def reset(self) -> None:
        """The endpoint works again: no wait, and the next one starts small."""
        self._failures = 0
        self._until = 0.0

    def remaining(self) -> float:
        """Seconds still to wait, 0 if none."""
        return max(0.0, self._until - self._monotonic()) if self._failures else 0.0


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a Retry-After header (RFC 9110: seconds or a date), None when absent or senseless.

    `now` is unix time.
    """
    value = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now)
    except (ValueError, OverflowError):
        return None
