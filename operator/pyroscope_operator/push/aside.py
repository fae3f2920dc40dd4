"""Profiles of series that the endpoint fails on, kept apart so that the others don't wait for them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator

from pyroscope_operator.model.labels import Labels
from pyroscope_operator.push.batch import Entry


class Aside:
    """A line of profiles for each series; the lines take turns, within a line the order is kept."""

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

    def pop(self) -> Entry:
        """The oldest entry of the line whose turn it is."""
        labels, line = self._lines.popitem(last=False)
        entry = line.popleft()
        if line:
            self._lines[labels] = line
        self._gone([entry])
        return entry

    def release(self, labels: Labels) -> list[Entry]:
        """Takes the whole line of a series out, in order."""
        entries = list(self._lines.pop(labels, ()))
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
