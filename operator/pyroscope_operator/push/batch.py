"""From profiles to the bytes of a push request."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from pyroscope_operator.model.labels import PROTECTED, Labels
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.model.ref import ObjectRef

OVERHEAD = 512
"""Bytes that an entry takes besides its data: 200 to 650, as measured with bodies of 300 B to 30 kB.

Without them a queue full of small profiles would take twice its bound.
"""

_RUN = str(uuid.uuid4())[:-12]
_LAST_ID = (1 << 48) - 1
_ids = count(secrets.randbits(48))


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A profile in a queue, encoded once: what is sent again is the same, byte for byte."""

    source: ObjectRef
    series: Labels
    """The labels as the scrape gave them, the same object for all its profiles: a set of one's own takes more than a kilobyte."""
    id: str
    """The UUID of its sample, for the server's error messages and for people who look for duplicates."""
    head: bytes = field(repr=False)
    """With `body` behind it, a serialised PushRequest with this one series."""
    body: bytes = field(repr=False)
    """The profile as the scrape gave it: not copied before it is sent."""
    size: int
    """Bytes of memory that it takes, which are a few more than in a request."""
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


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A serialised PushRequest, in pieces that are put together only where they are sent."""

    pieces: tuple[bytes, ...] = field(repr=False)

    def __len__(self) -> int:
        """Bytes of all pieces."""
        return sum(map(len, self.pieces))

    def slices(self, size: int) -> Iterator[bytes]:
        """The same bytes in slices of `size`, the last one aside; each byte is copied once."""
        held: list[memoryview] = []
        room = size
        for piece in self.pieces:
            rest = memoryview(piece)
            while rest:
                held.append(rest[:room])
                rest = rest[room:]
                room -= len(held[-1])
                if not room:
                    yield b"".join(held)
                    held, room = [], size
        if held:
            yield b"".join(held)


def with_external(labels: Labels, external: Labels) -> Labels:
    """`labels` with the endpoint's external labels.

    Those win over a label of the same name, but not over one of `PROTECTED`; names
    with `__` in front are the operator's own and never taken from outside.
    """
    more = {k: v for k, v in external.pairs if not k.startswith("__") and not (k in PROTECTED and k in labels)}
    return labels.merged(more) if more else labels


def encode_labels(labels: Labels) -> bytes:
    """`labels` as a RawProfileSeries has them. Raises UnicodeEncodeError for a lone surrogate."""
    pairs = ((name.encode(), value.encode()) for name, value in labels.pairs)
    return b"".join(_field(1, _field(1, name) + _field(2, value)) for name, value in pairs)


def encode(profile: Profile, labels: bytes, queued_at: float) -> Entry:
    """`profile` as an entry with a new id, to be sent with `labels` (see `encode_labels`).

    The fields may come in any order (protobuf's encoding says so): with the body as the last one of
    the last one it stays outside of the head.
    """
    sample_id, body = _new_id(), profile.body
    sample = _field(2, sample_id.encode()) + _start(1, len(body))
    series = labels + _start(2, len(sample) + len(body)) + sample
    head = _start(1, len(series) + len(body)) + series
    size = len(head) + len(body) + OVERHEAD
    return Entry(profile.source, profile.labels, sample_id, head, body, size, profile.scraped_at, queued_at)


def _new_id() -> str:
    """A UUID (version 4 in form): 74 random bits for this process, then a counter; randomness for each takes a system call."""
    return f"{_RUN}{next(_ids) & _LAST_ID:012x}"


def request_body(entries: Iterable[Entry]) -> RequestBody:
    """One PushRequest with the series of all entries, in their order.

    Serialised messages put one behind the other are their merge, and merging
    concatenates repeated fields (protobuf's encoding guarantees both).
    """
    return RequestBody(tuple(piece for entry in entries for piece in (entry.head, entry.body)))


def _field(number: int, data: bytes) -> bytes:
    """A field of protobuf that holds text, bytes or a message."""
    return _start(number, len(data)) + data


def _start(number: int, length: int) -> bytes:
    """What stands in front of a field's `length` bytes: its number with the wire type, and the length as a varint."""
    tag = number << 3 | 2
    if length < 0x80:
        return bytes((tag, length))
    start = [tag]
    while length >= 0x80:
        start.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((*start, length))
