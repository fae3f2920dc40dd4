"""Metadata of our objects."""

from __future__ import annotations

from pydantic import ConfigDict

from pyroscope_operator.api.base import ApiModel
from pyroscope_operator.api.formats import DnsLabel, DnsSubdomain


class ObjectMeta(ApiModel):
    """What the operator needs of an object's metadata; everything else in there is ignored."""

    model_config = ConfigDict(extra="ignore")

    name: DnsSubdomain
    """Name of the object."""
    namespace: DnsLabel = "default"
    """Namespace of the object."""
    uid: str = ""
    """Given by the API server; empty in standalone mode."""
    generation: int = 0
    """Counts the changes of spec; 0 in standalone mode."""
    creation_timestamp: str = ""
    """RFC 3339 in UTC, so that older objects sort first; empty in standalone mode."""
