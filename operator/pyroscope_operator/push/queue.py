"""The bounded queue of one endpoint. It knows nothing of HTTP."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.batch import Entry


class Taken(NamedTuple):
    """What `take` took from the front: what to send now, and what is too old for that."""

    batch: list[Entry]
    expired: list[Entry]


class Queue:
    """First in, first out, bounded in bytes.

    Entries on their way (taken, neither done nor given back) still use their room:
    they may come back, and memory is what the bound is about.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: deque[Entry] = deque()
        self._waiting_bytes = 0
        self._flying = 0
        self._flying_bytes = 0

    def __len__(self) -> int:
        """All entries, those on their way included."""
        return len(self._waiting) + self._flying

    @property
    def bytes(self) -> int:
        """Bytes of all entries, those on their way included."""
        return self._waiting_bytes + self._flying_bytes

    @property
    def waiting(self) -> int:
        """Number of entries that can be taken."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the entries that can be taken."""
        return self._waiting_bytes

    @property
    def head(self) -> Entry | None:
        """The next to be taken."""
        return self._waiting[0] if self._waiting else None

    @property
    def half_empty(self) -> bool:
        """Whether less than half of the room is used."""
        return self.bytes < self._max_bytes // 2

    def sources(self) -> set[ObjectRef]:
        """Whose profiles are waiting."""
        return {entry.source for entry in self._waiting}

    def put(self, entry: Entry) -> list[Entry]:
        """Adds to the end; returns what had to go for it, oldest first.

        That is `entry` itself when there is no room even without all that wait.
        """
        if entry.size > self._max_bytes - self._flying_bytes:
            return [entry]
        dropped = []
        while self.bytes + entry.size > self._max_bytes:
            dropped.append(self._pop())
        self._push(entry)
        return dropped

    def take(self, count: int, size: int, *, alone: Callable[[Entry], bool], not_before: float) -> Taken:
        """Takes up to `count` entries of `size` bytes together, though at least one.

        An entry for which `alone` is true is the only one of its batch.  Entries
        scraped before `not_before` (unix time) are handed out as expired and forgotten.
        """
        batch: list[Entry] = []
        expired: list[Entry] = []
        room = size
        while self._waiting and len(batch) < count:
            entry = self._waiting[0]
            if entry.scraped_at < not_before:
                expired.append(self._pop())
                continue
            single = alone(entry)
            if batch and (single or entry.size > room):
                break
            batch.append(self._pop())
            room -= entry.size
            if single:
                break
        self._flying += len(batch)
        self._flying_bytes += sum(entry.size for entry in batch)
        return Taken(batch, expired)

    def done(self, entries: Iterable[Entry]) -> None:
        """Taken entries that won't come back."""
        for entry in entries:
            self._flying -= 1
            self._flying_bytes -= entry.size

    def give_back(self, entries: Iterable[Entry], *, front: bool = True) -> None:
        """Taken entries that shall be sent again: next and in their order, or after all others."""
        entries = list(entries)
        self.done(entries)
        if front:
            self._waiting.extendleft(reversed(entries))
        else:
            self._waiting.extend(entries)
        self._waiting_bytes += sum(entry.size for entry in entries)

    def clear(self) -> list[Entry]:
        """Empties the queue of all that wait."""
        entries = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return entries

    def _push(self, entry: Entry) -> None:
        self._waiting.append(entry)
        self._waiting_bytes += entry.size

    def _pop(self) -> Entry:
        entry = self._waiting.popleft()
        self._waiting_bytes -= entry.size
        return entry
