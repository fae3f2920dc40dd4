"""How many profiles go into one request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from pyroscope_operator.model.labels import Labels

MAX_COUNT = 200
"""Series of one request. An error message that names all of them by id stays below `client.MAX_ANSWER`."""
MAX_BYTES = 4 << 20
"""Bytes of one request, unless a single profile is larger."""

_PROBES = 3


class BatchSize:
    """The bounds of the next batch, learnt from how the last ones went.

    An ambiguous answer makes single-series requests until `_PROBES` of them were
    taken; an endpoint that fails twice in a row gets half, as the batch may be what
    it fails on; every success doubles again.  The bound in bytes shrinks when the server
    calls a batch too large, and stays: it is a setting of the server.
    """

    def __init__(self, max_count: int = MAX_COUNT, max_bytes: int = MAX_BYTES) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._probes = 0
        self._failures = 0
        self.count = max_count
        self.bytes = max_bytes

    @property
    def careful(self) -> bool:
        """Whether an ambiguous answer is the reason for single-series requests."""
        return self._probes > 0

    def succeeded(self) -> None:
        """A request was taken."""
        self._failures = 0
        self._probes = max(0, self._probes - 1)
        if not self._probes:
            self.count = min(self._max_count, self.count * 2)

    def ambiguous(self) -> None:
        """Nobody knows which profiles of a batch were taken."""
        self.count = 1
        self._probes = _PROBES

    def failed(self, count: int) -> None:
        """The endpoint failed on a batch of `count`."""
        self._failures += 1
        if self._failures > 1:
            self.count = max(1, min(self.count, count) // 2)

    def too_large(self, count: int, size: int) -> None:
        """A batch of `count` and `size` bytes was refused for its size.

        If a single profile alone was, it was the one that made batches too large, too.
        """
        self.count = max(1, count // 2)
        self.bytes = size // 2 if count > 1 else self._max_bytes


class Suspects:
    """Series that travel alone, apart from the others, whose batches they may spoil.

    Whoever was in a batch with an ambiguous answer, or failed, is a suspect until a
    profile of it was taken.  So a target whose profiles are never taken (its clock is
    wrong, say) costs the others one batch and not one every interval.  Bounded: beyond
    `limit` the oldest suspicion is forgotten.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._failed_at: OrderedDict[Labels, int | None] = OrderedDict()

    def __contains__(self, series: Labels) -> bool:
        return series in self._failed_at

    def __len__(self) -> int:
        return len(self._failed_at)

    def old_news(self, series: Labels, successes: int) -> bool:
        """Whether it says nothing of the endpoint if a profile of this one fails by itself.

        So it is if one failed before and others were taken since, and for the last of a series that is well.
        `successes` is how many requests the endpoint has taken so far.
        """
        if series not in self._failed_at:
            return True
        failed_at = self._failed_at[series]
        return failed_at is not None and failed_at < successes

    def add(self, series: Iterable[Labels]) -> None:
        """These may have failed."""
        for labels in series:
            self._put(labels, self._failed_at.get(labels))

    def convict(self, series: Iterable[Labels], successes: int) -> None:
        """These failed for sure."""
        for labels in series:
            self._put(labels, successes)

    def clear(self, series: Iterable[Labels]) -> None:
        """A profile of each of these was taken."""
        for labels in series:
            self._failed_at.pop(labels, None)

    def _put(self, labels: Labels, failed_at: int | None) -> None:
        self._failed_at[labels] = failed_at
        self._failed_at.move_to_end(labels)
        if len(self._failed_at) > self._limit:
            self._failed_at.popitem(last=False)
