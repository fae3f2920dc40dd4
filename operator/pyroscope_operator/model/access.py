"""How the other side of a request is reached, with all that a manifest refers to filled in.

Frozen values that hold secrets: none of them shows one in its repr, and equal ones share
connections and tokens (`transport.clients`).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field, replace
from typing import Literal

TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How TLS connections are made. Certificates and keys are PEM."""

    ca: str | None = None
    """Authorities; None: those that the machine trusts."""
    cert: str | None = None
    key: str | None = field(default=None, repr=False)
    server_name: str | None = None
    """Name that the certificate of the other side must carry; None: the host of the URL."""
    insecure_skip_verify: bool = False
    min_version: TlsVersion | None = None
    max_version: TlsVersion | None = None


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Which proxy is gone through: none, that of `url`, or that of the operator's environment."""

    url: str | None = field(default=None, repr=False)
    """http://, https:// or socks5://, perhaps with user and password."""
    no_proxy: str = ""
    """Hosts, domains, addresses and CIDR ranges that are reached directly, separated by commas."""
    from_environment: bool = False


@dataclass(frozen=True, slots=True)
class OAuth2Settings:
    """A token by the client-credentials grant."""

    client_id: str
    client_secret: str = field(repr=False)
    token_url: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    endpoint_params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Further parameters of the request for a token, sorted by name."""
    tls: TlsSettings = TlsSettings()
    proxy: ProxySettings = ProxySettings()


@dataclass(frozen=True, slots=True)
class Access:
    """How requests reach the other side. The default: directly, and as nobody."""

    authorization: str | None = field(default=None, repr=False)
    """Value of the Authorization header."""
    oauth2: OAuth2Settings | None = None
    """Excludes `authorization`."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Further headers of every request; they may be secrets, too."""
    tls: TlsSettings = TlsSettings()
    proxy: ProxySettings = ProxySettings()
    http2: bool = True
    """Whether HTTP/2 is used where the other side offers it over TLS."""
    guarded: bool = False
    """Whether connections are made only to addresses that the administrator's settings permit.

    So it is where a tenant names the other side.  Proxies that are named by URL and the
    `token_url` are always guarded.
    """
    credentials: str = field(default="", compare=False)
    """JSON paths of the fields that the credentials come from, for messages."""

    def elsewhere(self) -> Access:
        """For a redirect to another host: no credentials, no client certificate, no headers; and guarded."""
        tls = replace(self.tls, cert=None, key=None, server_name=None)
        return replace(self, authorization=None, oauth2=None, headers=(), tls=tls, guarded=True, credentials="")

    @property
    def has_credentials(self) -> bool:
        """Whether requests carry anything that another pod must not see."""
        return any((self.authorization is not None, self.oauth2 is not None, self.headers, self.tls.key is not None))


DIRECT = Access()
"""Directly, and as nobody."""


def basic(user: str, password: str) -> str:
    """The Authorization header of HTTP basic authentication, in UTF-8 (RFC 7617). `user` must have no colon."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?|")


def is_header_value(text: str) -> bool:
    """Whether `text` can be sent as the value of a header: printable ASCII, no blanks around it."""
    return _HEADER_VALUE.fullmatch(text) is not None
