"""Valid and invalid specs, as the models see them. The e2e tests give the same table to an API server."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from cases import ALL, CASES, INVALID, MODEL_ONLY, VALID, WRITE_INVALID, WRITE_MODEL_ONLY, WRITE_VALID, WRITES, Case

from pyroscope_operator.api import crd
from pyroscope_operator.api.kinds import KINDS, SCRAPE, Kind, kind_meant, kind_named
from pyroscope_operator.api.load import MAX_PROBLEMS, load, load_scrape, load_write
from pyroscope_operator.errors import SpecError

EXAMPLES = Path(__file__).parents[3] / "docs/examples"
ALTERNATIVES = {"basicAuth", "authorization", "bearerTokenSecret", "maxTargets"}
"""Fields that exclude others of the full example."""


def problems(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        load(kind_meant(manifest.get("kind")) or SCRAPE, manifest)
    return [(problem.path, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize("case", VALID + WRITE_VALID, ids=str)
def test_valid(case: Case) -> None:
    kind = kind_named(case.kind)
    assert kind is not None
    assert load(kind, case.manifest()).ref == ("default", "case")


@pytest.mark.parametrize("case", INVALID + MODEL_ONLY + WRITE_INVALID + WRITE_MODEL_ONLY, ids=str)
def test_invalid(case: Case) -> None:
    found = problems(case.manifest())
    assert tuple(path for path, _ in found) == case.paths
    assert case.says in found[0][1]


def test_the_table() -> None:
    assert len({case.name for case in ALL}) == len(ALL)
    assert len(CASES) >= 60
    assert len(WRITES) >= 30
    for case in ALL:
        assert bool(case.paths) == bool(case.says) == (case.reason != "Accepted"), case
        assert case.refused == (case in INVALID + WRITE_INVALID), case
        assert bool(case.why_accepted) == (case in MODEL_ONLY + WRITE_MODEL_ONLY), case
    assert {case.reason for case in VALID} == {"Accepted", "NamespaceNotAllowed"}
    assert {case.reason for case in INVALID + MODEL_ONLY} == {"InvalidSpec"}


def test_several_problems_are_told_at_once() -> None:
    found = problems(Case("", {"selector": {}, "port": 0, "interval": 5, "nonsense": 1}).manifest())
    assert {path for path, _ in found} == {"spec.port", "spec.interval", "spec.nonsense"}


def test_problems_are_bounded() -> None:
    found = problems(Case("", {f"wrong{n}": "x" * 1000 for n in range(100)} | {"y" * 1000: 1}).manifest())
    assert len(found) == MAX_PROBLEMS
    assert all(len(path) < 100 and len(message) < 200 for path, message in found)


@pytest.mark.parametrize(
    "spec",
    [
        {"basicAuth": {"password": "hunter2"}},
        {"bearerTokenSecret": {"name": "hunter2!", "key": "hunter2/"}},
        {"proxyUrl": "user:hunter2@proxy"},
        {"headers": [{"name": "X", "value": "hunter2\n"}]},
        {"bearerToken": "hunter2"},
        {"port": "hunter2!"},
        {"scheme": "hunter2"},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_values_are_never_shown(spec: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        load_scrape(Case("", {"selector": {}, **spec}).manifest())
    assert "hunter2" not in f"{caught.value} {caught.value.problems}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("change", "path", "fragment"),
    [
        ({"apiVersion": "pyroscope-operator.dev/v2"}, "apiVersion", "pyroscope-operator.dev/v1alpha1"),
        ({"kind": "PyroscopeScrapes"}, "kind", "PyroscopeScrape"),
        ({"metadata": {}}, "metadata.name", "is required"),
        ({"metadata": {"name": "A"}}, "metadata.name", "lower-case"),
        ({"spec": None}, "spec", "is required"),
        ({"spec": ["selector"]}, "spec", "must be an object with fields"),
        ({"specs": {}}, "specs", "did you mean spec?"),
    ],
)
def test_invalid_objects(change: dict[str, Any], path: str, fragment: str) -> None:
    ((found, message),) = problems({**VALID[0].manifest(), **change})
    assert found == path
    assert fragment in message


def test_status_and_most_metadata_are_not_looked_at() -> None:
    manifest = VALID[0].manifest() | {"status": {"summary": 5, "old": []}}
    manifest["metadata"] |= {"uid": "u", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}]}
    meta = load_scrape(manifest).metadata
    assert (meta.uid, meta.generation, meta.creation_timestamp) == ("u", 3, "2026-01-01T00:00:00Z")


def test_the_same_manifest_gives_an_equal_object_that_cannot_be_changed() -> None:
    first, second = (load_scrape(VALID[0].manifest()) for _ in range(2))
    assert first == second
    with pytest.raises(ValueError, match="frozen"):
        first.spec.suspend = True  # type: ignore[misc]


def example(name: str) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    return manifest


def test_examples_are_valid() -> None:
    assert load_scrape(example("pyroscopescrape-minimal.yaml")).spec.port == "pprof"
    assert load_scrape(example("pyroscopescrape-full.yaml")).spec.oauth2 is not None
    assert load_write(example("pyroscopewrite-minimal.yaml")).spec.endpoints[0].name == "main"
    assert load_write(example("pyroscopewrite-full.yaml")).spec.endpoints[0].oauth2 is not None


def unused(schema: dict[str, Any], value: Any, path: str) -> list[str]:
    """Fields of `schema` that `value` does not have."""
    if "items" in schema:
        entries = [unused(schema["items"], entry, f"{path}[]") for entry in value]
        return sorted(set.intersection(*map(set, entries)))
    missing = [f"{path}.{name}" for name in schema.get("properties", {}) if name not in value]
    children = [(name, child) for name, child in schema.get("properties", {}).items() if name in value]
    return missing + [m for name, child in children for m in unused(child, value[name], f"{path}.{name}")]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_full_example_has_every_field(kind: Kind) -> None:
    schema = crd.object_schema(kind)["properties"]["spec"]
    left = unused(schema, example(f"{kind.name.lower()}-full.yaml")["spec"], "spec")
    left = [path for path in left if path.rpartition(".")[2] not in ALTERNATIVES]
    either = [path for path in left if path.rpartition(".")[2] in {"secret", "configMap"}]
    inner = [path for path in left if ".oauth2." in path]
    assert set(left) == set(either) | set(inner)
