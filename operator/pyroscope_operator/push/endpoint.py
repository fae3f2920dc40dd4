"""Where profiles are pushed to, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from pyroscope_operator.errors import SettingsError
from pyroscope_operator.model.access import DIRECT, Access, is_header_value
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.shape import LABEL_NAME

PUSH_PATH = "/push.v1.PusherService/Push"

FLAGS = ObjectRef("", "default")
"""The write that the operator's flags describe; no object can have this name."""

_TENANT_HEADER = "X-Scope-OrgID"
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


def write_name(write: ObjectRef) -> str:
    """What a write is called in metrics: `default`, or namespace/name."""
    return write.name if write == FLAGS else str(write)


class EndpointKey(NamedTuple):
    """An endpoint of a write: what queues, figures and troubles are kept for."""

    write: ObjectRef
    endpoint: str

    def __str__(self) -> str:
        """What people call it: `default`, or namespace/name/endpoint."""
        return self.endpoint if self.write == FLAGS else f"{self.write}/{self.endpoint}".rstrip("/")

    @property
    def labels(self) -> tuple[str, str]:
        """Its labels in metrics: write and endpoint."""
        return write_name(self.write), self.endpoint


@dataclass(frozen=True, slots=True)
class WriteEndpoint:
    """One Pyroscope, as the operator writes to it. All times are seconds.

    Raises SettingsError when a value can't work; neither that message nor the repr
    shows a secret (headers may be secrets too).
    """

    url: str
    """http(s)://host[:port][/prefix]; the path of the push API is appended."""
    name: str = "default"
    write: ObjectRef = FLAGS
    """The PyroscopeWrite that it is part of."""
    tenant_id: str | None = None
    """Sent as X-Scope-OrgID."""
    access: Access = DIRECT
    """Credentials, headers, TLS and proxy."""
    follow_redirects: bool = False
    """Whether 307 and 308 are followed."""
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
        _check_headers(self)
        if not all(LABEL_NAME.fullmatch(label) for label in self.external_labels):
            raise SettingsError(f"endpoint {self.name}: an external label has an invalid name")
        if self.remote_timeout <= 0 or self.min_backoff <= 0 or self.max_backoff < self.min_backoff or self.max_retries < 0:
            raise SettingsError(f"endpoint {self.name}: timeout and back-off must be above 0, min ≤ max, retries not negative")

    @property
    def key(self) -> EndpointKey:
        return EndpointKey(self.write, self.name)

    @property
    def push_url(self) -> str:
        """The address of the push call."""
        return self.url.rstrip("/") + PUSH_PATH

    @property
    def tenant_header(self) -> tuple[tuple[str, str], ...]:
        """The one header that says whose profiles these are, or none."""
        return ((_TENANT_HEADER, self.tenant_id),) if self.tenant_id else ()

    @property
    def address(self) -> tuple[str, Access, str | None]:
        """What decides whether requests arrive and are let in: when it changes, somebody has mended something."""
        return self.url, self.access, self.tenant_id


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


def _check_headers(endpoint: WriteEndpoint) -> None:
    """Those of `access`, and the tenant."""
    access, names = endpoint.access, [name.lower() for name, _ in endpoint.access.headers]
    if "authorization" in names and (access.authorization is not None or access.oauth2 is not None):
        raise SettingsError(f"endpoint {endpoint.name}: basic auth, bearer token and an Authorization header exclude each other")
    if endpoint.tenant_id and _TENANT_HEADER.lower() in names:
        raise SettingsError(f"endpoint {endpoint.name}: the tenant is given twice")
    if reserved := sorted(_RESERVED.intersection(names)):
        raise SettingsError(f"endpoint {endpoint.name}: header {reserved[0]} belongs to the protocol")
    values = [value for _, value in access.headers] + [access.authorization or "", endpoint.tenant_id or ""]
    if not all(map(_TOKEN.fullmatch, names)) or not all(map(is_header_value, values)):
        raise SettingsError(f"endpoint {endpoint.name}: a header, the tenant or a credential is no valid HTTP header")
