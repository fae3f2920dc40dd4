"""Label sets of a series, as Prometheus and Pyroscope know them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain

NAME = "__name__"
"""The profile type of a series: process_cpu, memory, …"""

DELTA = "__delta__"
"""`"false"` tells Pyroscope that the profile is already a difference."""

PROTECTED = frozenset({"namespace", "service_name", "job", "instance"})
"""Labels that say whose profile it is: neither podTargetLabels nor external labels override them."""

_UNSAFE = re.compile(r"[^a-zA-Z0-9_]")


_MAX_NAMES = 4096


class Labels(Mapping[str, str]):
    """An immutable, hashable label set, kept sorted by name.

    Labels with an empty value do not exist, as in Prometheus: they are left out.

    There is one for each series, and a large one for each target.  So it is a flat tuple of names and values, which takes
    a quarter of the memory of a dict; a label is found by looking at all names.  To read all labels, use `pairs`.
    """

    __slots__ = ("_flat", "_hash")

    def __init__(self, labels: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        given = dict(labels.pairs if isinstance(labels, Labels) else labels)
        self._flat = tuple(chain.from_iterable((_shared(name), given[name]) for name in sorted(given) if given[name]))
        self._hash = hash(self._flat)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Names and values."""
        return tuple(zip(self._flat[::2], self._flat[1::2], strict=True))

    def __getitem__(self, name: str) -> str:
        try:
            return self._flat[self._flat[::2].index(name) * 2 + 1]
        except ValueError:
            raise KeyError(name) from None

    def __contains__(self, name: object) -> bool:
        return name in self._flat[::2]

    def __iter__(self) -> Iterator[str]:
        return iter(self._flat[::2])

    def __len__(self) -> int:
        return len(self._flat) // 2

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Labels):
            return self._flat == other._flat
        return NotImplemented

    def __repr__(self) -> str:
        return "{" + ", ".join(f'{k}="{v}"' for k, v in self.pairs) + "}"

    def merged(self, more: Mapping[str, str]) -> Labels:
        """A new set with `more` on top; an empty value removes the label."""
        return Labels({**dict(self.pairs), **more})


@lru_cache(_MAX_NAMES)
def _shared(name: str) -> str:
    """The same object for equal names: every target has its own strings, of the same labels.

    `sys.intern` would keep for ever, in some versions of Python, what tenants think up.
    """
    return name


def sanitize(name: str) -> str:
    """`name` as a label name: every character that is not allowed becomes `_`.

    A leading digit is kept behind a `_`, as Prometheus's own clients do.
    """
    safe = _UNSAFE.sub("_", name)
    return f"_{safe}" if safe[:1].isdigit() else safe
