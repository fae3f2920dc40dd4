"""What is asked of the targets page and of the JSON beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

STATES = ("up", "down", "unknown", "dropped", "duplicate", "rejected", "idle")
"""Of a target, of what was found and is none, and of an object that leads to nothing: it is not accepted, or finds nothing."""
NAMES = ("state", "namespace", "q", "page", "size")
"""Of the URL parameters."""
MAX_PAGE = 100_000
MAX_SIZE = 200
"""Rows of a page at most."""
_SIZE = 50
_LONGEST = {"namespace": 63, "q": 200}


class WrongQuery(Exception):
    """A parameter that can't be answered; the message names it, and never its value."""


@dataclass(frozen=True, slots=True)
class Query:
    """Empty texts ask for all."""

    state: str = ""
    namespace: str = ""
    q: str = ""
    page: int = 1
    size: int = _SIZE

    @property
    def filters(self) -> bool:
        return bool(self.state or self.namespace or self.q)

    def url(self, page: int | None = None, **changes: Any) -> str:
        """The query of a link to the same, or to another `page` of it; with other filters it begins at the first one."""
        return f"?{urlencode(replace(self, page=page or 1, **changes)._given())}"

    @property
    def data(self) -> str:
        """The same for the JSON, which tells everything where no parameter is given."""
        return f"?{urlencode({**self._given(), 'page': self.page})}"

    def _given(self) -> dict[str, Any]:
        default = Query()
        return {name: getattr(self, name) for name in NAMES if getattr(self, name) != getattr(default, name)}


def parse(given: Mapping[str, str]) -> Query:
    """The query that these URL parameters are; others are ignored. Raises WrongQuery."""
    for name, longest in _LONGEST.items():
        if len(given.get(name, "")) > longest:
            raise WrongQuery(f"{name}: at most {longest} characters")
    state = given.get("state", "").strip()
    if state and state not in STATES:
        raise WrongQuery(f"state: must be one of {', '.join(STATES)}")
    return Query(
        state=state,
        namespace=given.get("namespace", "").strip(),
        q=" ".join(given.get("q", "").split()),
        page=_number(given, "page", 1, MAX_PAGE),
        size=_number(given, "size", _SIZE, MAX_SIZE),
    )


def _number(given: Mapping[str, str], name: str, default: int, highest: int) -> int:
    text = given.get(name, "").strip()
    if not text:
        return default
    # int() alone reads digits of all scripts, and very long ones.
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(highest)) and 1 <= int(text) <= highest):
        raise WrongQuery(f"{name}: must be a number from 1 to {highest}")
    return int(text)
