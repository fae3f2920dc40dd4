"""Profiles of series that the endpoint fails on, kept apart so that the others don't wait for them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator

from pyroscope_operator.model.labels import Labels
from pyroscope_operator.push.batch import Entry


class Aside:
    """A line of profiles for each series; the lines take turns.

    Within a line the order is kept until the oldest entry has been refused (its `retries` count answers about the
    profile itself): then the youngest is next, so that a series that is well again is noticed at its next turn.
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[Labels, deque[Entry]] = OrderedDict()
        self._count = 0
        self.bytes = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return (entry for line in self._lines.values() for entry in line)

    @property
    def series(self) -> Iterable[Labels]:
        """The series that have a line."""
        return self._lines.keys()

    def add(self, entry: Entry) -> None:
        """Puts `entry` at the end of the line of its series; the turn of a new line comes after all others."""
        self._lines.setdefault(entry.series, deque()).append(entry)
        self._came([entry])

    def give_back(self, entries: list[Entry]) -> None:
        """Puts `entries`, in their order, before the younger ones of their series."""
        lines = [self._lines.setdefault(entry.series, deque()) for entry in entries]
        for line, entry in zip(reversed(lines), reversed(entries), strict=True):
            line.appendleft(entry)
        self._came(entries)

    def take(self, not_before: float) -> tuple[Entry | None, list[Entry]]:
        """The next entry of the line whose turn it is, if there is one.

        And those of this line that were scraped before `not_before` (unix time), which are forgotten.
        """
        labels, line = self._lines.popitem(last=False)
        expired = [entry for entry in line if entry.scraped_at < not_before]
        if expired:
            line = deque(entry for entry in line if entry.scraped_at >= not_before)
        entry = None
        if line:
            entry = line.pop() if line[0].retries else line.popleft()
        if line:
            self._lines[labels] = line
        self._gone([*expired, *([entry] if entry else [])])
        return entry, expired

    def drop(self) -> Entry:
        """Takes out one of the oldest, of the line whose turn it is."""
        labels, line = self._lines.popitem(last=False)
        entry = line.popleft()
        if line:
            self._lines[labels] = line
        self._gone([entry])
        return entry

    def release(self, labels: Labels) -> list[Entry]:
        """Takes those out of the line of a series that were never refused, in order."""
        line = self._lines.pop(labels, ())
        if refused := deque(entry for entry in line if entry.retries):
            self._lines[labels] = refused
        entries = [entry for entry in line if not entry.retries]
        self._gone(entries)
        return entries

    def clear(self) -> list[Entry]:
        """Takes everything out."""
        entries = list(self)
        self._lines.clear()
        self._gone(entries)
        return entries

    def _came(self, entries: list[Entry]) -> None:
        self._count += len(entries)
        self.bytes += sum(entry.size for entry in entries)

    def _gone(self, entries: list[Entry]) -> None:
        self._count -= len(entries)
        self.bytes -= sum(entry.size for entry in entries)
