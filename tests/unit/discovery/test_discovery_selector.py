from __future__ import annotations

from typing import Any

import pytest
from builders import spec

from pyroscope_operator.discovery.selector import Scope, matches, namespaces, needs_namespaces, unmet


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
    scope = namespaces(spec(namespaceSelector=selector), "shop")
    assert scope == Scope(None if expected is None else frozenset(expected))
    assert not needs_namespaces(spec(namespaceSelector=selector))


@pytest.mark.parametrize(
    ("selector", "inside", "outside"),
    [
        pytest.param(
            {"matchLabels": {"tier": "web"}},
            [("shop", {"tier": "web"}), ("a", {"tier": "web", "x": "y"})],
            [("shop", {}), ("a", {"tier": "db"})],
            id="matchLabels: of all namespaces, not of its own only",
        ),
        pytest.param(_expression("NotIn", "db"), [("a", {}), ("b", {"tier": "web"})], [("a", {"tier": "db"})], id="expressions"),
        pytest.param(
            {"matchNames": ["a"], "matchLabels": {"tier": "web"}},
            [("a", {"tier": "web"})],
            [("a", {}), ("b", {"tier": "web"})],
            id="names and labels: both must hold",
        ),
        pytest.param(
            {"matchLabels": {"x": "y"}, **_expression("Exists")},
            [("a", {"x": "y", "tier": ""})],
            [("a", {"x": "y"}), ("a", {"tier": ""})],
            id="labels and expressions: both must hold",
        ),
    ],
)
def test_namespaces_by_labels(
    selector: dict[str, Any], inside: list[tuple[str, dict[str, str]]], outside: list[tuple[str, dict[str, str]]]
) -> None:
    read = spec(namespaceSelector=selector)
    assert [named for named in inside + outside if namespaces(read, "shop").has(*named)] == inside
    assert needs_namespaces(read)


def test_who_selects_no_pods_needs_no_namespaces() -> None:
    assert not needs_namespaces(spec(staticTargets=[{"address": "db:1"}], namespaceSelector={"matchLabels": {"a": "b"}}))


@pytest.mark.parametrize(
    ("scope", "within"),
    [
        (Scope(frozenset({"shop"})), True),
        (Scope(frozenset()), True),
        (Scope(frozenset({"shop", "a"})), False),
        (Scope(None), False),
    ],
)
def test_within(scope: Scope, within: bool) -> None:
    assert scope.within(frozenset({"shop"})) is within
