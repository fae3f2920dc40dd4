"""The table of specs, written as files: `check` says what the operator would say, and where it stands."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from cases import ALL, CASES, WRITES, Case
from check_files import findings
from lines import line_of

from pyroscope_operator.check.finding import Finding
from pyroscope_operator.engine.access import Resolver
from pyroscope_operator.engine.store import ScrapeObject, WriteObject
from pyroscope_operator.engine.verdict import Policy, judge
from pyroscope_operator.engine.writes import judge_write
from pyroscope_operator.model.access import Access

TENANT, STANDALONE = Policy(frozenset({"platform"}), 1), Policy(None, 1)


def judged(text: str, case: Case) -> list[Finding]:
    """What `check` finds; what it notes beside a reason that the operator would give first is left out."""
    return [found for found in findings(text) if not found.note or case.reason == "NamespaceNotAllowed"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_operator(case: Case) -> None:
    found = ScrapeObject.from_manifest(case.manifest())
    verdict = judge(found, TENANT)
    assert verdict.reason == case.reason
    assert case.says in verdict.message
    assert all(path in verdict.message for path in case.paths)
    assert judge(found, STANDALONE).reason == case.privileged_reason


@pytest.mark.parametrize("case", WRITES, ids=str)
def test_the_operator_about_writes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyroscope_operator.engine.access.resolve", lambda *_, **__: Access())
    verdict, _ = judge_write(WriteObject.from_manifest(case.manifest()), Resolver(lambda _: {}))
    assert verdict.reason == case.reason
    assert case.says in verdict.message
    assert all(path in verdict.message for path in case.paths)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_yaml(case: Case) -> None:
    text = yaml.safe_dump(case.manifest(), sort_keys=False)
    found = judged(text, case)
    assert sorted((f.path, f.reason) for f in found) == sorted((path, case.reason) for path in case.paths)
    for finding in found:
        assert finding.at.line == line_of(text, finding.path), text
        line = text.splitlines()[finding.at.line - 1]
        field = re.split(r"[.\[\]]", finding.path)[-1]
        assert not field or field not in line or line[finding.at.column - 1 :].startswith(field), line
        assert finding.note == (case.reason == "NamespaceNotAllowed")
        assert finding.subject == f"{case.kind} default/case"
        assert case.says in finding.message


@pytest.mark.parametrize("case", ALL, ids=str)
@pytest.mark.parametrize("form", ["json", "compact json", "json with tabs", "flow"])
def test_other_forms(case: Case, form: str) -> None:
    match form:
        case "flow":
            text = yaml.safe_dump(case.manifest(), default_flow_style=True, width=60)
        case "compact json":
            text = json.dumps(case.manifest(), separators=(",", ":"))
        case _:
            text = json.dumps(case.manifest(), indent="\t" if "tabs" in form else 1)
    assert sorted((f.path, f.reason) for f in judged(text, case)) == sorted((path, case.reason) for path in case.paths)
