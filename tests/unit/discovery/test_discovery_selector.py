from __future__ import annotations

from typing import Any

import pytest
from builders import spec

from pyroscope_operator.discovery.selector import matches, namespaces, unmet


def _expression(operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "tier", "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("selector", "matching", "others"),
    [
        pytest.param({}, [{}, {"tier": "web"}], [], id="everything"),
        pytest.param(
            {"matchLabels": {"tier": "web"}}, [{"tier": "web", "x": "y"}], [{}, {"tier": ""}, {"tier": "db"}], id="matchLabels"
        ),
        pytest.param({"matchLabels": {"tier": ""}}, [{"tier": ""}], [{}, {"tier": "web"}], id="matchLabels, empty value"),
        pytest.param(
            {"matchLabels": {"tier": "web", "app": "a"}},
            [{"tier": "web", "app": "a"}],
            [{"tier": "web"}, {"app": "a"}],
            id="both",
        ),
        pytest.param(
            _expression("In", "web", "db"), [{"tier": "web"}, {"tier": "db"}], [{}, {"tier": ""}, {"tier": "x"}], id="In"
        ),
        pytest.param(_expression("In", "web", ""), [{"tier": "web"}, {"tier": ""}], [{}, {"tier": "x"}], id="In, empty value"),
        pytest.param(_expression("NotIn", "web"), [{}, {"tier": ""}, {"tier": "db"}], [{"tier": "web"}], id="NotIn"),
        pytest.param(_expression("NotIn", ""), [{}, {"tier": "db"}], [{"tier": ""}], id="NotIn, empty value"),
        pytest.param(_expression("Exists"), [{"tier": ""}, {"tier": "web"}], [{}, {"Tier": "web"}], id="Exists"),
        pytest.param(_expression("DoesNotExist"), [{}, {"other": "x"}], [{"tier": ""}, {"tier": "web"}], id="DoesNotExist"),
        pytest.param(
            {"matchLabels": {"app": "a"}, **_expression("Exists")},
            [{"app": "a", "tier": "web"}],
            [{"app": "a"}, {"tier": "web"}],
            id="labels and expressions",
        ),
        pytest.param(
            {"matchExpressions": [*_expression("Exists")["matchExpressions"], *_expression("NotIn", "db")["matchExpressions"]]},
            [{"tier": "web"}],
            [{}, {"tier": "db"}],
            id="two expressions on one key",
        ),
    ],
)
def test_matches(selector: dict[str, Any], matching: list[dict[str, str]], others: list[dict[str, str]]) -> None:
    read = spec(selector=selector).selector
    assert read is not None
    assert [labels for labels in matching + others if matches(read, labels)] == matching
    assert [labels for labels in matching + others if not list(unmet(read, labels))] == matching


@pytest.mark.parametrize(
    ("selector", "labels", "said"),
    [
        (
            {"matchLabels": {"app": "a", "tier": "web"}},
            {"app": "a", "tier": "db"},
            ['matchLabels wants tier="web", the pod has tier="db"'],
        ),
        (
            {"matchLabels": {"app": "a"}, **_expression("Exists")},
            {},
            [
                'matchLabels wants app="a", the pod has no label app',
                "matchExpressions wants tier Exists, the pod has no label tier",
            ],
        ),
        (_expression("In", "web", "db"), {}, ["matchExpressions wants tier In (web, db), the pod has no label tier"]),
        (_expression("NotIn", "web"), {"tier": "web"}, ['matchExpressions wants tier NotIn (web), the pod has tier="web"']),
        (_expression("DoesNotExist"), {"tier": ""}, ['matchExpressions wants tier DoesNotExist, the pod has tier=""']),
    ],
)
def test_what_is_not_met(selector: dict[str, Any], labels: dict[str, str], said: list[str]) -> None:
    read = spec(selector=selector).selector
    assert read is not None
    assert list(unmet(read, labels)) == said


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param(None, {"shop"}, id="default"),
        pytest.param({}, {"shop"}, id="empty"),
        pytest.param({"any": False}, {"shop"}, id="any: false"),
        pytest.param({"any": True}, None, id="any"),
        pytest.param({"matchNames": ["a", "b"]}, {"a", "b"}, id="matchNames, without its own"),
        pytest.param({"matchNames": ["shop"]}, {"shop"}, id="matchNames, its own"),
    ],
)
def test_namespaces(selector: dict[str, Any] | None, expected: set[str] | None) -> None:
    assert namespaces(spec(namespaceSelector=selector), "shop") == expected
