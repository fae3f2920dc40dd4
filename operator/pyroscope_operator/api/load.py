"""Manifests → validated objects.

Validation is as strict as that of the API server: no unknown fields, no `"true"` for
true, only the camelCase names. What is wrong is told field by field, with the fix.
Values are never repeated: a password may stand where none belongs.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pyroscope_operator.api import crd
from pyroscope_operator.api.base import RULE_BROKEN
from pyroscope_operator.api.formats import HINTS
from pyroscope_operator.api.kinds import SCRAPE, WRITE, Kind
from pyroscope_operator.api.scrape import PyroscopeScrape
from pyroscope_operator.api.write import PyroscopeWrite
from pyroscope_operator.errors import Place, Problem, SpecError

MAX_PROBLEMS = 20
"""Problems told at once; more than that help nobody and would not fit into a condition."""

_BELOW = re.compile(r"[^.\[\]]+")
_MESSAGES = {
    "missing": "is required: add it",
    "model_type": "must be an object with fields",
    "model_attributes_type": "must be an object with fields",
    "dict_type": "must be an object with fields",
    "tuple_type": "must be a list",
    "string_type": "must be a string: write it in quotes",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least one entry",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be one of {expected}",
}
"""Type of a pydantic error → what to do about it."""


def load_scrape(manifest: Mapping[str, Any]) -> PyroscopeScrape:
    """`manifest` as a PyroscopeScrape, see `load`."""
    return cast("PyroscopeScrape", load(SCRAPE, manifest))


def load_write(manifest: Mapping[str, Any]) -> PyroscopeWrite:
    """`manifest` as a PyroscopeWrite, see `load`."""
    return cast("PyroscopeWrite", load(WRITE, manifest))


def load(kind: Kind, manifest: Mapping[str, Any]) -> PyroscopeScrape | PyroscopeWrite:
    """`manifest`, an object of this kind as read from YAML or the API server, validated and with defaults.

    `status` and most of `metadata` are not looked at. Raises SpecError.
    """
    wanted = {key: value for key, value in _without_nulls(manifest).items() if key != "status"}
    try:
        return kind.model.model_validate_json(json.dumps(wanted, default=str), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        details = _genuine(error.errors(include_url=False, include_input=False))
    raise SpecError([problem for detail in details for problem in _problems(kind, detail)][:MAX_PROBLEMS])


def _without_nulls(value: Any) -> Any:
    """`value` without the fields that are null: like the API server, we take them for absent."""
    if isinstance(value, Mapping):
        return {str(key): _without_nulls(child) for key, child in value.items() if child is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(child) for child in value]
    return value


def _genuine(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """`details` without lists that are too short only because pydantic counts no wrong entries."""

    def has_wrong_entry(place: Place) -> bool:
        return any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in details)

    return [detail for detail in details if detail["type"] != "too_short" or not has_wrong_entry(detail["loc"])]


def _problems(kind: Kind, detail: ErrorDetails) -> Iterator[Problem]:
    """Everything that one pydantic error tells."""
    context = detail.get("ctx", {})
    place = tuple(part for part in detail["loc"] if part != "[key]")
    if detail["type"] == RULE_BROKEN:
        for below, message in context["problems"]:
            yield Problem(place + _below(below), message)
    elif detail["type"] == "extra_forbidden":
        yield Problem(place, _unknown_field(kind, place))
    elif detail["type"] == "string_pattern_mismatch":
        yield Problem(place, HINTS.get(context["pattern"], detail["msg"]))
    else:
        template = _MESSAGES.get(detail["type"])
        yield Problem(place, template.format(**context) if template else detail["msg"])


def _below(path: str) -> Place:
    """The path of a rule or of a list's entry, `a.b` or `[1]`, as a place."""
    return tuple(int(part) if part.isdigit() else part for part in _BELOW.findall(path))


def _unknown_field(kind: Kind, place: Place) -> str:
    """Message for a field that does not exist, with the one that was meant if there is one alike."""
    schema: dict[str, Any] = crd.object_schema(kind)
    for part in place[:-1]:
        properties = schema.get("properties", {})
        schema = (
            schema.get("items", {}) if isinstance(part, int) else properties.get(part) or schema.get("additionalProperties", {})
        )
    return no_field(str(place[-1]), schema.get("properties", {}))


def no_field(name: str, known: Iterable[str]) -> str:
    """Message for the field `name`, which is none of the `known`."""
    by_lower = {field.lower(): field for field in known}
    wrong = name[:63].replace("_", "").lower()
    if alike := difflib.get_close_matches(wrong, by_lower, n=1, cutoff=0.7):
        return f"is not a field: did you mean {by_lower[alike[0]]}?"
    return "is not a field: remove it or check its indentation"
