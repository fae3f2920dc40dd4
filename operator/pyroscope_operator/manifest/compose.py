"""YAML text → nodes.

PyYAML's parser is asked for its events only: what they mean is decided here, as kubectl
does (`scalar`). Everything is bounded: aliases are shared, and neither their depth nor
what they expand to may exceed a limit, since everybody behind us will expand them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import yaml
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.scanner import Scanner

from pyroscope_operator.errors import ManifestError
from pyroscope_operator.manifest.node import Flaw, Member, Node, Position
from pyroscope_operator.manifest.scalar import Scalar, resolve

MAX_DEPTH = 100
"""Of lists and maps in each other, aliases followed; our objects have less than ten."""
MAX_EXPANDED = 1 << 20
"""What the aliases of a document may add to it, in about bytes of JSON. The API server takes objects up to 1.5 MiB."""

_CORE = "tag:yaml.org,2002:"
_TYPES: Mapping[str, tuple[type, ...]] = {
    f"{_CORE}null": (type(None),),
    f"{_CORE}bool": (bool,),
    f"{_CORE}int": (int,),
    f"{_CORE}float": (int, float),
}
_STRINGS = frozenset(["!", f"{_CORE}str"])
_TAGGED = "has a tag (!…) that manifests can't have: remove it, or put a value that starts with ! in quotes"
_NO_NUMBER = "is infinite or not a number, which JSON can't say: write a number, or put it in quotes"
_SAYINGS = (
    ("character '\\t'", "a tab where none may be: indent with blanks"),
    ("that cannot start any token", "a value that starts with % or @ or ` must stand in quotes"),
    ("mapping values are not allowed", "a ':' where none may be: check the indentation, or put the value in quotes"),
    ("could not find expected ':'", "a ':' is missing, or the indentation is wrong"),
    ("expected '<document start>'", "something stands behind the end of the document: check the indentation, or put --- between"),
    ("expected <block end>", "the indentation is wrong, or a quote is missing or too much"),
    ("<stream end>", "the text ends too early: a bracket, a brace or a value is missing"),
    ("unexpected end of stream", "a quote that is not closed"),
    ("alphabetic or numeric character", "a value that starts with * or & must stand in quotes"),
    ("tag", "a value that starts with ! must stand in quotes"),
    ("special characters", "a control character, which must be written as an escape in double quotes"),
)
"""Part of what PyYAML says → what it means for people. It never repeats what stands in the file, which PyYAML does."""
_QUOTED = re.compile(r"'([^']*)'")
_TOKEN = re.compile(r"<[a-z ]+>|[][{},:?-]")


class _Parser(Reader, Scanner, Parser):
    """PyYAML's parser, without its composer and its recursion."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)

    def scan_to_next_token(self) -> None:
        """Skip tabs too where they separate only, as kubectl does; so JSON may be indented with tabs."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()


def compose(file: str, text: str) -> Iterator[Node]:
    """The root node of each document of `text`, empty ones included. Raises ManifestError, which names `file`."""
    composer = _Composer(file, text)
    while (root := composer.document()) is not None:
        yield root


class _Composer:
    """Makes nodes of events. One for each file."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        try:
            self._parser: Any = _Parser(text)
        except ReaderError as error:
            before = text[: error.position]
            column = len(before) - before.rfind("\n")
            raise self._wrong(_said(error.reason), Position(before.count("\n") + 1, column)) from None
        self._anchors: dict[str, tuple[Node | None, int]] = {}
        """The node and its size; None while it is being made."""
        self._size = 0
        """Of the document so far, in about bytes of JSON, aliases expanded."""
        self._expanded = 0
        """As much of it as aliases have added."""

    def document(self) -> Node | None:
        """The next document; None at the end."""
        self._anchors, self._size, self._expanded = {}, 0, 0
        while isinstance(event := self._next(), yaml.StreamStartEvent | yaml.DocumentEndEvent):
            pass
        if isinstance(event, yaml.StreamEndEvent):
            return None
        first = self._next()
        root = self._node(first, 1)
        # kubectl splits files at lines of --- and refuses them with something behind.
        if event.explicit and root.value is not None and first.start_mark.line == event.start_mark.line:
            flaw = Flaw(_position(event), None, "must begin on the line after ---")
            return replace(root, flaws=(*root.flaws, flaw))
        return root

    def _next(self) -> Any:
        try:
            return self._parser.get_event()
        except yaml.MarkedYAMLError as error:
            unclosed = "end of stream" in (error.problem or "")
            mark = (error.context_mark if unclosed else None) or error.problem_mark
            at = Position(mark.line + 1, mark.column + 1) if mark else Position(0, 0)
            raise self._wrong(_said(error.problem or ""), at) from None
        except (ValueError, OverflowError):  # an escape such as \UFFFFFFFF
            raise self._wrong("an escape that stands for no character", Position(self._parser.line + 1, 0)) from None

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if depth > MAX_DEPTH:
            raise self._too_deep(event)
        before = self._size
        if event.anchor is not None:
            self._anchors[event.anchor] = None, 0
        if isinstance(event, yaml.ScalarEvent):
            self._size += len(event.value) + 4
            node = _scalar(event)
        else:
            self._size += 4
            node = self._list(event, depth) if isinstance(event, yaml.SequenceStartEvent) else self._map(event, depth)
            if event.tag not in {None, "!", f"{_CORE}seq", f"{_CORE}map"}:
                node = replace(node, flaws=(*node.flaws, Flaw(node.at, None, _TAGGED)))
        if event.anchor is not None:
            self._anchors[event.anchor] = node, self._size - before
        return node

    def _alias(self, event: Any, depth: int) -> Node:
        node, size = self._anchors.get(event.anchor, (None, 0))
        if node is None:
            open_ = event.anchor in self._anchors
            what = "contains itself" if open_ else "has no anchor: put a value that starts with * in quotes"
            raise self._wrong(f"an alias (*…) that {what}", _position(event))
        if depth + node.height > MAX_DEPTH:
            raise self._too_deep(event)
        self._size += size
        self._expanded += size
        if self._expanded > MAX_EXPANDED:
            raise self._wrong(f"aliases (*…) that expand to more than {MAX_EXPANDED >> 20} MiB", _position(event))
        return node

    def _list(self, start: Any, depth: int) -> Node:
        entries = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            entries.append(self._node(event, depth + 1))
        return Node(_position(start), tuple(entries), 1 + max((entry.height for entry in entries), default=0))

    def _map(self, start: Any, depth: int) -> Node:
        members: dict[str, Member] = {}
        own: dict[str, Position] = {}
        flaws: list[Flaw] = []
        height = 0
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            at = _position(event)
            key, value = self._node(event, depth + 1), self._node(self._next(), depth + 1)
            height = max(height, value.height)
            if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
                flaws += _merge(members, value, at)
                continue
            name = _name(key.value)
            if name is None:
                flaws.append(Flaw(at, None, "has a key that is no text: put it in quotes"))
                continue
            if name in own:
                flaws.append(Flaw(at, name, f"is there twice, first in line {own[name].line}: remove one of both"))
            own.setdefault(name, at)
            members[name] = Member(at, value)
        return Node(_position(start), members, 1 + height, tuple(flaws))

    def _too_deep(self, event: Any) -> ManifestError:
        return self._wrong(f"lists and maps in each other, more than {MAX_DEPTH} deep", _position(event))

    def _wrong(self, problem: str, at: Position) -> ManifestError:
        return ManifestError(self._file, f"not valid YAML: {problem}", *at)


