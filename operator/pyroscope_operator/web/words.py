"""Times, sizes and numbers as people read them. Times are Unix seconds, told in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
_SIZES = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000


def span(seconds: float) -> str:
    """A time span in one unit, such as 12 s or 3 min; days at most."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds / length)} {unit}"
    return f"{int(max(0.0, seconds))} s"


def ago(moment: float | None, now: float) -> str:
    return "never" if moment is None else f"{span(now - moment)} ago"


def ahead(moment: float, now: float) -> str:
    return f"in {span(moment - now)}" if moment > now else "due"


def clock(moment: float, now: float) -> str:
    """The time of day; with the date if that is another one than now."""
    then = datetime.fromtimestamp(moment, UTC)
    same_day = then.date() == datetime.fromtimestamp(now, UTC).date()
    return then.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")


def stamp(moment: float) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def took(seconds: float) -> str:
    """How long something took: 14.02 s, 230 ms."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * _THOUSAND:.0f} ms"


def size(number: int) -> str:
    """Bytes, in decimal units: 12.3 kB."""
    value = float(number)
    for unit in _SIZES[:-1]:
        if value < _THOUSAND:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= _THOUSAND
    return f"{value:.1f} {_SIZES[-1]}"


def count(number: int, one: str = "", many: str = "") -> str:
    """1,234; with words for one and for many: 1 object, 1,234 objects."""
    return " ".join(filter(None, (f"{number:,}", one if number == 1 else many or f"{one}s" * bool(one))))


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
