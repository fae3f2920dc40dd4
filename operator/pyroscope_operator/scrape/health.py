"""How the scrapes of one loop have gone."""

from __future__ import annotations

from typing import NamedTuple

from pyroscope_operator.errors import ScrapeError


class Health(NamedTuple):
    """State after the last scrape; times are Unix seconds."""

    up: bool | None = None
    """None: not tried yet."""
    reason: str = ""
    message: str = ""
    """Why the last scrape failed; empty when it did not."""
    last_scrape: float | None = None
    """Start of the last scrape that ended."""
    last_success: float | None = None
    duration: float = 0.0
    """Seconds that the last scrape took."""
    body_bytes: int = 0
    """Size of the last good body as it came."""
    scrapes: int = 0
    failures: int = 0
    skipped_slots: int = 0

    def succeeded(self, started: float, ended: float, body_bytes: int) -> Health:
        duration, scrapes = ended - started, self.scrapes + 1
        return Health(True, "", "", started, started, duration, body_bytes, scrapes, self.failures, self.skipped_slots)

    def failed(self, started: float, ended: float, error: ScrapeError) -> Health:
        return self._replace(
            up=False,
            reason=error.reason,
            message=error.message,
            last_scrape=started,
            duration=ended - started,
            scrapes=self.scrapes + 1,
            failures=self.failures + 1,
        )

    def skipped(self, slots: int) -> Health:
        return self._replace(skipped_slots=self.skipped_slots + slots)


UNTRIED = Health()
