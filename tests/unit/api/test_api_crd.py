"""From models to a CustomResourceDefinition. Only a real API server proves the result: see the e2e tests."""

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import yaml
from cases import VALID
from pydantic import Field

from pyroscope_operator.api import crd
from pyroscope_operator.api.base import ApiModel, Rule
from pyroscope_operator.api.formats import HINTS
from pyroscope_operator.api.kinds import KINDS, SCRAPE
from pyroscope_operator.api.load import load_scrape

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "exclusiveMinimum": 0},
        {"const": "a"},
        {"type": "array", "prefixItems": [{"type": "string"}]},
        {"type": "array", "uniqueItems": True},
        {"oneOf": [{"type": "string"}]},
        {"allOf": [{"type": "string"}]},
        {"not": {"type": "string"}},
        {"anyOf": [{"type": "string"}, {"type": "boolean"}]},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "patternProperties": {"^a": {}, "^b": {}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {"examples": [1]}}}},
    ],
    ids=lambda schema: next(reversed(schema)),
)
def test_unknown_keywords_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no structural form"):
        crd.structural(schema, {})


def test_the_error_names_the_place() -> None:
    schema = {"properties": {"a": {"items": {"properties": {"b": {"const": 1}}}}}}
    with pytest.raises(ValueError, match=r"^X\.a\[\]\.b: no structural form of 'const'"):
        crd.structural(schema, {}, "X")


class Inner(ApiModel):
    """Inner text."""

    number: Annotated[int, Field(ge=1)] = 3
    """Of what."""


class Outer(ApiModel):
    """Outer text,
    on two lines.

    Second paragraph.
    """

    inner: Inner = Inner()
    maybe: Inner | None = None
    """Other text."""
    some: tuple[Inner, ...] = ()

    rules: ClassVar[tuple[Rule, ...]] = (Rule("maybe", "must be", "has(self.maybe)", lambda o: o.maybe is not None),)


def test_structural_form() -> None:
    number = {"type": "integer", "description": "Of what.", "minimum": 1, "default": 3}
    inner = {"type": "object", "description": "Inner text.", "properties": {"number": number}}
    assert crd.model_schema(Outer) == {
        "description": "Outer text, on two lines.\n\nSecond paragraph.",
        "type": "object",
        "properties": {
            "inner": {**inner, "default": {}},
            "maybe": {**inner, "description": "Other text."},
            "some": {"type": "array", "items": inner},
        },
        "x-kubernetes-validations": [{"rule": "has(self.maybe)", "message": "must be", "fieldPath": ".maybe"}],
    }


def test_an_objects_default_must_be_that_of_its_fields() -> None:
    class Odd(ApiModel):
        inner: Inner = Inner(number=4)

    with pytest.raises(ValueError, match=r"Odd\.inner: the default of an object"):
        crd.model_schema(Odd)


def nodes(schema: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    """All schemas in `schema` with their paths."""
    children = [(f"{path}.{name}", child) for name, child in schema.get("properties", {}).items()]
    children += [(f"{path}[]", schema[key]) for key in ("items", "additionalProperties") if key in schema]
    return [(path, schema)] + [node for where, child in children for node in nodes(child, where)]


@pytest.fixture(params=KINDS, ids=str)
def spec_nodes(request: pytest.FixtureRequest) -> list[tuple[str, dict[str, Any]]]:
    return nodes(crd.object_schema(request.param)["properties"]["spec"], "spec")


def test_everything_is_bounded(spec_nodes: list[tuple[str, dict[str, Any]]]) -> None:
    for path, node in spec_nodes:
        if node.get("type") == "string":
            assert "enum" in node or "maxLength" in node, path
        if node.get("type") == "array":
            assert "maxItems" in node, path
            assert "x-kubernetes-list-type" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_every_field_is_described(spec_nodes: list[tuple[str, dict[str, Any]]]) -> None:
    fields = [(path, node) for path, node in spec_nodes if not path.endswith("[]")]
    assert [path for path, node in fields if not node.get("description")] == []


def test_every_rule_names_an_existing_field(spec_nodes: list[tuple[str, dict[str, Any]]]) -> None:
    known = {path for path, _ in spec_nodes}
    wanted = [path + rule.get("fieldPath", "") for path, node in spec_nodes for rule in node.get("x-kubernetes-validations", [])]
    assert len(wanted) > 15
    assert set(wanted) <= known


def test_every_pattern_has_a_rule_that_says_the_fix(spec_nodes: list[tuple[str, dict[str, Any]]]) -> None:
    patterns = [(path, node) for path, node in spec_nodes if "pattern" in node]
    assert len(patterns) > 20
    for path, node in patterns:
        rule = node["x-kubernetes-validations"][-1]
        assert rule["message"] == HINTS[node["pattern"]], path
        assert json.dumps(node["pattern"]) in rule["rule"], path


def test_names_and_columns() -> None:
    made = crd.definition(SCRAPE)
    (version,) = made["spec"]["versions"]
    columns = {column["name"]: column.get("priority", 0) for column in version["additionalPrinterColumns"]}
    assert made["metadata"]["name"] == "pyroscopescrapes.pyroscope-operator.dev"
    assert made["spec"]["names"]["shortNames"] == ["pyscrape"]
    assert made["spec"]["names"]["categories"] == ["pyroscope"]
    assert version["subresources"] == {"status": {}}
    assert columns == {"Ready": 0, "Targets": 0, "Delivering": 0, "Interval": 1, "Reason": 1, "Message": 1, "Age": 0}


def filled(schema: dict[str, Any], value: Any) -> Any:
    """`value` with the defaults that the API server fills in."""
    for name, field in schema.get("properties", {}).items():
        if "default" in field:
            value.setdefault(name, yaml.safe_load(yaml.safe_dump(field["default"])))
        if name in value:
            filled(field, value[name])
    return value


def test_defaults_of_the_crd_are_those_of_the_model() -> None:
    manifest = VALID[0].manifest()
    spec = filled(crd.object_schema(SCRAPE)["properties"]["spec"], {**manifest["spec"]})
    dumped = load_scrape(manifest).spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    without_empty = {key: value for key, value in dumped.items() if value not in ([], {})}
    del without_empty["profilingConfig"]["custom"], without_empty["selector"]["matchExpressions"]
    assert spec == without_empty


def test_yaml_has_no_anchors_and_is_read_back() -> None:
    for kind, text in zip(KINDS, crd.documents().values(), strict=True):
        assert yaml.safe_load(text) == crd.definition(kind)
        assert "&id" not in text
