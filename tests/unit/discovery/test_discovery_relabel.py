"""Each action, by tables. That all is as in Prometheus, e2e/test_relabel.py proves."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pyroscope_operator.api.relabel import RelabelConfig
from pyroscope_operator.discovery.relabel import WORK, Dropped, TooMuchWork, process

Labels = dict[str, str]
LABELS = {"a": "foo", "b": "bar", "c": "baz", "__x": "1"}


def steps(*fields: dict[str, Any]) -> tuple[RelabelConfig, ...]:
    return tuple(RelabelConfig.model_validate(one) for one in fields)


def run(labels: Labels, *fields: dict[str, Any]) -> Labels | Dropped:
    return process(steps(*fields), labels)


def replace(source: str, regex: str = "(.*)", target: str = "d", replacement: str = "$1", **more: Any) -> dict[str, Any]:
    return {"sourceLabels": source.split(), "regex": regex, "targetLabel": target, "replacement": replacement, **more}


@pytest.mark.parametrize(
    ("step", "changed"),
    [
        pytest.param(replace("a"), {"d": "foo"}, id="copy"),
        pytest.param(replace("a b"), {"d": "foo;bar"}, id="join"),
        pytest.param(replace("a b", separator=""), {"d": "foobar"}, id="join with nothing"),
        pytest.param(replace("a nothing b"), {"d": "foo;;bar"}, id="join with what is not there"),
        pytest.param(replace("a b", "(.*);(.*)", "${2}_$1"), {"bar_foo": "foo"}, id="a name from a group"),
        pytest.param(replace("a b", "(.*);(.*)", "d", "$2-$1"), {"d": "bar-foo"}, id="groups"),
        pytest.param(replace("a", "f(?P<rest>.*)", "d", "$rest"), {"d": "oo"}, id="a named group"),
        pytest.param(replace("a", "fo"), {}, id="part of the value is no match"),
        pytest.param(replace("a", "o+", "d", "x"), {}, id="in the middle is no match"),
        pytest.param(replace("a", "f(x)?.*", "a"), {"a": ""}, id="an empty result removes"),
        pytest.param(replace("nothing", "(.*)", "a", ""), {"a": ""}, id="removed by nothing"),
        pytest.param(replace("nothing", "(.+)", "a", "x"), {}, id="nothing does not match"),
        pytest.param(replace("", "(.*)", "d", "x"), {"d": "x"}, id="a constant"),
        pytest.param(replace("a", "(.*)", "d", "$$1"), {"d": "$1"}, id="a dollar"),
        pytest.param(replace("a b", "foo;(.*)", "${9}"), {}, id="an empty name"),
        pytest.param(replace("__x", "(.*)", "$1"), {}, id="a name that starts with a digit"),
        pytest.param(replace("a", "f(.*)", "x_$1", "é"), {"x_oo": "é"}, id="text that is not ASCII"),
        pytest.param(
            {"action": "hashmod", "sourceLabels": ["c"], "targetLabel": "d", "modulus": 1000}, {"d": "976"}, id="hashmod"
        ),
        pytest.param({"action": "lowercase", "sourceLabels": ["a"], "targetLabel": "a"}, {}, id="lowercase"),
        pytest.param({"action": "Uppercase", "sourceLabels": ["a", "b"], "targetLabel": "a"}, {"a": "FOO;BAR"}, id="uppercase"),
        pytest.param({"action": "uppercase", "sourceLabels": ["no"], "targetLabel": "a"}, {"a": ""}, id="uppercase of nothing"),
        pytest.param(
            {"action": "labelmap", "regex": "([ab])", "replacement": "x_$1"}, {"x_a": "foo", "x_b": "bar"}, id="labelmap"
        ),
        pytest.param({"action": "labelmap", "regex": "[ab]", "replacement": "d"}, {"d": "bar"}, id="labelmap: the last one wins"),
        pytest.param({"action": "labelmap", "regex": "(a)", "replacement": "$2"}, {"": "foo"}, id="labelmap to no name"),
        pytest.param(
            {"action": "labelmap", "regex": "q)|(?:_)|(q", "replacement": "y"}, {"yyx": "1"}, id="labelmap by an odd regex"
        ),
        pytest.param({"action": "labeldrop", "regex": "[ab]"}, {"a": "", "b": ""}, id="labeldrop"),
        pytest.param({"action": "labelkeep", "regex": "[ab]"}, {"c": "", "__x": ""}, id="labelkeep"),
        pytest.param({"action": "LabelKeep", "regex": ".*"}, {}, id="labelkeep all"),
    ],
)
def test_labels(step: dict[str, Any], changed: Labels) -> None:
    """An empty value in `changed` stands for a label that is gone."""
    assert run(LABELS, step) == {name: value for name, value in {**LABELS, **changed}.items() if value}


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        ({"action": "keep", "sourceLabels": ["a"], "regex": "foo|bar"}, True),
        ({"action": "keep", "sourceLabels": ["a"], "regex": "fo"}, False),
        ({"action": "Keep", "sourceLabels": ["none"], "regex": ".+"}, False),
        ({"action": "drop", "sourceLabels": ["a"], "regex": "foo|bar"}, False),
        ({"action": "drop", "sourceLabels": ["a", "b"], "regex": "foo"}, True),
        ({"action": "drop", "sourceLabels": ["none"]}, False),
        ({"action": "keepequal", "sourceLabels": ["a"], "targetLabel": "a"}, True),
        ({"action": "keepequal", "sourceLabels": ["a"], "targetLabel": "b"}, False),
        ({"action": "KeepEqual", "sourceLabels": ["none"], "targetLabel": "nothing"}, True),
        ({"action": "dropequal", "sourceLabels": ["a"], "targetLabel": "a"}, False),
        ({"action": "dropequal", "sourceLabels": ["a", "b"], "targetLabel": "a"}, True),
    ],
)
def test_targets(step: dict[str, Any], kept: bool) -> None:
    assert run(LABELS, step) == (LABELS if kept else Dropped(0, step["action"].lower()))


def test_the_first_step_that_drops_is_told() -> None:
    found = run(LABELS, replace("a"), {"action": "labeldrop", "regex": "b"}, {"action": "Drop", "sourceLabels": ["b"]})
    assert str(found) == "dropped by relabelings[2] (drop)"


def test_steps_see_what_those_before_them_made() -> None:
    chain = (
        replace("a", target="__tmp"),
        replace("__tmp b", "(.*);(.*)", "$1", "$2"),
        {"action": "labelmap", "regex": "f(.*)", "replacement": "g$1"},
        {"action": "labeldrop", "regex": "foo|[abc]|__.*"},
    )
    assert run(LABELS, *chain) == {"goo": "bar"}


def test_a_label_that_was_written_is_mapped_behind_the_others() -> None:
    mapped = {"action": "labelmap", "regex": "a|b", "replacement": "d"}
    assert run({"a": "1", "b": "2"}, mapped) == {"a": "1", "b": "2", "d": "2"}
    assert run({"a": "1", "b": "2"}, replace("a", target="a"), mapped) == {"a": "1", "b": "2", "d": "1"}


@pytest.mark.parametrize(
    ("value", "lower", "upper"),
    [
        ("Straße", "straße", "STRAßE"),
        ("İ", "i", "İ"),
        ("ΑΣ", "ασ", "ΑΣ"),
        ("ﬁ", "ﬁ", "ﬁ"),
        ("ᾳ", "ᾳ", "ᾼ"),
        ("ǆ", "ǆ", "Ǆ"),
        ("漢", "漢", "漢"),
    ],
)
def test_case_is_changed_character_by_character(value: str, lower: str, upper: str) -> None:
    both = [{"action": action, "sourceLabels": ["v"], "targetLabel": action} for action in ("lowercase", "uppercase")]
    assert run({"v": value}, *both) == {"v": value, "lowercase": lower, "uppercase": upper}


def test_what_is_given_stays_as_it_is() -> None:
    given = {"a": "x", "empty": ""}
    assert run(given, replace("a", target="b"), {"action": "labeldrop", "regex": "a"}) == {"b": "x"}
    assert given == {"a": "x", "empty": ""}


_LONG = {"long": "x" * 200_000}
_NAMES = {f"{'name' * 20}_{number}": "v" for number in range(100)}


@pytest.mark.parametrize(
    ("labels", "step"),
    [
        pytest.param(
            LABELS, {"action": "labelmap", "regex": "(.*)", "replacement": "step_$1"}, id="twice as many labels each time"
        ),
        pytest.param(LABELS, replace("a", target="a", replacement="$1" * 1000), id="1000 times as long each time"),
        pytest.param(_LONG, replace(" ".join(["long"] * 30)), id="joined"),
        pytest.param(_LONG, {"action": "uppercase", "sourceLabels": ["long"] * 30, "targetLabel": "a"}, id="upper case"),
        pytest.param(_LONG, {"action": "hashmod", "sourceLabels": ["long"] * 30, "targetLabel": "a", "modulus": 2}, id="hashed"),
        pytest.param(_LONG, {"action": "keepequal", "sourceLabels": ["long"] * 30, "targetLabel": "none"}, id="compared"),
        pytest.param(_LONG, replace("long", "(.*x.{10}){30}.*"), id="slow pattern"),
        pytest.param(_NAMES, {"action": "labeldrop", "regex": ".*_.{1000}"}, id="slow pattern for names"),
        pytest.param(
            _NAMES, {"action": "labelmap", "regex": "zz)|(?:.)|(zz", "replacement": "$1" * 1000}, id="many replacements in a name"
        ),
    ],
)
def test_work_is_bounded(labels: Labels, step: dict[str, Any]) -> None:
    """50 steps, as many as an object may have. CPU time is 20 ms on a slow machine; a bound that is missing costs seconds."""
    chain = steps(
        *[{**step, "replacement": one.replace("step", f"x{i}")} if (one := step.get("replacement")) else step for i in range(50)]
    )
    started = time.process_time()
    try:
        found = process(chain, labels)
    except TooMuchWork as error:
        assert 0 <= error.step < 50
    else:
        assert isinstance(found, Dropped)
    assert time.process_time() - started < 1


def test_the_step_that_was_too_much_is_told() -> None:
    cheap, dear = replace("a"), replace("long long long")
    with pytest.raises(TooMuchWork) as error:
        process(steps(cheap, cheap, dear), LABELS | _LONG)
    assert error.value.step == 2


def test_usual_work_is_below_the_bound() -> None:
    """50 steps, nine of them on all names of a pod with 60 long labels and 30 annotations."""
    meta, one = "__meta_kubernetes_pod_", "label_app_kubernetes_io_some_label_01"
    kinds = {"label": (60, "v" * 63), "annotation": (30, "some text " * 6)}
    labels = {
        f"{meta}{kind}{present}_app_kubernetes_io_some_{kind}_{number:02}": "true" if present else value
        for kind, (count, value) in kinds.items()
        for number in range(count)
        for present in ("", "present")
    }
    kept = {"action": "keep", "sourceLabels": [meta + one], "regex": "v+|other"}
    replaced = {"sourceLabels": [meta + one] * 2, "regex": r"([^:]+)(?::\d+)?;(.+)", "targetLabel": "x", "replacement": "$1-$2"}
    names = [
        {"action": "labelmap", "regex": f"{meta}label_(.+)", "replacement": "k8s_$1"},
        {"action": "labeldrop", "regex": "k8s_app_kubernetes_io_.*|pod_template_hash|controller_revision_hash"},
        {"action": "labeldrop", "regex": f"{meta}(label|annotation)present_.+"},
    ]
    found = process(steps(*[kept] * 10, *[replaced] * 31, *names * 3), labels, WORK)
    assert isinstance(found, dict) and len(found["x"]) == 2 * 63 + 1
