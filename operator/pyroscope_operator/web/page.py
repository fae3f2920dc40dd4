"""The targets page as HTML. Only imported when it is first asked for: Jinja takes memory that few operators need.

Everything that is shown may be of somebody's making - names, labels, messages - so it is escaped wherever it stands,
and no browser would run or load what got through (`POLICY`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pyroscope_operator import __version__
from pyroscope_operator.engine.conditions import Observation, aspects
from pyroscope_operator.engine.shown import shown
from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.engine.write_conditions import write_aspects
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.push.writer import WriterSnapshot
from pyroscope_operator.scrape.pool import LoopState
from pyroscope_operator.web import words
from pyroscope_operator.web.listing import Beaten, Listing, by_target, state_of
from pyroscope_operator.web.query import MAX_SIZE, STATES

MAX_VALUE = 300
"""Characters of a label's value that are shown."""
MAX_LABELS = 200
"""Labels of a target that are shown."""
MAX_MESSAGE = 600
MAX_ENDPOINTS = 20
"""Endpoints that are shown, those that fail first; as many writes that are not accepted."""

_FOLDER = Path(__file__).with_name("templates")
_STYLE = (_FOLDER / "targets.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing but our own style sheet, which stands in the page."""

STATE_WORDS = {
    "up": "up",
    "down": "down",
    "unknown": "unknown",
    "dropped": "dropped",
    "duplicate": "duplicate",
    "rejected": "not accepted",
    "idle": "no targets",
}


def _labels(labels: Labels) -> list[tuple[str, str]]:
    """What is shown of them; bounded, for annotations may be 256 kB each."""
    return [(name, words.cut(value, MAX_VALUE)) for name, value in islice(shown(labels), MAX_LABELS)]


def _endpoint_state(one: WriterSnapshot) -> tuple[str, str]:
    """Its class and its word."""
    if one.failing_since is not None:
        return "down", "failing"
    if one.overflowing:
        return "down", "queue full"
    return ("unknown", "no push yet") if one.last_success is None else ("up", "delivering")


def _interval(seen: Observation) -> str:
    return words.span(seen.loops[0].scrape.interval) if seen.loops else ""


def _told(loops: Sequence[LoopState]) -> list[tuple[LoopState, bool]]:
    """The loops of a target, and whether to say below each why it failed: once for those in a row that failed alike."""
    errors = [(state.health.reason, state.health.message) if state.health.up is False else None for state in loops]
    return [
        (state, error is not None and error != after)
        for state, error, after in zip(loops, errors, [*errors[1:], None], strict=True)
    ]


def _why(beaten: Beaten) -> str:
    """To whom it is left."""
    told = (f"scraped by {d.winner.source}" if d.scrape.key == d.winner.key else d.message for d in beaten.duplicates)
    return "; ".join(dict.fromkeys(told))


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        stamp=words.stamp,
        took=words.took,
        size=words.size,
        count=words.count,
        cut=partial(words.cut, longest=MAX_MESSAGE),
        state=state_of,
        told=_told,
        labels=_labels,
        conditions=aspects,
        by_target=by_target,
        why=_why,
        endpoint_state=_endpoint_state,
        interval=_interval,
    )
    made.globals.update(version=__version__, states=STATES, word=STATE_WORDS, style=Markup(_STYLE), max_size=MAX_SIZE)  # noqa: S704
    return made


_TEMPLATE = _environment().get_template("targets.html")


def render(snapshot: Snapshot, listing: Listing, waiting_for: str) -> str:
    """The page; `waiting_for` is empty when the operator is ready."""
    now = snapshot.taken
    return _TEMPLATE.render(
        listing=listing,
        query=listing.query,
        now=now,
        ago=partial(words.ago, now=now),
        ahead=partial(words.ahead, now=now),
        clock=partial(words.clock, now=now),
        waiting_for=waiting_for,
        **_delivery(snapshot),
    )


def _delivery(snapshot: Snapshot) -> dict[str, Any]:
    troubled = [one for one in snapshot.delivery if _endpoint_state(one)[0] == "down"]
    writes = [
        (ref, write_aspects(seen)["Accepted"]) for ref, seen in sorted(snapshot.writes.items()) if not seen.verdict.accepted
    ]
    return {
        "endpoints": sorted(snapshot.delivery, key=lambda one: (_endpoint_state(one)[0] != "down", one.key))[:MAX_ENDPOINTS],
        "endpoint_count": len(snapshot.delivery),
        "troubled": len(troubled),
        "rejected_writes": writes[:MAX_ENDPOINTS],
        "rejected_write_count": len(writes),
    }
