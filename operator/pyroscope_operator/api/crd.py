"""pydantic models → CustomResourceDefinition.

pydantic writes JSON schemas with references, nulls and keywords that the API server
refuses in a structural schema. `structural` rewrites what it knows and raises on
everything else, so that no rule gets lost silently on the way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from pyroscope_operator.api import GROUP, VERSION
from pyroscope_operator.api.base import ApiModel
from pyroscope_operator.api.formats import HINTS
from pyroscope_operator.api.kinds import KINDS, Kind

Schema = dict[str, Any]

_KEPT = frozenset([
    "type", "format", "enum", "pattern", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
    "minimum", "maximum", "required", "description", "anyOf", "x-kubernetes-int-or-string", "x-kubernetes-validations",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type",
])  # fmt: skip
_NESTED = frozenset(["properties", "items", "additionalProperties", "patternProperties"])
_DROPPED = frozenset(["title", "propertyNames", "default"])
"""Titles repeat the name of the field; keys of maps are checked by the models only; defaults are handled apart."""
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def structural(schema: Mapping[str, Any], defs: Mapping[str, Any], path: str = "") -> Schema:
    """`schema` as pydantic made it → a structural schema; `path` names it in errors.

    Raises ValueError on a keyword that it does not know.
    """
    out: Schema = {}
    flat = _flattened(schema, defs, path)
    for keyword, value in flat.items():
        if keyword in _KEPT:
            out[keyword] = value
        elif keyword in _NESTED:
            out |= _nested(keyword, value, defs, path)
        elif keyword not in _DROPPED:
            raise ValueError(f"{path or 'schema'}: no structural form of {keyword!r} is known")
    return _with_default(out, flat.get("default"), path)


def _nested(keyword: str, value: Any, defs: Mapping[str, Any], path: str) -> Schema:
    """A keyword that holds further schemas."""
    match keyword:
        case "properties":
            return {keyword: {name: structural(child, defs, f"{path}.{name}") for name, child in value.items()}}
        case "items":
            return {keyword: structural(value, defs, f"{path}[]")}
        case "additionalProperties" if value is False:
            return {}  # the API server refuses or prunes unknown fields anyway
        case "additionalProperties" if isinstance(value, dict):
            return {keyword: structural(value, defs, f"{path}{{}}")}
        case "patternProperties" if len(value) == 1:
            return {"additionalProperties": structural(next(iter(value.values())), defs, f"{path}{{}}")}
    raise ValueError(f"{path or 'schema'}: no structural form of this {keyword!r} is known")


def _flattened(schema: Mapping[str, Any], defs: Mapping[str, Any], path: str) -> Schema:
    """`schema` without $ref and without pydantic's forms of `T | None` and `int | str`."""
    flat: Schema = {k: _prose(v) if k == "description" else v for k, v in schema.items() if k != "$defs"}
    if ref := flat.pop("$ref", None):
        flat = {**defs[ref.rpartition("/")[2]], **flat}
        return _flattened(flat, defs, path)
    options = [o for o in flat.pop("anyOf", []) if o != {"type": "null"}]
    if len(options) == 1:
        return _flattened({**options[0], **flat}, defs, path)
    if [{"type": o.get("type")} for o in options] == _INT_OR_STRING:
        bounds = {k: v for option in options for k, v in option.items() if k != "type"}
        return {**flat, "anyOf": _INT_OR_STRING, "x-kubernetes-int-or-string": True, **bounds}
    if options:
        raise ValueError(f"{path or 'schema'}: no structural form of this anyOf is known")
    return flat


def _with_default(schema: Schema, default: Any, path: str) -> Schema:
    """`schema` with `default`, for objects in the form `{}`: the defaults of their fields fill them."""
    if default in (None, [], {}) and "properties" not in schema:
        return schema
    if isinstance(default, dict):
        if _without_empty(default) != _filled(schema):
            raise ValueError(f"{path}: the default of an object must be made of the defaults of its fields")
        default = {}
    return schema if default is None else {**schema, "default": default}


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_empty(v) for k, v in value.items() if v not in (None, [], {})}
    return value


def _filled(schema: Schema) -> Schema:
    """What the API server makes of `{}`."""
    fields = schema.get("properties", {})
    return {name: _filled(f) if "properties" in f else f["default"] for name, f in fields.items() if "default" in f}


def _prose(text: str) -> str:
    """Lines joined to paragraphs."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip()))


def model_schema(model: type[ApiModel]) -> Schema:
    """The structural schema of one model."""
    made = model.model_json_schema()
    return structural(made, made.get("$defs", {}), model.__name__)


def explained(schema: Schema) -> Schema:
    """`schema` with a rule beside each pattern, whose message says the fix: of a pattern the API server shows only itself."""
    out = {key: explained(value) if key in {"items", "additionalProperties"} else value for key, value in schema.items()}
    if "properties" in schema:
        out["properties"] = {name: explained(field) for name, field in schema["properties"].items()}
    pattern = schema.get("pattern", "")
    if pattern in HINTS:
        either = "type(self) == int || " if schema.get("x-kubernetes-int-or-string") else ""
        rule = {"rule": f"{either}self.matches({json.dumps(pattern)})", "message": HINTS[pattern]}
        out["x-kubernetes-validations"] = [*schema.get("x-kubernetes-validations", []), rule]
    return out


@cache
def object_schema(kind: Kind) -> Schema:
    """The structural schema of a whole object."""
    return {
        "description": _prose(kind.model.__doc__ or ""),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": kind.name},
            "metadata": {"type": "object"},
            "spec": explained(model_schema(kind.spec)),
            "status": model_schema(kind.status),
        },
    }


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": column.name, "type": column.type, "jsonPath": column.path}
            | ({"description": column.text} if column.text else {})
            | ({"priority": 1} if column.wide else {})
            for column in kind.columns
        ],
        "schema": {"openAPIV3Schema": object_schema(kind)},
        "subresources": {"status": {}},
    }
    names = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.name.lower(),
        "shortNames": [kind.short],
        "categories": ["pyroscope"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def to_yaml(document: Mapping[str, Any]) -> str:
    """`document` as YAML in the order of its keys, without anchors."""
    unshared = json.loads(json.dumps(document))
    return yaml.safe_dump(unshared, sort_keys=False, allow_unicode=True, width=120)


def documents() -> dict[str, str]:
    """File name → YAML of every CRD of this API group."""
    return {f"{GROUP}_{kind.plural}.yaml": to_yaml(definition(kind)) for kind in KINDS}
