"""Each alert has what whoever is on call needs, and the panels of the dashboard stand side by side."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyroscope_operator.api import duration
from pyroscope_operator.settings import Settings

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/alerts.md").read_text()
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((ROOT / "alerts/pyroscope-operator.yaml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "dashboards/pyroscope-operator.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"].keys() == {"severity"}
    assert 0 <= duration.parse(rule["for"]) <= 900
    texts = rule["annotations"]
    assert texts.keys() == {"summary", "description", "runbook"}
    assert len(texts["summary"]) < 120
    assert len(texts["description"].split()) > 10
    assert texts["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"
    assert f"\n## {rule['alert']}\n" in PAGE
    section = PAGE.split(f"\n## {rule['alert']}\n")[1].split("\n## ")[0].strip()
    assert section.startswith("Critical") == (rule["labels"]["severity"] == "critical")


def test_the_page_has_no_other_alerts_and_only_links_that_lead_somewhere() -> None:
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == [rule["alert"] for rule in RULES]
    anchors = {rule["alert"].lower() for rule in RULES}
    for link in re.findall(r"\]\((.*?)\)", PAGE):
        file, _, anchor = link.partition("#")
        assert not file or (ROOT / "docs" / file).resolve().is_file(), link
        assert not anchor or anchor in anchors, link


def test_the_flags_that_the_page_names_exist() -> None:
    flags = {f"--{name.replace('_', '-')}" for name in Settings.model_fields}
    for flag in re.findall(r"`(--[a-z-]+[a-z])`", PAGE):
        assert flag in flags, flag


def test_panels_do_not_overlap() -> None:
    places = [set(_cells(panel["gridPos"])) for panel in PANELS]
    assert not [pair for pair in combinations(places, 2) if pair[0] & pair[1]]
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    assert place["x"] + place["w"] <= 24
    return [(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])]


def test_every_panel_is_about_the_operators_that_were_chosen() -> None:
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "namespace", "job", "instance"}
    for panel in PANELS:
        if panel["type"] == "row":
            continue
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            selectors = re.findall(r"\{([^}]*)\}", target["expr"])
            assert selectors
            for selector in selectors:
                assert 'namespace=~"$namespace", job=~"$job", instance=~"$instance"' in selector
