"""Relabeling: steps that run in their order on the labels of a target, with Prometheus's exact meaning.

What a step may do is decided by api/relabel.py; this is what it does.  Work is bounded
for each target, because the steps are a tenant's and the labels may be long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import md5
from re import compile as python_pattern

from pyroscope_operator.api.formats import SERIES_LABEL
from pyroscope_operator.api.relabel import RelabelConfig
from pyroscope_operator.discovery import template
from pyroscope_operator.model import pattern
from pyroscope_operator.model.pattern import Pattern, utf8

WORK = 4_000_000
"""What all steps together may cost for one target: bytes matched times the size of the pattern. About 15 ms at worst.

50 usual steps, nine of them on all names of a pod with 60 long labels and 30 annotations, come to 3 million.
"""
_WRITTEN = 16
"""What a byte of a new name or value costs: it takes memory, and later steps read it."""
_PIECE = 256
"""What a piece of a new name costs: a call for each."""
_USUAL_NAME = 256
"""Characters of a label's name at most, for which is remembered what matches it, and what labelmap makes of it."""
_USUAL_REPLACEMENT = 32
"""The same for the template of the new name: what is remembered is a few kilobytes at most."""

_is_label_name = python_pattern(SERIES_LABEL).fullmatch


@dataclass(frozen=True, slots=True)
class Dropped:
    """The target is not wanted."""

    step: int
    """Index of the step that says so."""
    action: str

    def __str__(self) -> str:
        return f"dropped by relabelings[{self.step}] ({self.action})"


