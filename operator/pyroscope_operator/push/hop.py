"""Where a push goes after a redirect, and with what."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from pyroscope_operator.errors import Rejected
from pyroscope_operator.model.access import Access
from pyroscope_operator.push.answer import REDIRECTED

MAX_REDIRECTS = 10
REDIRECTS = frozenset({307, 308})
"""Those after which method and body stay as they are."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One address on the way, and how it is reached."""

    url: httpx.URL = field(repr=False)
    access: Access

    def next(self, location: str | None) -> Hop:
        """The address that `location` points at: with credentials only while it is this host, and as safe.

        Raises Rejected where there is none to go to.
        """
        try:
            url = self.url.join(location or "")
            usable = bool(location) and url.scheme in {"http", "https"} and bool(url.host) and not url.userinfo
            usable = usable and (url.port is None or 0 < url.port < 2**16)
        except (httpx.InvalidURL, ValueError):
            url, usable = self.url, False
        if not usable:
            raise Rejected(REDIRECTED, "redirected, but not to an http(s) URL without credentials")
        same = url.host == self.url.host and url.scheme in {self.url.scheme, "https"}
        return Hop(url, self.access if same else self.access.elsewhere())
