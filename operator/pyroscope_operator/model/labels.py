"""Label sets of a series, as Prometheus and Pyroscope know them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

NAME = "__name__"
"""The profile type of a series: process_cpu, memory, …"""

DELTA = "__delta__"
"""`"false"` tells Pyroscope that the profile is already a difference."""

PROTECTED = frozenset({"namespace", "service_name", "job", "instance"})
"""Labels that say whose profile it is: neither podTargetLabels nor external labels override them."""

_UNSAFE = re.compile(r"[^a-zA-Z0-9_]")


class Labels(Mapping[str, str]):
    """An immutable, hashable label set, kept sorted by name.

    Labels with an empty value do not exist, as in Prometheus: they are left out.
    """

    __slots__ = ("_hash", "_index", "pairs")

    pairs: tuple[tuple[str, str], ...]

    def __init__(self, labels: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._index = {k: v for k, v in sorted(dict(labels).items()) if v}
        self.pairs = tuple(self._index.items())
        self._hash = hash(self.pairs)

    def __getitem__(self, name: str) -> str:
        return self._index[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Labels):
            return self.pairs == other.pairs
        return NotImplemented

    def __repr__(self) -> str:
        return "{" + ", ".join(f'{k}="{v}"' for k, v in self.pairs) + "}"

    def merged(self, more: Mapping[str, str]) -> Labels:
        """A new set with `more` on top; an empty value removes the label."""
        return Labels({**self._index, **more})


def sanitize(name: str) -> str:
    """`name` as a label name: every character that is not allowed becomes `_`.

    A leading digit is kept behind a `_`, as Prometheus's own clients do.
    """
    safe = _UNSAFE.sub("_", name)
    return f"_{safe}" if safe[:1].isdigit() else safe
