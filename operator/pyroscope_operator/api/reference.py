"""pydantic models → the API reference for people, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pyroscope_operator.api import API_VERSION
from pyroscope_operator.api.base import ApiModel
from pyroscope_operator.api.formats import DURATION, SIZE
from pyroscope_operator.api.kinds import KINDS, Kind

Schema = Mapping[str, Any]

_MOST = {"maxLength": " characters", "maxItems": " entries", "maxProperties": " entries"}
_NAMED = {DURATION: "duration", SIZE: "size"}

_INTRO = """\
<!-- Made by `make generate` from the models in operator/pyroscope_operator/api: do not edit. -->

# API reference

Group and version: `{api_version}`. The same text is shown by `kubectl explain`.

Everything described as a *duration* is written as in Go: `15s`, `1m30s`, `500ms` (units: ms, s, m, h). A *size* is
written as `512KiB` or `16MiB`. Fields that are unknown, misspelt or of another type are refused; a field that is
`null` counts as absent. Secrets are referred to by name and key and must be in the namespace of the object.

"""

_KIND = """\
## {kind}

Short name `{short}`, namespaced. {summary}

"""


def reference(examples: Mapping[str, Mapping[str, str]]) -> str:
    """The whole reference; `examples` are titles and manifests by kind, shown in their order."""
    seen: set[str] = set()
    return _INTRO.format(api_version=API_VERSION) + "\n".join(_kind(kind, examples[kind.name], seen) for kind in KINDS)


def _kind(kind: Kind, examples: Mapping[str, str], seen: set[str]) -> str:
    intro = _KIND.format(kind=kind.name, short=kind.short, summary=" ".join((kind.model.__doc__ or "").split()))
    shown = "".join(f"{title}:\n\n```yaml\n{text.strip()}\n```\n\n" for title, text in examples.items())
    types = [text for model in (kind.spec, kind.status) for text in _types(model, seen)]
    return intro + shown + "\n".join(types)


def _types(model: type[ApiModel], seen: set[str]) -> Iterator[str]:
    """Sections of `model` and of the types that it uses, each once, in the order of their first use."""
    schema = model.model_json_schema()
    defs = {**schema.get("$defs", {}), model.__name__: schema}
    waiting = [model.__name__]
    while waiting:
        name = waiting.pop(0)
        if name not in seen:
            seen.add(name)
            yield _section(name, defs)
            waiting += [used for field in defs[name]["properties"].values() for used in _used(field)]


def _used(schema: Schema) -> Iterator[str]:
    """Names of the types in `schema`."""
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
    inner = [*schema.get("anyOf", []), *schema.get("patternProperties", {}).values()]
    inner += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for one in inner:
        yield from _used(one)


def _section(name: str, defs: Schema) -> str:
    """One type: what it is, a table of its fields, and its rules."""
    schema = defs[name]
    required = schema.get("required", [])
    lines = [f"### {name}", "", _text(schema, defs), "", "| field | type | default | description |", "|---|---|---|---|"]
    for field, about in schema["properties"].items():
        default = "required" if field in required else _default(about)
        lines.append(f"| `{field}` | {_type(about)} | {default} | {_cell(_text(about, defs))} |")
    if rules := schema.get("x-kubernetes-validations"):
        lines += ["", "Rules:", "", *(f"- {rule['message']}" for rule in rules)]
    return "\n".join(lines) + "\n"


def _text(schema: Schema, defs: Schema) -> str:
    """The description; of a field without one, that of its type."""
    text = schema.get("description") or next((defs[name].get("description", "") for name in _used(schema)), "")
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default is None or default == "" or isinstance(default, dict | list):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _type(schema: Schema) -> str:
    """The type in words, with its bounds."""
    options = [option for option in schema.get("anyOf", [schema]) if option != {"type": "null"}]
    return " or ".join(_bare_type(option) + _bounds(option) for option in options)


def _bounds(schema: Schema) -> str:
    """In brackets, how long or large a value may be."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is not None:
        return f" ({low} to {high})"
    if low is not None:
        return f" (at least {low})"
    if schema.get("pattern") in _NAMED:
        return ""
    most = [f" (at most {schema[key]}{unit})" for key, unit in _MOST.items() if key in schema]
    return "".join(most)


def _bare_type(schema: Schema) -> str:
    """The type in words; the bounds of entries are left out."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_bare_type(schema['items'])}"
    if schema["type"] == "object":
        values = next(iter(schema.get("patternProperties", {}).values()), None) or schema["additionalProperties"]
        return f"map of string to {_bare_type(values)}"
    if schema.get("format") == "date-time":
        return "time"
    return _NAMED.get(schema.get("pattern", ""), str(schema["type"]))
