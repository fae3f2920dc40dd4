"""What the hand-written pages say of fields and tests is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e import access_table
from pyroscope_operator.api import API_VERSION
from pyroscope_operator.api.crd import object_schema
from pyroscope_operator.api.kinds import SCRAPE
from pyroscope_operator.check.judgement import judge
from pyroscope_operator.settings import Settings

ROOT = Path(__file__).parents[3]
LIMITS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/limits.md").read_text(), re.DOTALL)
CONNECTIONS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/connections.md").read_text(), re.DOTALL)
ARGUMENTS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/arguments.md").read_text().splitlines()
    if line.startswith("|") and not re.match(r"\| (---|argument|block|what)", line)
]
CODE = re.compile(r"`([^`]+)`")


def whole(shown: str) -> list[dict[str, Any]]:
    """The objects that an example stands for: fields of both kinds, where it is no object by itself."""
    found = yaml.safe_load(shown)
    if "kind" in found:
        return [found]
    head = {"apiVersion": API_VERSION, "metadata": {"name": "shown", "namespace": "shop"}}
    objects = [{**head, "kind": "PyroscopeScrape", "spec": {"selector": {}, **found}}]
    if "forwardTo" not in found:
        endpoint = {"name": "a", "url": "https://a.example.com", **{k: v for k, v in found.items() if k != "scheme"}}
        objects.append({**head, "kind": "PyroscopeWrite", "spec": {"endpoints": [endpoint]}})
    return objects


@pytest.mark.parametrize("shown", CONNECTIONS, ids=[shown.split(":")[0] for shown in CONNECTIONS])
def test_every_example_of_a_connection_is_accepted(shown: str) -> None:
    for manifest in whole(shown):
        assert judge(manifest) == []


@pytest.mark.parametrize("shown", LIMITS)
def test_every_example_of_a_limit_is_accepted(shown: str) -> None:
    spec = {"selector": {}, **yaml.safe_load(shown)}
    assert judge({"apiVersion": API_VERSION, "kind": "PyroscopeScrape", "metadata": {"name": "shown"}, "spec": spec}) == []


def test_the_limits_are_those_of_the_settings() -> None:
    text = (ROOT / "docs/limits.md").read_text()
    for name in ("target_limit", "body_size_limit", "min_interval"):
        default = Settings.model_fields[name].default
        shown = f"{default:,}" if isinstance(default, int) else default
        assert f"`--{name.replace('_', '-')}` ({shown}" in text


def test_every_field_of_a_connection_has_an_example() -> None:
    shown = "".join(CONNECTIONS)
    fields = object_schema(SCRAPE)["properties"]["spec"]["properties"]
    rest = list(fields)[list(fields).index("basicAuth") :]
    for name in [*rest, *fields["tlsConfig"]["properties"], *fields["oauth2"]["properties"]]:
        assert f"{name}:" in shown or f"{name} " in shown, name


def named_tests(cell: str) -> Iterator[tuple[Path, str, str]]:
    for name in CODE.findall(cell):
        file, _, function = name.partition("::")
        yield ROOT / file, *function.partition("[")[::2]


@pytest.mark.parametrize("row", ARGUMENTS, ids=[" ".join(row[:-1])[:60] for row in ARGUMENTS])
def test_the_tests_that_are_said_to_prove_an_argument_exist(row: list[str]) -> None:
    if row[-1] == "—":
        assert row[0] == "`clustering`"
        return
    named = list(named_tests(row[-1]))
    assert named, "names no test"
    for file, function, case in named:
        assert f"def {function}(" in file.read_text(), f"{file.name} has no {function}"
        assert not case or case.strip("]") in {row.name for row in access_table.TABLE}, case


@pytest.mark.parametrize("row", [row for row in ARGUMENTS if len(row) > 2], ids=lambda row: " ".join(row[:2]))
def test_the_fields_that_take_the_place_of_arguments_exist(row: list[str]) -> None:
    for name in CODE.findall(row[-2]):
        if name.startswith("--"):
            continue
        schema = object_schema(SCRAPE)["properties"]["spec"]
        for part in name.split("."):
            schema = schema["properties"][part]
