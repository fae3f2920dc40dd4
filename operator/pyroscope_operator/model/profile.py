"""A profile on its way from a scrape to a push queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef


@dataclass(frozen=True, slots=True)
class Profile:
    """One scraped profile, ready to be pushed."""

    source: ObjectRef
    """The PyroscopeScrape that asked for it: delivery is reported there."""
    labels: Labels
    """The labels of its series, `__name__` and `service_name` among them."""
    body: bytes
    """pprof protobuf, gzipped or raw."""
    raw_bytes: int
    """Size of the uncompressed protobuf in bytes: what Pyroscope limits."""
    samples: int
    """Number of samples in it: what Pyroscope limits, too."""
    scraped_at: float
    """Unix time in seconds at which the scrape was done."""
    forward_to: tuple[ObjectRef, ...] = ()
    """The PyroscopeWrites that get it; empty: the operator's default write."""


class Sink(Protocol):
    """Takes profiles. Never blocks, never raises: what it can't keep it counts as dropped."""

    def put(self, profile: Profile) -> None: ...
