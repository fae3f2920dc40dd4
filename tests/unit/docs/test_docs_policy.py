"""What docs/policy.md says of fields, settings and reasons is so. That its rights suffice is proved by e2e/test_policy.py."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml
from builders import MIB, manifest

from pyroscope_operator.engine import verdict
from pyroscope_operator.engine.store import ScrapeObject
from pyroscope_operator.engine.verdict import Policy, judge
from pyroscope_operator.settings import Settings
from pyroscope_operator.transport import faults

PAGE = (Path(__file__).parents[3] / "docs/policy.md").read_text()
EXAMPLES = re.findall(r"^ {4}(namespaceSelector: .*)$", PAGE, re.MULTILINE)
TABLE = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")][2:]


@pytest.mark.parametrize("shown", EXAMPLES)
def test_examples_are_for_privileged_namespaces(shown: str) -> None:
    found = ScrapeObject.from_manifest(manifest(**yaml.safe_load(shown)))
    assert judge(found, Policy(frozenset({"shop"}), MIB)).accepted
    assert judge(found, Policy(frozenset(), MIB)).reason == "NamespaceNotAllowed"


def test_there_are_examples_and_rows() -> None:
    assert len(EXAMPLES) == 4 and len(TABLE) == 6


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"`--([a-z-]+)", PAGE))))
def test_settings_exist(flag: str) -> None:
    assert flag.replace("-", "_") in Settings.model_fields


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_reasons_exist(row: list[str]) -> None:
    source = "".join(map(inspect.getsource, (verdict, faults)))
    reason = re.match(r"\w+", row[3])
    assert reason and f'"{reason[0]}"' in source
