"""Regular expressions as Prometheus means them in relabeling: RE2, anchored, `.` matches line breaks.

RE2 takes time that is linear in text and pattern, whatever a tenant writes; what it may
take of memory is set here.  Text is UTF-8 to it, as it is to Go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import re2

MEMORY = 512 << 10
"""Bytes that one pattern may take, compiled and with what it remembers of texts."""
CACHED = 256
"""Patterns kept compiled: a bound for the memory of all."""

_ESCAPED = re.compile(r"\\Q.*?(?:\\E|\Z)|\\(.)", re.DOTALL)

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
    "invalid named capture group": "a group (?P<name>…) is incomplete, or its name is not of letters, digits and _, or is there twice",
    "pattern too large - compile failed": "it is too large: use fewer or smaller repetitions {} and \\p classes",
}
"""What RE2 says → what to look for. The part of the pattern that RE2 shows behind a colon is left out."""

Groups = tuple[bytes | None, ...]
"""The whole match, then each group; None where a group took no part."""


class PatternError(ValueError):
    """Text that is no pattern; `reason` says why, without repeating it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Pattern:
    """A compiled pattern."""

    __slots__ = ("_regexp", "cost", "names")

    cost: int
    """Work for each byte of a text at most, in steps of the compiled program; a step is about a nanosecond at worst."""
    names: dict[str, int]
    """Named groups → their numbers."""

    def __init__(self, text: str) -> None:
        """Raises PatternError."""
        _refuse_raw_bytes(text)
        try:
            # As in Prometheus, not `(?:…)` and a full match: `a)|(b` is a pattern there, if an odd one.
            self._regexp = re2.compile(b"^(?s:" + utf8(text) + b")$", _options())
        except re2.error as error:
            raise PatternError(_reason(error)) from None
        self.names = {name.decode(): number for name, number in self._regexp.groupindex.items()}
        if not all(name.isascii() for name in self.names):
            raise PatternError("names of groups must be of letters, digits and _")
        # Following a group costs each step a copy of where all groups are.
        self.cost = self._regexp.programsize * (1 + self._regexp.groups // 16)

    def matches(self, text: bytes) -> bool:
        return self._regexp.search(text) is not None

    def groups(self, text: bytes) -> Groups | None:
        """What the groups matched; None without a match."""
        found = self._regexp.search(text)
        return None if found is None else (found.group(0), *found.groups())

    def occurrences(self, text: bytes) -> Iterator[tuple[int, int, Groups]]:
        """All matches that do not overlap, (start, end, groups) each: one, but for odd patterns such as `a)|(b`."""
        last = 0
        for found in self._regexp.finditer(text):
            start, end = found.span()
            if end > last or start == 0:  # an empty match right behind another one is none
                yield start, end, (found.group(0), *found.groups())
            last = end


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


def _refuse_raw_bytes(text: str) -> None:
    r"""`\C`, one byte of a character, is RE2's alone: Go has no such thing, and half a character is no text."""
    if any(escaped.group(1) == "C" for escaped in _ESCAPED.finditer(text)):
        raise PatternError(r"\C is not supported")


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
