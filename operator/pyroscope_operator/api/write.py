"""PyroscopeWrite: where profiles go, and how."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from pyroscope_operator.api import API_VERSION, duration
from pyroscope_operator.api.base import ApiModel, Listed, Rule
from pyroscope_operator.api.formats import DnsLabel, Duration, ExternalLabel, SeriesValue, Tenant, WriteUrl
from pyroscope_operator.api.http import HttpClient
from pyroscope_operator.api.meta import ObjectMeta
from pyroscope_operator.model.labels import PROTECTED
from pyroscope_operator.model.ref import ObjectRef

KIND: Final = "PyroscopeWrite"
PLURAL: Final = "pyroscopewrites"

PROTOCOL_HEADERS = ("connect-protocol-version", "connect-timeout-ms")
"""Headers of the push protocol, besides those that the operator sets itself everywhere."""
TENANT_HEADER = "x-scope-orgid"

LONGEST: Final = "10m"
"""Of a request, and of a pause."""
_LONGEST_SECONDS = duration.parse(LONGEST)
_PROTECTED = sorted(PROTECTED)


def _within(field: str, attribute: str) -> Rule:
    """The rule for a duration above 0s."""
    return Rule(
        field,
        f"{field} must be above 0s and at most {LONGEST}",
        f"duration(self.{field}) > duration('0s') && duration(self.{field}) <= duration('{LONGEST}')",
        lambda e: 0 < duration.parse(getattr(e, attribute)) <= _LONGEST_SECONDS,
    )


class Endpoint(HttpClient):
    """A Pyroscope, and how it is written to."""

    name: DnsLabel
    """Stands in status, metrics and logs. Unique in the list."""
    url: WriteUrl
    """http(s)://host[:port][/prefix]; the path of the push API is appended."""
    tenant_id: Tenant | None = Field(default=None, alias="tenantID")
    """Tenant, sent as X-Scope-OrgID. Absent: the header is not sent."""
    remote_timeout: Duration = "10s"
    """Time after which a request is given up and its profiles are sent again, from connecting to the end of the answer."""
    min_backoff: Duration = "500ms"
    """Pause after the first failed request; each further failure in a row doubles it."""
    max_backoff: Duration = "30s"
    """Longest pause after failed requests, also if a Retry-After asks for more."""
    max_retries: Annotated[int, Field(ge=0, le=1000)] = 10
    """How often a profile that the endpoint answers with an error is sent again. An endpoint that is down uses up none."""
    retry_on_http429: bool = Field(default=True, alias="retryOnHTTP429")
    """Whether profiles that are refused with HTTP status 429 are sent again."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "tenantID",
            "tenantID is sent as X-Scope-OrgID: remove it, or that header from headers",
            f"!has(self.tenantID) || !has(self.headers) || !self.headers.exists(h, h.name.lowerAscii() == '{TENANT_HEADER}')",
            lambda e: not e.tenant_id or all(h.name.lower() != TENANT_HEADER for h in e.headers),
        ),
        Rule(
            "headers",
            "headers must not have one that belongs to the push protocol: remove Connect-Protocol-Version and Connect-Timeout-Ms",
            f"!has(self.headers) || !self.headers.exists(h, h.name.lowerAscii() in {list(PROTOCOL_HEADERS)})",
            lambda e: all(h.name.lower() not in PROTOCOL_HEADERS for h in e.headers),
        ),
        _within("remoteTimeout", "remote_timeout"),
        _within("minBackoff", "min_backoff"),
        _within("maxBackoff", "max_backoff"),
        Rule(
            "minBackoff",
            "minBackoff must not be above maxBackoff: lower it or raise maxBackoff",
            "duration(self.minBackoff) <= duration(self.maxBackoff)",
            lambda e: duration.parse(e.min_backoff) <= duration.parse(e.max_backoff),
        ),
    )


class PyroscopeWriteSpec(ApiModel):
    """Where profiles go. Each endpoint gets every profile, and none waits for another."""

    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=10), Listed("map", ("name",))]
    """The Pyroscopes that get the profiles."""
    external_labels: Annotated[dict[ExternalLabel, SeriesValue], Field(max_length=20)] = Field(default_factory=dict)
    """Labels for all series, over those that they have. What is queued already keeps the labels of before."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "externalLabels",
            f"externalLabels must not have {', '.join(_PROTECTED)}, which say whose profile it is",
            f"!has(self.externalLabels) || {_PROTECTED}.all(name, !(name in self.externalLabels))",
            lambda s: not any(name in s.external_labels for name in _PROTECTED),
        ),
    )


class PyroscopeWrite(ApiModel):
    """Sends the profiles of the PyroscopeScrapes that forward to it to one or more Pyroscopes."""

    api_version: Literal["pyroscope-operator.dev/v1alpha1"] = API_VERSION
    kind: Literal["PyroscopeWrite"] = KIND
    metadata: ObjectMeta
    spec: PyroscopeWriteSpec

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(self.metadata.namespace, self.metadata.name)
