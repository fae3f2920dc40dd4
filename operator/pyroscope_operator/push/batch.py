"""From profiles to the bytes of a push request."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from pyroscope_operator._proto.push_pb2 import PushRequest, RawProfileSeries, RawSample
from pyroscope_operator._proto.types_pb2 import LabelPair
from pyroscope_operator.model.labels import PROTECTED, Labels
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.model.ref import ObjectRef

OVERHEAD = 512
"""Bytes that an entry takes besides its data: 200 to 650, as measured with bodies of 300 B to 30 kB.

Without them a queue full of small profiles would take twice its bound.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A profile in a queue, encoded once: what is sent again is the same, byte for byte."""

    source: ObjectRef
    series: Labels
    """The labels as the scrape gave them, the same object for all its profiles: a set of one's own takes more than a kilobyte."""
    id: str
    """The UUID of its sample, for the server's error messages and for people who look for duplicates."""
    data: bytes = field(repr=False)
    """A serialised PushRequest with this one series."""
    scraped_at: float
    """Unix time in seconds."""
    queued_at: float
    """Monotonic time in seconds."""
    attempts: int = 0
    """Requests that carried it so far."""
    retries: int = 0
    """Those of them that count against `max_retries`, see `outcome`."""
    failed_at: int | None = None
    """The endpoint's number of successes when it last failed on this one alone, see `outcome`."""

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, which are a few more than in a request."""
        return len(self.data) + OVERHEAD


def with_external(labels: Labels, external: Labels) -> Labels:
    """`labels` with the endpoint's external labels.

    Those win over a label of the same name, but not over one of `PROTECTED`; names
    with `__` in front are the operator's own and never taken from outside.
    """
    more = {k: v for k, v in external.pairs if not k.startswith("__") and not (k in PROTECTED and k in labels)}
    return labels.merged(more) if more else labels


def encode(profile: Profile, labels: Labels, queued_at: float) -> Entry:
    """`profile` as an entry with a new id, to be sent with `labels`."""
    sample = RawSample(raw_profile=profile.body, ID=str(uuid.uuid4()))
    series = RawProfileSeries(labels=[LabelPair(name=k, value=v) for k, v in labels.pairs], samples=[sample])
    data = PushRequest(series=[series]).SerializeToString()
    return Entry(profile.source, profile.labels, sample.ID, data, profile.scraped_at, queued_at)


def request_body(entries: Iterable[Entry]) -> bytes:
    """One PushRequest with the series of all entries, in their order.

    Serialised messages put one behind the other are their merge, and merging
    concatenates repeated fields (protobuf's encoding guarantees both).
    """
    return b"".join(entry.data for entry in entries)
