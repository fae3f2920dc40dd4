"""The memory that all queues share."""

from __future__ import annotations

from typing import Protocol

QUEUE_MEMORY = 256 << 20
"""The usual bound, in bytes."""


class Member(Protocol):
    """A queue, as far as this is about memory."""

    @property
    def held(self) -> int:
        """Bytes of all that is in there."""

    def give_way(self) -> int:
        """Drops the oldest and returns its bytes; 0 when nothing can be dropped."""


class QueueMemory:
    """Keeps the sum of all queues below a bound: when it is exceeded, the oldest of the largest queue goes.

    So a dead endpoint, whose queue grows, never costs the others what they hold.
    """

    def __init__(self, max_bytes: int = QUEUE_MEMORY) -> None:
        self._max_bytes = max_bytes
        self._members: set[Member] = set()
        self._at_most = 0
        """Bytes of all queues as they were last summed up, and all that came since: summing up for each profile takes time."""

    def join(self, member: Member) -> None:
        self._members.add(member)

    def leave(self, member: Member) -> None:
        self._members.discard(member)

    @property
    def held(self) -> int:
        """Bytes of all queues."""
        return sum(member.held for member in self._members)

    @property
    def is_roomy(self) -> bool:
        """Whether a tenth is free, at least."""
        enough = self._max_bytes * 9 // 10
        if self._at_most > enough:
            self._at_most = self.held
        return self._at_most <= enough

    def added(self, size: int) -> None:
        """A queue holds `size` bytes more."""
        self._at_most += size
        if self._at_most > self._max_bytes:
            self._at_most = self.held
        while self._at_most > self._max_bytes and (freed := self._largest_gives_way()):
            self._at_most -= freed

    def _largest_gives_way(self) -> int:
        """0 when all that is held is on its way."""
        by_size = sorted(self._members, key=lambda member: member.held, reverse=True)
        return next((freed for member in by_size if (freed := member.give_way())), 0)
