from __future__ import annotations

from typing import cast

import pytest

from pyroscope_operator.model.labels import Labels, sanitize


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("app", "app"),
        ("app.kubernetes.io/name", "app_kubernetes_io_name"),
        ("with-dash", "with_dash"),
        ("Mixed_Case9", "Mixed_Case9"),
        ("9lives", "_9lives"),
        ("größe", "gr__e"),
        ("٣x", "_x"),  # a digit, but not of ASCII
        ("a b\n", "a_b_"),
        ("", ""),
    ],
)
def test_sanitize(name: str, safe: str) -> None:
    assert sanitize(name) == safe


def test_empty_values_do_not_exist() -> None:
    labels = Labels({"a": "1", "b": ""})
    assert dict(labels) == {"a": "1"}
    assert "b" not in labels
    assert len(labels) == 1
    assert labels == Labels({"a": "1"})


def test_order_of_the_source_has_no_effect() -> None:
    one, other = Labels([("b", "2"), ("a", "1")]), Labels({"a": "1", "b": "2"})
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1
    assert list(one) == ["a", "b"]
    assert one.pairs == (("a", "1"), ("b", "2"))
    assert repr(one) == '{a="1", b="2"}'


@pytest.mark.parametrize("other", [Labels({"a": "2"}), Labels({"b": "1"}), Labels(), {"a": "1"}, None])
def test_unequal(other: object) -> None:
    assert Labels({"a": "1"}) != other


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"a": "1", "b": "2"}),
        ({"c": "3"}, {"a": "1", "b": "2", "c": "3"}),
        ({"a": "9"}, {"a": "9", "b": "2"}),
        ({"a": ""}, {"b": "2"}),
        ({"z": ""}, {"a": "1", "b": "2"}),
    ],
)
def test_merged(more: dict[str, str], expected: dict[str, str]) -> None:
    labels = Labels({"a": "1", "b": "2"})
    assert dict(labels.merged(more)) == expected
    assert dict(labels) == {"a": "1", "b": "2"}


def test_a_missing_label_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Labels({"a": ""})["a"]
    assert Labels().get("a") is None


def test_the_source_is_copied_and_the_set_can_not_be_changed() -> None:
    source = {"a": "1"}
    labels = Labels(source)
    source["a"] = "2"
    assert labels["a"] == "1"
    with pytest.raises(TypeError):
        cast("dict[str, str]", labels)["a"] = "3"
