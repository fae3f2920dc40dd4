"""What all API types share: how fields are named, and rules over several fields.

A `Rule` is written once and kept twice: by the API server (as CEL, in the CRD) and by
the model (in the operator, `check` and standalone mode).  Both say the same message
about the same field, so a file means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

RULE_BROKEN = "rule_broken"
"""Type of the pydantic errors made by `broken`; their context holds (path, message) pairs under `problems`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that must hold between several fields of one object."""

    path: str
    """The field to change, by its JSON path in the object that has the rule; empty: the object itself."""
    message: str
    """One sentence that names the field and says the fix."""
    cel: str
    """The rule for the API server. Defaults are filled in before it runs."""
    holds: Callable[[Any], bool]
    """The same rule for a validated model; `cel` and this are tested with the same table of objects."""

    def validation(self) -> dict[str, str]:
        """The rule as an entry of `x-kubernetes-validations`."""
        where = {"fieldPath": f".{self.path}"} if self.path else {}
        return {"rule": self.cel, "message": self.message, **where}


def broken(problems: Sequence[tuple[str, str]]) -> PydanticCustomError:
    """The error that reports `problems`, (path below the validated value, message) each."""
    text = "; ".join(message for _, message in problems)
    return PydanticCustomError(RULE_BROKEN, "{text}", {"text": text, "problems": list(problems)})


class ApiModel(BaseModel):
    """Base of all API types: camelCase in manifests, snake_case in Python, frozen, no unknown fields.

    The text below a field is its description in `kubectl explain` and in docs/api.md.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def all_rules(cls) -> tuple[Rule, ...]:
        """The rules of this type, those of its bases last."""
        return tuple(rule for base in cls.__mro__ for rule in base.__dict__.get("rules", ()))

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        problems = [(rule.path, rule.message) for rule in self.all_rules() if not rule.holds(self)]
        if problems:
            raise broken(problems)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The JSON schema of this type: its own fields before inherited ones, its rules as `x-kubernetes-validations`."""
        made = handler(schema)
        body = handler.resolve_ref_schema(made)
        bases = [base for base in cls.__bases__ if issubclass(base, ApiModel)]
        inherited = {field.alias for base in bases for field in base.model_fields.values()}
        body["properties"] = dict(sorted(body["properties"].items(), key=lambda item: item[0] in inherited))
        if rules := cls.all_rules():
            body["x-kubernetes-validations"] = [rule.validation() for rule in rules]
        return made


@dataclass(frozen=True, slots=True)
class Listed:
    """Annotates a list with its Kubernetes list type: `map` (with its keys), `set` or `atomic`.

    Entries of a `map` must differ in their keys and those of a `set` must differ, as the
    API server demands it; for server-side apply these lists are merged entry by entry.
    """

    kind: str
    keys: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._distinct, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(schema) | {"x-kubernetes-list-type": self.kind}
        return made | {"x-kubernetes-list-map-keys": list(self.keys)} if self.keys else made

    def _distinct(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.kind == "atomic":
            return entries
        ids = [tuple(getattr(entry, key) for key in self.keys) if self.keys else entry for entry in entries]
        what = f"{' and '.join(self.keys)} of" if self.keys else "value as"
        problems = [
            (f"[{index}]", f"has the same {what} entry {first}: remove or rename one of them") for index, first in _repeated(ids)
        ]
        if problems:
            raise broken(problems)
        return entries


def _repeated(ids: Iterable[Any]) -> Iterable[tuple[int, int]]:
    """The index of each repeated id, with that of its first occurrence."""
    seen: dict[Any, int] = {}
    for index, one in enumerate(ids):
        if one in seen:
            yield index, seen[one]
        seen.setdefault(one, index)
