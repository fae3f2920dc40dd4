"""A value that knows where it stands in its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pyroscope_operator.errors import Place, Problem
from pyroscope_operator.manifest.scalar import Scalar


class Position(NamedTuple):
    """Line and column in a file, both from 1."""

    line: int
    column: int


class Member(NamedTuple):
    """A member of a map: where its key stands, and its value."""

    key: Position
    node: Node


class Flaw(NamedTuple):
    """Something that makes a node no proper value, though the file can be parsed.

    It is told only if the node turns out to belong to an object of ours: what others
    have in their documents is not our business.
    """

    at: Position
    key: str | None
    """The member that it is about; None: the node itself."""
    message: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Node:
    """A scalar, a list or a map. Where an alias stands, its anchor's node is shared."""

    at: Position
    value: Scalar | tuple[Node, ...] | Mapping[str, Member]
    height: int = 0
    """Of the tree below it; a scalar has 0."""
    flaws: tuple[Flaw, ...] = ()

    def plain(self) -> Any:
        """The value in plain lists and dicts, shared nodes copied; the composer has bounded their size."""
        if isinstance(self.value, Mapping):
            return {key: member.node.plain() for key, member in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def locate(self, place: Place) -> Position:
        """Where `place` stands: its key, or its entry in a list. Of a missing one: where the nearest thing around it stands."""
        at, node = self.at, self
        for part in place:
            if isinstance(node.value, Mapping) and part in node.value:
                at, node = node.value[str(part)]
            elif isinstance(node.value, tuple) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                at = node.at
            else:
                break
        return at

    def problems(self) -> Iterator[tuple[Position, Problem]]:
        """The flaws in it, each once, however often its node is shared."""
        seen: set[int] = set()
        waiting: list[tuple[Place, Node]] = [((), self)]
        while waiting:
            place, node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            for at, key, message in node.flaws:
                yield at, Problem(place if key is None else (*place, key), message)
            below: list[tuple[Place, Node]] = []
            if isinstance(node.value, Mapping):
                below = [((*place, key), member.node) for key, member in node.value.items()]
            elif isinstance(node.value, tuple):
                below = [((*place, index), child) for index, child in enumerate(node.value)]
            waiting += reversed(below)
