"""Texts in which `$1`, `${1}` and `${name}` stand for groups of a pattern: what Go's `regexp.Expand` makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from pyroscope_operator.model.pattern import Match, Pattern, utf8

_LONGEST_NUMBER = 9
"""Digits. Go takes a longer number for a name."""

Piece = bytes | int | str
"""Text, the number of a group, or its name."""


@lru_cache(maxsize=1024)
def parsed(template: str) -> tuple[Piece, ...]:
    """The pieces of a template."""
    return tuple(piece for piece in _pieces(template) if piece != b"")


def expanded(pieces: tuple[Piece, ...], match: Match, pattern: Pattern) -> list[bytes]:
    """The parts of the text; groups that don't exist or took no part stand for nothing."""
    return [piece if isinstance(piece, bytes) else pattern.group(match, piece) or b"" for piece in pieces]


def _pieces(template: str) -> Iterator[Piece]:
    text, _, rest = template.partition("$")
    yield utf8(text)
    while _:
        if rest.startswith("$"):
            yield b"$"
            rest = rest[1:]
        elif (reference := _reference(rest)) is None:
            yield b"$"
        else:
            name, rest = reference
            yield _group(name)
        text, _, rest = rest.partition("$")
        yield utf8(text)


def _reference(text: str) -> tuple[str, str] | None:
    """The name at the start of `text`, in braces or not, and what follows it; None if there is none."""
    braced = text.startswith("{")
    start = end = int(braced)
    while end < len(text) and (text[end].isalpha() or text[end].isdecimal() or text[end] == "_"):
        end += 1
    name = text[start:end]
    if not name or (braced and text[end : end + 1] != "}"):
        return None
    return name, text[end + braced :]


def _group(name: str) -> int | str:
    digits = name.isascii() and name.isdecimal() and len(name) <= _LONGEST_NUMBER
    return int(name) if digits and (name == "0" or name[0] != "0") else name