def _position(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _said(problem: str) -> str:
    """What PyYAML said, without what stands in the file: that may be a password which begins with * or %."""
    meant = next((saying for part, saying in _SAYINGS if part in problem), None)
    return meant or _QUOTED.sub(lambda found: found[0] if _TOKEN.fullmatch(found[1]) else "'…'", problem)


def _scalar(event: Any) -> Node:
    at = _position(event)
    if event.tag in _STRINGS or (event.tag is None and not event.implicit[0]):
        return Node(at, _whole(event.value))
    value: Scalar = resolve(event.value)
    if event.tag is not None and type(value) not in _TYPES.get(event.tag, ()):
        return Node(at, event.value, flaws=(Flaw(at, None, _TAGGED),))
    if isinstance(value, float) and not math.isfinite(value):
        return Node(at, event.value, flaws=(Flaw(at, None, _NO_NUMBER),))
    return Node(at, value)


def _whole(text: str) -> str:
    """`text` with one character for each pair of surrogates: the escapes of JSON make such pairs."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _name(key: object) -> str | None:
    """A key as JSON has it; None when it can't be one."""
    match key:
        case str():
            return key
        case bool():
            return "true" if key else "false"
        case int():
            return str(key)
    return None


def _merge(members: dict[str, Member], value: Node, at: Position) -> list[Flaw]:
    """Put what `<<` names into `members`, over what stands before it, as kubectl does; the first of several wins."""
    sources = value.value if isinstance(value.value, tuple) else (value,)
    for source in reversed(sources):
        if not isinstance(source.value, Mapping):
            return [Flaw(at, "<<", "needs a map, or a list of maps")]
        members |= source.value
    return []
