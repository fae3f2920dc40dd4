"""The difference of two cumulative profiles.

Go's allocs, heap, mutex and block profiles count since the process started; what is
sent is what happened between two scrapes.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from pyroscope_operator.pprof import core
from pyroscope_operator.pprof.gunzip import compress


class Difference(NamedTuple):
    """What happened between two scrapes: a profile as raw protobuf and the number of its samples.

    With `samples` 0 nothing happened, and the profile carries nothing but its header.
    """

    raw: bytes
    samples: int


class DeltaComputer:
    """Takes the differences of one series of cumulative profiles.

    The state is that of the last good scrape: an error changes nothing.  Not meant for
    several threads at once; a series has one scrape at a time.
    """

    __slots__ = ("_core", "_max_raw_bytes")

    def __init__(self, max_raw_bytes: int) -> None:
        """`max_raw_bytes` bounds the uncompressed size of what `delta` takes."""
        self._max_raw_bytes = max_raw_bytes
        self._core = core.new_core(secrets.token_bytes(16))

    @property
    def size(self) -> int:
        """About how many bytes the state takes."""
        return self._core.size

    def reset(self) -> None:
        """Forget the state: the next profile is the baseline (the container was restarted)."""
        self._core.reset()

    def delta(self, profile: bytes) -> bytes | None:
        """Like `difference`, but gives gzip."""
        difference = self.difference(profile)
        return compress(difference.raw) if difference else None

    def difference(self, profile: bytes, limit: int | None = None) -> Difference | None:
        """The difference of `profile` (gzip or raw protobuf) to the one before; None if it became the baseline instead.

        It becomes the baseline if it is the first one, if its columns are others than
        before, or if the process must have restarted: a subtracted value fell (or is
        below 0), or a key that had one other than 0 is gone.  Other threads go on meanwhile
        if the core is native.  `limit` is for this time, if it is lower than `max_raw_bytes`.

        Raises `ProfileError`: BodyTooLarge, BrokenGzip, EmptyBody, NotAProfile, TooComplex, or
        NotCumulative if no column can be subtracted or there are more than four.
        """
        found = self._core.difference(profile, self._max_raw_bytes if limit is None else min(limit, self._max_raw_bytes))
        return Difference(*found) if found else None
