"""What an unquoted word of YAML means: as kubectl, whose rules are not those of PyYAML.

kubectl reads YAML 1.1 in the dialect of go-yaml: `y`, `on` and `No` are booleans, `017`
and `0o17` are octal, `1e3` is a number, but `1:30` and `2001-01-01` are strings. The
result is then written as JSON, where a float that is whole is an integer.
"""

from __future__ import annotations

import math
import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_BASES = (
    (re.compile(r"([-+]?)0[xX]([0-9a-fA-F]+)"), 16),
    (re.compile(r"([-+]?)0[bB]([01]+)"), 2),
    (re.compile(r"([-+]?)0[oO]?([0-7]+)"), 8),
    (re.compile(r"([-+]?)(0|[1-9][0-9]{0,19})"), 10),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEAST, _UNSIGNED, _SIGNED = -(1 << 63), 1 << 64, 1 << 63


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar. Infinity and NaN are returned as such; JSON, and so kubectl, knows neither."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    number = text.replace("_", "") if text[0] != "." else text
    whole = _integer(number)
    return whole if whole is not None else _float(number, text)


def _integer(text: str) -> int | float | None:
    """`text` as an integer of 64 bits; as a float between the largest signed and the largest unsigned one."""
    for pattern, base in _BASES:
        if found := pattern.fullmatch(text):
            value = int(found[1] + found[2], base)
            if _LEAST <= value < _SIGNED:
                return value
            return float(value) if not found[1] and value < _UNSIGNED else None
    return None


def _float(number: str, text: str) -> Scalar:
    """`number` as JSON has it; `text` itself when it is no number, or too large for one."""
    value = float(number) if _FLOAT.fullmatch(number) else math.inf
    if math.isinf(value):
        return text
    return int(value) if value.is_integer() and _LEAST <= value < _SIGNED else value
