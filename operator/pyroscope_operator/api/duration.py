"""Durations in Go's syntax, as fields of the API hold them: `15s`, `1m30s`, `500ms`."""

from __future__ import annotations

import re

from pyroscope_operator.api.formats import DURATION

MAX_SECONDS = 24 * 3600
"""The longest interval or timeout that an object may ask for."""

_NANOSECONDS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_WHOLE = re.compile(DURATION)
_TERM = re.compile(r"([0-9]+)(?:\.([0-9]+))?(ms|s|m|h)")


def parse(text: str) -> float:
    """`text` in seconds. Raises ValueError when it is not a duration of ms, s, m and h.

    Counted in nanoseconds as Go does, so that the API server and we never differ in a comparison.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError("not a duration such as 15s, 1m30s or 500ms")
    total = 0
    for whole, fraction, unit in _TERM.findall(text):
        scale = _NANOSECONDS[unit]
        total += int(whole) * scale + (int(fraction) * scale // 10 ** len(fraction) if fraction else 0)
    return total / 10**9


def render(seconds: float) -> str:
    """`seconds`, rounded to milliseconds, in the shortest form: 90 → `1m30s`, 0.5 → `500ms`, 0 → `0s`."""
    left = round(seconds * 1000)
    if left < 0:
        raise ValueError("a duration is never negative")
    parts = []
    for unit, milliseconds in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, milliseconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