class TooMuchWork(Exception):
    """The labels and patterns together are too long; `step` is the index of the step that was not done."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


class _Exhausted(Exception):
    pass


class _Builder:
    """The labels of a target while they are changed.

    As in Prometheus, labels that were written stand behind those that were not: where
    labelmap gives two labels the same name, the last one wins.
    """

    __slots__ = ("_given", "_left", "_written")

    def __init__(self, labels: Mapping[str, str], work: int) -> None:
        self._given = {name: value for name, value in labels.items() if value}
        self._written: dict[str, str] = {}
        self._left = work

    def get(self, name: str) -> str:
        return self._written.get(name) or self._given.get(name, "")

    def set(self, name: str, value: str) -> None:
        """Write a label; an empty value removes it."""
        self._given.pop(name, None)
        if value:
            self._written[name] = value
        else:
            self._written.pop(name, None)

    def items(self) -> list[tuple[str, str]]:
        return [*sorted(self._given.items()), *self._written.items()]

    def names(self) -> list[str]:
        return [*self._given, *self._written]

    def result(self) -> dict[str, str]:
        return self._given | self._written

    def spend(self, work: int) -> None:
        """Raises _Exhausted when nothing is left."""
        self._left -= work
        if self._left < 0:
            raise _Exhausted

    def joined(self, step: RelabelConfig) -> str:
        """The values of the source labels; their length is paid for."""
        values = [self.get(name) for name in step.source_labels]
        self.spend(sum(map(len, values)) + len(step.separator) * len(values))
        return step.separator.join(values)

    def written(self, parts: list[bytes]) -> str:
        """`parts` in one; their length is paid for."""
        self.spend(_WRITTEN * sum(map(len, parts)))
        return b"".join(parts).decode()


def process(steps: Iterable[RelabelConfig], labels: Mapping[str, str], work: int = WORK) -> dict[str, str] | Dropped:
    """The labels after all steps, none of them empty, or that the target is dropped.

    Names may be no valid ones: labelmap makes them as it is told. Raises TooMuchWork.
    """
    builder = _Builder(labels, work)
    for index, step in enumerate(steps):
        verb = step.verb
        try:
            if not _ACTIONS[verb](step, builder):
                return Dropped(index, verb)
        except _Exhausted:
            raise TooMuchWork(index) from None
    return builder.result()


def _matches(step: RelabelConfig, builder: _Builder) -> bool:
    found, text = _regex(step), utf8(builder.joined(step))
    builder.spend(found.cost * len(text))
    return found.matches(text)


def _keep(step: RelabelConfig, builder: _Builder) -> bool:
    return _matches(step, builder)


def _drop(step: RelabelConfig, builder: _Builder) -> bool:
    return not _matches(step, builder)


def _keep_equal(step: RelabelConfig, builder: _Builder) -> bool:
    return builder.get(_target(step)) == builder.joined(step)


def _drop_equal(step: RelabelConfig, builder: _Builder) -> bool:
    return not _keep_equal(step, builder)


def _replace(step: RelabelConfig, builder: _Builder) -> bool:
    found, text = _regex(step), utf8(builder.joined(step))
    builder.spend(found.cost * len(text))
    match = found.search(text)
    if match is None:
        return True
    target = builder.written(template.expanded(template.parsed(_target(step)), match, found))
    if _is_label_name(target):
        builder.set(target, builder.written(template.expanded(template.parsed(step.replacement), match, found)))
    return True


def _lowercase(step: RelabelConfig, builder: _Builder) -> bool:
    builder.set(_target(step), _mapped(builder.joined(step), str.lower, _lower))
    return True


def _uppercase(step: RelabelConfig, builder: _Builder) -> bool:
    builder.set(_target(step), _mapped(builder.joined(step), str.upper, _upper))
    return True


def _hashmod(step: RelabelConfig, builder: _Builder) -> bool:
    digest = md5(utf8(builder.joined(step)), usedforsecurity=False).digest()
    builder.set(_target(step), str(int.from_bytes(digest[8:], "big") % (step.modulus or 1)))
    return True


def _labelmap(step: RelabelConfig, builder: _Builder) -> bool:
    for name, value in builder.items():
        if _matches_name(step, builder, name):
            builder.set(_new_name(step, builder, name), value)
    return True


def _labeldrop(step: RelabelConfig, builder: _Builder) -> bool:
    _remove(step, builder, matching=True)
    return True


def _labelkeep(step: RelabelConfig, builder: _Builder) -> bool:
    _remove(step, builder, matching=False)
    return True


def _remove(step: RelabelConfig, builder: _Builder, *, matching: bool) -> None:
    for name in builder.names():
        if _matches_name(step, builder, name) is matching:
            builder.set(name, "")


def _matches_name(step: RelabelConfig, builder: _Builder, name: str) -> bool:
    builder.spend(_regex(step).cost * len(name))
    return (_known_match if len(name) <= _USUAL_NAME else _is_match)(step.regex, name)


def _new_name(step: RelabelConfig, builder: _Builder, name: str) -> str:
    """What labelmap makes of a name that matches."""
    usual = len(name) <= _USUAL_NAME and len(step.replacement) <= _USUAL_REPLACEMENT
    if not usual:  # an odd pattern may match each character anew
        builder.spend(_PIECE * len(name) * len(template.parsed(step.replacement)))
    parts = (_known_parts if usual else _renamed)(step.regex, step.replacement, name)
    builder.spend(_PIECE * len(parts))
    return builder.written(parts)


def _is_match(regex: str, name: str) -> bool:
    return pattern.compiled(regex).matches(utf8(name))


def _renamed(regex: str, replacement: str, name: str) -> list[bytes]:
    """`name` with `replacement` in the place of each match, in parts."""
    found, pieces, text = pattern.compiled(regex), template.parsed(replacement), utf8(name)
    parts: list[bytes] = []
    last = 0
    for match in found.occurrences(text):
        parts += [text[last : match.start()], *template.expanded(pieces, match, found)]
        last = match.end()
    return [*parts, text[last:]]


# Pods have the same names of labels by the thousand.
_known_match = lru_cache(maxsize=8192)(_is_match)
_known_parts = lru_cache(maxsize=4096)(_renamed)


def _regex(step: RelabelConfig) -> Pattern:
    return pattern.compiled(step.regex)


def _target(step: RelabelConfig) -> str:
    return step.target_label or ""


def _mapped(text: str, whole: Callable[[str], str], each: Callable[[str], str]) -> str:
    """`text` in another case, character by character as in Go: Python's own way makes `SS` of `ß`."""
    return whole(text) if text.isascii() else "".join(map(each, text))


def _lower(char: str) -> str:
    return char.lower()[0]


def _upper(char: str) -> str:
    """Where upper case takes several characters, the one of title case, if that is one; else it stays as it is."""
    return next((cased for cased in (char.upper(), char.title()) if len(cased) == 1), char)


_ACTIONS: dict[str, Callable[[RelabelConfig, _Builder], bool]] = {
    "replace": _replace,
    "keep": _keep,
    "drop": _drop,
    "keepequal": _keep_equal,
    "dropequal": _drop_equal,
    "hashmod": _hashmod,
    "labelmap": _labelmap,
    "labeldrop": _labeldrop,
    "labelkeep": _labelkeep,
    "lowercase": _lowercase,
    "uppercase": _uppercase,
}
"""Each does its step and says whether the target is kept."""
