"""How requests are authenticated. Secrets are always referred to, never written into an object."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from pyroscope_operator.api.base import ApiModel, Listed, Rule
from pyroscope_operator.api.formats import HEADER_NAME, HttpUrl
from pyroscope_operator.api.proxy import Proxy
from pyroscope_operator.api.secret import SecretKey, SecretOrConfigMap
from pyroscope_operator.api.tls import Tls

_Scope = Annotated[str, Field(min_length=1, max_length=256)]
_ParamName = Annotated[str, Field(max_length=128)]
_ParamValue = Annotated[str, Field(max_length=1024)]


class BasicAuth(ApiModel):
    """HTTP basic authentication."""

    username: SecretKey | None = None
    """Where the user name stands. Absent: an empty user name."""
    password: SecretKey | None = None
    """Where the password stands. Absent: an empty password."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "username",
            "basicAuth needs username, password or both: set one of them or remove basicAuth",
            "has(self.username) || has(self.password)",
            lambda a: bool(a.username or a.password),
        ),
    )


class Authorization(ApiModel):
    """An `Authorization` header made of a type and a credential."""

    type: Annotated[str, Field(pattern=HEADER_NAME, max_length=64)] = "Bearer"
    """First word of the header. Anything but Basic, for which there is `basicAuth`."""
    credentials: SecretKey
    """Where the rest of the header stands, such as the token."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "type",
            "type must not be Basic: use basicAuth instead of authorization",
            "self.type.lowerAscii() != 'basic'",
            lambda a: a.type.lower() != "basic",
        ),
    )


class OAuth2(Proxy):
    """OAuth 2.0 with the client-credentials grant: a token is fetched from tokenUrl and sent as a bearer token.

    The settings for TLS and proxy are those of the requests to tokenUrl.
    """

    client_id: SecretOrConfigMap
    """Where the id of the client stands."""
    client_secret: SecretKey
    """Where the secret of the client stands."""
    token_url: HttpUrl
    """URL from which tokens are fetched."""
    scopes: Annotated[tuple[_Scope, ...], Field(max_length=20), Listed("atomic")] = ()
    """Scopes to ask for."""
    endpoint_params: Annotated[dict[_ParamName, _ParamValue], Field(max_length=20)] = Field(default_factory=dict)
    """Further parameters of the request for a token."""
    tls_config: Tls | None = None
    """TLS for requests to tokenUrl."""
