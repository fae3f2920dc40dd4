"""What the annotations of a pod say about how it is profiled, as it was written; annotated.py tells what becomes of it.

    <prefix>/<type>.<field>   a setting of one profile type
    <prefix>/scrape           the short form: a setting of all types
    <prefix>/port
    <prefix>/types

Other keys belong to somebody else, unless they look like a mistake in one of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pyroscope_operator.api.formats import DNS_LABEL, PORT_NAME, URL_PATH, python_pattern
from pyroscope_operator.api.profiling import BUILT_IN

TYPES = MappingProxyType({"cpu": "process_cpu"} | {name: name for name in BUILT_IN})
"""Names of profile types in annotations, and our own for them."""
NAMES = ", ".join(name for name in TYPES if name != "process_cpu")
"""The types in words."""

_LONGEST_KEY = 63
"""Of what stands behind the slash, as the API server has it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the annotations say of one profile type, or of all (the short form). None: nothing."""

    scrape: bool | None = None
    port: int | None = None
    port_name: str | None = None
    scheme: str | None = None
    path: str | None = None
    container: str | None = None
    wrong: frozenset[str] = frozenset()
    """Fields that have a value that can't be, and fields that there are not."""


_SILENT = Settings()


@dataclass(frozen=True, slots=True)
class PodAnnotations:
    """The annotations of a pod under one prefix."""

    prefix: str
    short: Settings
    """Only `scrape` and `port` have a short form."""
    types: frozenset[str] | None
    """The types that the short form lists; None: it lists none. Some may be unknown."""
    by_type: Mapping[str, Settings]
    problems: tuple[str, ...]
    """What is wrong, each with the key and the fix, and without the value."""

    def of(self, kind: str) -> Settings:
        """What is said of this profile type alone."""
        return self.by_type.get(kind, _SILENT)

    def key(self, kind: str, field: str) -> str:
        """The annotation of a field, as people write it."""
        return f"{self.prefix}/{'cpu' if kind == 'process_cpu' else kind}.{field}"

    def spoils(self, kind: str) -> bool:
        """Whether something that this type depends on is wrong."""
        own = self.of(kind)
        said = {name for name in _FIELDS if getattr(own, name) is not None}
        if own.port_name:
            said.add("port")
        return bool(own.wrong) or bool(self.short.wrong - said)


def read(annotations: Mapping[str, str], prefix: str) -> PodAnnotations | None:
    """What is said under `prefix`; None: nothing. Never raises; an empty value says nothing."""
    start = f"{prefix}/"
    mine = sorted(name for name in annotations if name.startswith(start) and annotations[name])
    return _read(annotations, prefix, mine) if mine else None


def _read(annotations: Mapping[str, str], prefix: str, mine: list[str]) -> PodAnnotations:
    drafts: dict[str, _Draft] = {}
    types, problems = None, []
    for key in mine:
        name = key[len(prefix) + 1 :]
        if name == "types":
            types = _types(annotations[key])
            if not types:
                problems.append(f"{key} lists no profile type: use {NAMES}")
            continue
        kind, field, problem = _meaning(name)
        if kind is not None:
            known = _SHORT_FORM if kind == _SHORT else _FIELDS
            problem = drafts.setdefault(kind, _Draft(known)).take(field, annotations[key])
        if problem:
            problems.append(f"{prefix}/{name[:_LONGEST_KEY]} {problem}")
    settings = {kind: draft.settings() for kind, draft in drafts.items()}
    return PodAnnotations(prefix, settings.pop(_SHORT, _SILENT), types, settings, tuple(problems))


_SHORT = ""
"""Stands for all types."""


def _meaning(name: str) -> tuple[str | None, str, str]:
    """Type and field of a key; type None: of none, with what is wrong about that, if anything is."""
    kind, dot, field = name.partition(".")
    if not dot:
        return (_SHORT if name in _FIELDS else None), name, ""
    if kind in TYPES:
        return TYPES[kind], field, ""
    return None, field, f"is of no profile type: use one of {NAMES}" if field in _FIELDS else ""


class _Draft:
    """Settings that are being read. Where a field is written twice (cpu and process_cpu), the first one counts."""

    def __init__(self, known: Mapping[str, _Field]) -> None:
        self._known = known
        self._fields: dict[str, Any] = {}
        self._wrong: set[str] = set()

    def take(self, field: str, value: str) -> str:
        """Returns what is wrong; empty: nothing."""
        parse, fix = self._known.get(field, _UNKNOWN)
        if (parsed := parse(value)) is None:
            self._wrong.add(field)
            return fix
        self._fields.setdefault(field, parsed)
        return ""

    def settings(self) -> Settings:
        return Settings(**self._fields, wrong=frozenset(self._wrong))


def _types(value: str) -> frozenset[str]:
    names = (name.strip() for name in value.split(","))
    return frozenset(TYPES.get(name, name) for name in names if name)


def _port(value: str) -> int | None:
    return int(value) if re.fullmatch("[0-9]{1,5}", value) and 1 <= int(value) <= 65535 else None


def _matching(pattern: str, longest: int) -> Callable[[str], str | None]:
    matches = re.compile(python_pattern(pattern)).fullmatch
    return lambda value: value if len(value) <= longest and matches(value) else None


_Field = tuple[Callable[[str], Any], str]
"""How a value is read (None: it is wrong), and what it must be."""

_FIELDS: Mapping[str, _Field] = {
    "scrape": ({"true": True, "false": False}.get, 'must be "true" or "false"'),
    "port": (_port, "must be a port number from 1 to 65535; the name of a port belongs into <type>.port_name"),
    "port_name": (_matching(PORT_NAME, 15), "must be the name of a container port"),
    "scheme": ({name: name for name in ("http", "https")}.get, "must be http or https"),
    "path": (_matching(URL_PATH, 512), "must be a path that starts with '/', without '?', '#' and blanks"),
    "container": (_matching(DNS_LABEL, 63), "must be the name of a container of the pod"),
}
_SHORT_FORM = {name: _FIELDS[name] for name in ("scrape", "port")}


def _unknown(_: str) -> None:
    return None


_UNKNOWN = _unknown, "is no key: there are <type>." + ", <type>.".join(_FIELDS) + ", scrape, port and types"
