"""Where profiles are pushed to, and how."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from pyroscope_operator.errors import SettingsError
from pyroscope_operator.model.access import DIRECT, Access
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.push.shape import LABEL_NAME

PUSH_PATH = "/push.v1.PusherService/Push"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RESERVED = frozenset(
    {
        "accept-encoding",
        "connect-protocol-version",
        "connect-timeout-ms",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
    }
)


@dataclass(frozen=True, slots=True)
class WriteEndpoint:
    """One Pyroscope, as the operator writes to it. All times are seconds.

    Raises SettingsError when a value can't work; neither that message nor the repr
    shows a secret (headers may be secrets too).
    """

    url: str
    """http(s)://host[:port][/prefix]; the path of the push API is appended."""
    name: str = "default"
    """Stands in metrics, logs and status."""
    tenant_id: str | None = None
    """Sent as X-Scope-OrgID."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """More request headers; not those that the protocol itself needs."""
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    """User and password."""
    bearer_token: str | None = field(default=None, repr=False)
    """At most one of `basic_auth`, `bearer_token` and an Authorization header."""
    access: Access = DIRECT
    external_labels: Labels = field(default_factory=Labels)
    """Added to every series, see `batch.with_external`."""
    remote_timeout: float = 10.0
    """For a whole request, from connecting to the end of the answer."""
    min_backoff: float = 0.5
    max_backoff: float = 30.0
    """Also the longest time for which the server's Retry-After is honoured."""
    max_retries: int = 10
    """How often a profile is sent again after answers about the profile itself (HTTP 429, 500 and the like).

    While the endpoint is down (no connection, no answer in time, 408, 502, 503, 504)
    nothing is counted: profiles wait as long as the queue holds them.  See `outcome`.
    """
    retry_on_429: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise SettingsError("an endpoint needs a name")
        _check_url(self.url)
        _check_auth(self)
        if not all(LABEL_NAME.fullmatch(label) for label in self.external_labels):
            raise SettingsError(f"endpoint {self.name}: an external label has an invalid name")
        for name, value in self.request_headers():
            if not _TOKEN.fullmatch(name) or not (value.isascii() and value.isprintable()):
                raise SettingsError(f"endpoint {self.name}: a header, the tenant or a credential is no valid HTTP header")
        if self.remote_timeout <= 0 or self.min_backoff <= 0 or self.max_backoff < self.min_backoff or self.max_retries < 0:
            raise SettingsError(f"endpoint {self.name}: timeout and back-off must be above 0, min ≤ max, retries not negative")

    @property
    def push_url(self) -> str:
        """The address of the push call."""
        return self.url.rstrip("/") + PUSH_PATH

    def request_headers(self) -> list[tuple[str, str]]:
        """The headers of this endpoint alone, credentials among them."""
        headers = list(self.headers)
        if self.tenant_id:
            headers.append(("X-Scope-OrgID", self.tenant_id))
        if self.bearer_token is not None:
            headers.append(("Authorization", f"Bearer {self.bearer_token}"))
        if self.basic_auth is not None:
            pair = ":".join(self.basic_auth).encode()
            headers.append(("Authorization", f"Basic {base64.b64encode(pair).decode()}"))
        return headers


def _check_url(url: str) -> None:
    """The message leaves out the URL: a wrong one may hold a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable, parts = False, SplitResult("", "", "", "", "")
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError("the URL of an endpoint must be http(s)://host[:port][/prefix]")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise SettingsError("the URL of an endpoint must have no credentials, query or fragment")


def _check_auth(endpoint: WriteEndpoint) -> None:
    names = [name.lower() for name, _ in endpoint.headers]
    ways = [endpoint.basic_auth is not None, endpoint.bearer_token is not None, "authorization" in names]
    if sum(ways) > 1:
        raise SettingsError(f"endpoint {endpoint.name}: basic auth, bearer token and an Authorization header exclude each other")
    if endpoint.basic_auth is not None and ":" in endpoint.basic_auth[0]:
        raise SettingsError(f"endpoint {endpoint.name}: a user name can't contain a colon")
    if endpoint.tenant_id and "x-scope-orgid" in names:
        raise SettingsError(f"endpoint {endpoint.name}: the tenant is given twice")
    if reserved := sorted(_RESERVED.intersection(names)):
        raise SettingsError(f"endpoint {endpoint.name}: header {reserved[0]} belongs to the protocol")
