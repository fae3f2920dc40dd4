"""An accepted object, as discovery needs it."""

from __future__ import annotations

from dataclasses import dataclass

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.model.access import DIRECT, Access
from pyroscope_operator.model.ref import ObjectRef


@dataclass(frozen=True, slots=True)
class Wanted:
    """An accepted object, as discovery needs it."""

    ref: ObjectRef
    created: str
    """creationTimestamp: RFC 3339 in UTC, so that text order is time order."""
    spec: PyroscopeScrapeSpec
    access: Access = DIRECT
    """How its targets are reached."""

    def same(self, other: Wanted) -> bool:
        """Whether both are the same reading of an object, reached in the same way; cheap."""
        return self.spec is other.spec and self.access is other.access and self.created == other.created
