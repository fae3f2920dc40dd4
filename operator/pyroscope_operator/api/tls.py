"""How TLS connections are made."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pyroscope_operator.api.base import ApiModel, Rule
from pyroscope_operator.api.secret import SecretKey, SecretOrConfigMap

TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


class Tls(ApiModel):
    """How TLS connections are made: what the other side must prove and what we show it."""

    ca: SecretOrConfigMap | None = None
    """Certificates (PEM) of the authorities that may sign the certificate of the other side.
    Absent: those that the operator's image trusts.
    """
    cert: SecretOrConfigMap | None = None
    """Our certificate (PEM) for mutual TLS. Needs keySecret."""
    key_secret: SecretKey | None = None
    """The private key (PEM) that belongs to cert."""
    server_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Name that the certificate of the other side must carry. Absent: the host that is connected to."""
    insecure_skip_verify: bool = False
    """true: accept any certificate. Whoever can intercept the connection can then read credentials and profiles."""
    min_version: TlsVersion | None = None
    """Lowest TLS version to accept. Absent: the default of the operator's TLS library."""
    max_version: TlsVersion | None = None
    """Highest TLS version to accept. Absent: the highest that both sides know."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "keySecret",
            "cert and keySecret belong together: set both or none",
            "has(self.cert) == has(self.keySecret)",
            lambda t: (t.cert is None) == (t.key_secret is None),
        ),
        Rule(
            "minVersion",
            "minVersion must not be above maxVersion: lower minVersion or raise maxVersion",
            "!has(self.minVersion) || !has(self.maxVersion) || self.minVersion <= self.maxVersion",
            lambda t: not (t.min_version and t.max_version) or t.min_version <= t.max_version,
        ),
    )
