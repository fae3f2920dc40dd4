"""Which targets: ports of pods, annotations on them, targets that are no pods, and a share of all."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from pyroscope_operator.api.base import ApiModel, Rule
from pyroscope_operator.api.formats import HINTS, PORT_NAME, Address, DnsSubdomain, SeriesLabel, SeriesValue

_GIVEN_LABELS = ("__address__", "__name__")
_is_port_name = re.compile(PORT_NAME).fullmatch


def _port(value: Any) -> int | str:
    """A port number as int or a port name as str, as in a Service's targetPort."""
    if isinstance(value, str) and len(value) <= 15 and _is_port_name(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if 1 <= value <= 65535:
            return value
        raise PydanticCustomError("port", "must be a port number from 1 to 65535")
    raise PydanticCustomError("port", "{hint}", {"hint": HINTS[PORT_NAME]})


Port = Annotated[
    int | str,
    PlainValidator(_port),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "maxLength": 15, "pattern": PORT_NAME},
            ]
        }
    ),
]
"""A port number, or the name of a container port."""


class StaticTarget(ApiModel):
    """A target that is not a pod."""

    address: Address
    """host:port of the target; an IPv6 address in brackets. Unique in the list."""
    labels: Annotated[dict[SeriesLabel, SeriesValue], Field(max_length=30)] = Field(default_factory=dict)
    """Labels for its series, such as service_name. Names that start with __ are for relabeling only and are not sent."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "labels",
            "labels must not have __address__ (set address instead) nor __name__ (which is the profile type)",
            f"!has(self.labels) || {list(_GIVEN_LABELS)}.all(name, !(name in self.labels))",
            lambda t: not any(name in t.labels for name in _GIVEN_LABELS),
        ),
    )


class Annotations(ApiModel):
    """Whether annotations of a pod say how it is scraped."""

    mode: Literal["Ignore", "Override", "Require"] = "Ignore"
    """Ignore: annotations have no effect. Override: they change the settings of this object for their pod.
    Require: only annotated pods are scraped, and only for the profile types that their annotations ask for.
    The keys are in docs/annotations.md.
    """
    prefix: DnsSubdomain = "profiles.grafana.com"
    """What stands before the slash in the keys of these annotations, such as `profiles.grafana.com/scrape`."""


class Sampling(ApiModel):
    """Scrapes only a share of the targets. Which ones is stable: they change only as targets come and go."""

    percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """Share of the targets to scrape, in percent. Each target is in the share or not by itself, so of few targets it may be
    some more, some less, or none. Excludes maxTargets.
    """
    max_targets: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Number of targets to scrape at most. When one comes or goes, at most one other takes or leaves its place.
    Excludes percent.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "exactly one of percent and maxTargets must be set: add the missing one or remove one of both",
            "has(self.percent) != has(self.maxTargets)",
            lambda s: (s.percent is None) != (s.max_targets is None),
        ),
    )


class Clustering(ApiModel):
    """Whether several replicas of the operator share the targets of this object."""

    enabled: bool = True
    """false: all targets of this object stay on one replica. No target is ever scraped by two replicas, whatever this says."""


class WriteRef(ApiModel):
    """Refers to a PyroscopeWrite in the namespace of this object."""

    name: DnsSubdomain
    """Name of the PyroscopeWrite."""
