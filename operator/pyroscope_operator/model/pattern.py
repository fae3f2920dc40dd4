"""Regular expressions as Prometheus means them in relabeling: RE2, anchored, `.` matches line breaks.

RE2 takes time that is linear in text and pattern, whatever a tenant writes; what it may
take of memory is set here.  Text is UTF-8 to it, as it is to Go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

import re2

MEMORY = 256 << 10
"""Bytes that one pattern may take, compiled and with what it remembers of texts."""
CACHED = 256
"""Patterns kept compiled, which bounds the memory of all; `re2` itself keeps the last 128."""

_ESCAPED = re.compile(r"\\Q.*?(?:\\E|\Z)|\\(.)", re.DOTALL)
_NAME = re.compile(r"\(\?P?<(\w+)>")
_HUGE_REPETITION = re.compile(r"\{(?:[0-9]{9,}(?:,[0-9]*)?|[0-9]+,[0-9]{9,})\}")

_REASONS = {
    "invalid escape sequence": r"RE2 does not know one of its escape sequences (\…)",
    "invalid character class": "one of its character classes is none",
    "invalid character class range": r"one of its character classes, or of the names after \p, is none",
    "missing ]": "a ] is missing",
    "missing )": "a ) is missing",
    "unexpected )": "a ) has no (",
    "trailing \\": "it ends with a single \\",
    "no argument for repetition operator": "a *, +, ? or {} stands behind nothing that it could repeat",
    "invalid repetition size": "a part may be repeated 1000 times at most",
    "bad repetition operator": "two of *, +, ? and {} stand behind each other",
    "invalid perl operator": "RE2 has no look-around, no atomic groups and no such flags (?…)",
    "invalid named capture group": "the name of a group (?P<name>…) is not of letters, digits and _",
    "pattern too large - compile failed": "it is too large: use fewer or smaller repetitions {} and \\p classes",
}
"""What RE2 says → what to look for. The part of the pattern that RE2 shows behind a colon is left out."""


class Match(Protocol):
    """What `re2` says of a match."""

    def __getitem__(self, group: int) -> bytes | None: ...
    def start(self) -> int: ...
    def end(self) -> int: ...


class PatternError(ValueError):
    """Text that is no pattern; `reason` says why, without repeating it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Pattern:
    """A compiled pattern."""

    __slots__ = ("_groups", "_regexp", "cost", "names")

    cost: int
    """Work for each byte of a text at most, in steps of the compiled program; a step is about a nanosecond at worst."""
    names: dict[str, int]
    """Named groups → their numbers."""

    def __init__(self, text: str) -> None:
        """Raises PatternError."""
        _refuse_what_go_refuses(text)
        try:
            # As in Prometheus, not `(?:…)` and a full match: `a)|(b` is a pattern there, if an odd one.
            self._regexp = re2.compile(b"^(?s:" + utf8(text) + b")$", _options())
        except re2.error as error:
            raise PatternError(_reason(error)) from None
        self.names = {name.decode(): number for name, number in self._regexp.groupindex.items()}
        self._groups = self._regexp.groups
        # Following a group costs each step a copy of where all groups are.
        self.cost = self._regexp.programsize * (1 + self._groups // 16)

    def matches(self, text: bytes) -> bool:
        return self._regexp.search(text) is not None

    def search(self, text: bytes) -> Match | None:
        found: Match | None = self._regexp.search(text)
        return found

    def occurrences(self, text: bytes) -> Iterator[Match]:
        """All matches that do not overlap: one, but for odd patterns such as `a)|(b`."""
        last = 0
        for found in self._regexp.finditer(text):
            if found.end() > last or not found.start():  # an empty match right behind another one is none
                yield found
            last = found.end()

    def group(self, match: Match, group: int | str) -> bytes | None:
        """What a group, by number (0: all) or name, matched; None if it took no part or does not exist."""
        number = self.names.get(group, -1) if isinstance(group, str) else group
        return match[number] if 0 <= number <= self._groups else None


@lru_cache(maxsize=CACHED)
def compiled(text: str) -> Pattern:
    """The pattern that `text` means. Raises PatternError."""
    return Pattern(text)


def utf8(text: str) -> bytes:
    """`text` as Go would hold it: half a surrogate pair, which JSON may have, is U+FFFD to it."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _refuse_what_go_refuses(text: str) -> None:
    """Where RE2 takes more than Go, or means something else by it."""
    if any(escaped.group(1) == "C" for escaped in _ESCAPED.finditer(text)):
        raise PatternError(r"\C is not supported")  # a byte, which may be half a character
    bare = _ESCAPED.sub(" ", text)
    if _HUGE_REPETITION.search(bare):
        raise PatternError(_REASONS["invalid repetition size"])
    names = _NAME.findall(bare)
    if not all(map(str.isascii, names)):
        raise PatternError("names of groups must be of letters, digits and _")
    if len(set(names)) < len(names):  # Go takes it, and then the first of them that took part
        raise PatternError("two groups have the same name")


def _options() -> re2.Options:
    options = re2.Options()
    options.max_mem = MEMORY
    options.log_errors = False
    return options


def _reason(error: Exception) -> str:
    """RE2's word on what is wrong, without the part of the pattern that it shows."""
    said = error.args[0] if error.args else ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return _REASONS.get(text.partition(":")[0], "RE2 does not take it")
