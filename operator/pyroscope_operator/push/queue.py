"""The bounded queue of one endpoint. It knows nothing of HTTP."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import NamedTuple

from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.aside import Aside
from pyroscope_operator.push.batch import Entry


class Taken(NamedTuple):
    """What `take` took from the front: what to send now, and what is too old for that."""

    batch: list[Entry]
    expired: list[Entry]


class Queue:
    """First in, first out, bounded in bytes; some series stand aside and take turns of their own.

    Entries on their way (taken, neither done nor given back) still use their room:
    they may come back, and memory is what the bound is about.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: deque[Entry] = deque()
        self._waiting_bytes = 0
        self._aside = Aside()
        self._flying = 0
        self._flying_bytes = 0

    def __len__(self) -> int:
        """All entries, those aside and on their way included."""
        return len(self._waiting) + len(self._aside) + self._flying

    @property
    def bytes(self) -> int:
        """Bytes of all entries, those aside and on their way included."""
        return self._waiting_bytes + self._aside.bytes + self._flying_bytes

    @property
    def waiting(self) -> int:
        """Number of entries that can be taken."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the entries that can be taken."""
        return self._waiting_bytes

    @property
    def aside(self) -> int:
        """Number of entries that stand aside."""
        return len(self._aside)

    @property
    def series_aside(self) -> Iterable[Labels]:
        """The series that stand aside."""
        return self._aside.series

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
        return {entry.source for entry in chain(self._waiting, self._aside)}

    def put(self, entry: Entry) -> list[Entry]:
        """Adds to the end; returns what had to go for it: first those aside, then the oldest.

        That is `entry` itself when there is no room even without all that wait.
        """
        if entry.size > self._max_bytes - self._flying_bytes:
            return [entry]
        dropped = []
        while self.bytes + entry.size > self._max_bytes and (oldest := self.drop_oldest()):
            dropped.append(oldest)
        self._push(entry)
        return dropped

    def drop_oldest(self) -> Entry | None:
        """Takes out one of those aside, else the oldest; None if all are on their way, or there are none."""
        if self._aside:
            return self._aside.drop()
        return self._pop() if self._waiting else None

    def take(self, count: int, size: int, *, aside: Callable[[Entry], bool], not_before: float) -> Taken:
        """Takes up to `count` entries of `size` bytes together, though at least one.

        Entries for which `aside` is true go there instead.  Those scraped before
        `not_before` (unix time) are handed out as expired and forgotten.
        """
        batch: list[Entry] = []
        expired: list[Entry] = []
        room = size
        while self._waiting and len(batch) < count:
            entry = self._waiting[0]
            if entry.scraped_at < not_before:
                expired.append(self._pop())
            elif aside(entry):
                self._aside.add(self._pop())
            elif batch and entry.size > room:
                break
            else:
                batch.append(self._pop())
                room -= entry.size
        self._fly(batch)
        return Taken(batch, expired)

    def take_aside(self, *, not_before: float) -> Taken:
        """Takes one of the entries that stand aside; see `take` for `not_before`."""
        expired: list[Entry] = []
        while self._aside:
            entry, too_old = self._aside.take(not_before)
            expired += too_old
            if entry:
                self._fly([entry])
                return Taken([entry], expired)
        return Taken([], expired)

    def done(self, entries: Iterable[Entry]) -> None:
        """Taken entries that won't come back."""
        for entry in entries:
            self._flying -= 1
            self._flying_bytes -= entry.size

    def give_back(self, entries: Iterable[Entry], *, front: bool = True) -> None:
        """Taken entries that shall be sent again: next and in their order, or after all others."""
        entries = list(entries)
        self.done(entries)
        self._return(entries, front=front)

    def set_aside(self, entries: Iterable[Entry]) -> None:
        """Taken entries that shall be sent again when it is the turn of their series, before younger ones of it."""
        entries = list(entries)
        self.done(entries)
        self._aside.give_back(entries)

    def release(self, series: Labels) -> None:
        """What stands aside of a series and was never refused waits with the others again, in front."""
        self._return(self._aside.release(series), front=True)

    def clear(self) -> list[Entry]:
        """Empties the queue of all that wait."""
        entries = [*self._waiting, *self._aside.clear()]
        self._waiting.clear()
        self._waiting_bytes = 0
        return entries

    def _return(self, entries: list[Entry], *, front: bool) -> None:
        if front:
            self._waiting.extendleft(reversed(entries))
        else:
            self._waiting.extend(entries)
        self._waiting_bytes += sum(entry.size for entry in entries)

    def _fly(self, entries: list[Entry]) -> None:
        self._flying += len(entries)
        self._flying_bytes += sum(entry.size for entry in entries)

    def _push(self, entry: Entry) -> None:
        self._waiting.append(entry)
        self._waiting_bytes += entry.size

    def _pop(self) -> Entry:
        entry = self._waiting.popleft()
        self._waiting_bytes -= entry.size
        return entry
