"""How HTTP requests are made, to targets and to write endpoints alike."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from pyroscope_operator.api.auth import Authorization, BasicAuth, OAuth2
from pyroscope_operator.api.base import ApiModel, Listed, Rule
from pyroscope_operator.api.formats import HeaderName, HeaderValue
from pyroscope_operator.api.proxy import Proxy
from pyroscope_operator.api.secret import SecretKey
from pyroscope_operator.api.tls import Tls

RESERVED_HEADERS = (
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "proxy-authorization",
    "transfer-encoding",
    "user-agent",
)
"""Headers that the operator sets itself, in lower case."""


class Header(ApiModel):
    """A header that is added to every request."""

    name: HeaderName
    """Name of the header."""
    value: HeaderValue | None = None
    """Its value. Excludes secret."""
    secret: SecretKey | None = None
    """Where its value stands. Excludes value."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "exactly one of value and secret must be set: add the missing one or remove one of both",
            "has(self.value) != has(self.secret)",
            lambda h: (h.value is None) != (h.secret is None),
        ),
        Rule(
            "name",
            "name is a header that the operator sets itself: remove it (instead of Authorization set authorization)",
            f"!(self.name.lowerAscii() in {list(RESERVED_HEADERS)})",
            lambda h: h.name.lower() not in RESERVED_HEADERS,
        ),
    )


class HttpClient(Proxy):
    """Authentication, TLS, proxy and headers of requests. At most one kind of authentication."""

    basic_auth: BasicAuth | None = None
    """HTTP basic authentication."""
    authorization: Authorization | None = None
    """An `Authorization` header made of a type and a credential."""
    oauth2: OAuth2 | None = None
    """OAuth 2.0 with the client-credentials grant."""
    bearer_token_secret: SecretKey | None = None
    """Where a bearer token stands; short for `authorization` with the type Bearer."""
    tls_config: Tls | None = None
    """TLS, when the scheme is https."""
    follow_redirects: bool = True
    """Whether redirects are followed. Those of a pod lead only to the same host; credentials are never sent to another one."""
    enable_http2: bool = Field(default=True, alias="enableHTTP2")
    """Whether HTTP/2 may be used where the other side offers it over TLS."""
    headers: Annotated[tuple[Header, ...], Field(max_length=20), Listed("map", ("name",))] = ()
    """Headers that are added to every request."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "at most one of basicAuth, authorization, oauth2 and bearerTokenSecret may be set: remove the others",
            "[has(self.basicAuth), has(self.authorization), has(self.oauth2), has(self.bearerTokenSecret)]"
            ".filter(x, x).size() <= 1",
            lambda c: sum(a is not None for a in (c.basic_auth, c.authorization, c.oauth2, c.bearer_token_secret)) <= 1,
        ),
        Rule(
            "headers",
            "headers must differ in their names, upper and lower case being the same: remove one of them",
            "!has(self.headers) || self.headers.all(h, self.headers.exists_one(o, o.name.lowerAscii() == h.name.lowerAscii()))",
            lambda c: len({h.name.lower() for h in c.headers}) == len(c.headers),
        ),
    )
