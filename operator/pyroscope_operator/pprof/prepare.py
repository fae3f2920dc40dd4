"""From the body of a scrape to what is pushed."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pyroscope_operator.pprof import core
from pyroscope_operator.pprof.delta import DeltaComputer
from pyroscope_operator.pprof.gunzip import compress, decompress

_NO_PERIOD_TYPE = bytes((11 << 3 | 2, 0))
"""Field 11 of pprof, empty. Appended to a profile that has no period type, as the server dereferences it: protobuf
messages are merged by appending."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A profile that is ready for the push.

    `body` is gzip; `raw_bytes` is its size uncompressed and `samples` the number of its
    samples, which are what the server limits.
    """

    body: bytes
    raw_bytes: int
    samples: int


class Skipped(enum.Enum):
    """Why a good scrape gives nothing to push."""

    BASELINE = "baseline"
    """A cumulative profile that the next one will be compared with."""
    EMPTY = "empty"
    """No samples: an idle CPU profile, or counters that did not move."""


def prepare(body: bytes, limit: int, computer: DeltaComputer | None) -> Prepared | Skipped:
    """What to push for `body`, which is gzip or raw protobuf as a target sent it.

    `limit` bounds the uncompressed size in bytes.  With a computer the difference to the
    scrape before is taken; without one the profile is checked and passed on as it came.
    CPU-bound, so large bodies belong in a thread.

    Raises `ProfileError`: BodyTooLarge, BrokenGzip, EmptyBody, NotAProfile, TooComplex, and
    with a computer NotCumulative.  The computer's state is untouched then.
    """
    if computer is None:
        return _as_it_came(body, limit)
    difference = computer.difference(body, limit)
    if difference is None:
        return Skipped.BASELINE
    if not difference.samples:
        return Skipped.EMPTY
    return Prepared(compress(difference.raw), len(difference.raw), difference.samples)


def _as_it_came(body: bytes, limit: int) -> Prepared | Skipped:
    raw_bytes, samples, has_period_type, is_single_member = core.inspect(body, limit)
    if not samples:
        return Skipped.EMPTY
    if has_period_type and is_single_member:
        return Prepared(body, raw_bytes, samples)
    raw = decompress(body, limit)
    if not has_period_type:
        raw += _NO_PERIOD_TYPE
    return Prepared(compress(raw), len(raw), samples)
