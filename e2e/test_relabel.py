"""Relabeling is what Prometheus makes of it: thousands of made-up cases go through its own code and through ours.

The last test relabels real pods.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from e2e import relabel_cases
from e2e.conftest import StartApp
from e2e.harness.build import BIN
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import Operator, Receiver
from e2e.harness.wait import eventually
from e2e.relabel_cases import ACTIONS, Case
from pyroscope_operator.api.load import load_scrape
from pyroscope_operator.discovery.relabel import Dropped, process
from pyroscope_operator.errors import SpecError

pytestmark = pytest.mark.usefixtures("binaries")

_SEED = 20261125
_CASES = 4000
_REFUSALS = 2000
_WORK = 10_000_000
"""More than a pod may cost: of 50 odd steps some come to 6 million."""

Answer = dict[str, Any]
"""`labels`, as sorted pairs; `dropped`, the index of the step; or `refused`, why."""


def _prometheus(cases: list[Case]) -> list[Answer]:
    lines = "\n".join(map(json.dumps, cases))
    done = subprocess.run([str(BIN / "relabel")], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def _ours(case: Case) -> Answer:
    steps = [
        {field: value for field, value in step.items() if value or field not in {"targetLabel", "modulus"}}
        for step in case["steps"]
    ]
    try:
        spec = load_scrape({"metadata": {"name": "case"}, "spec": {"selector": {}, "relabelings": steps}}).spec
    except SpecError as error:
        return {"refused": str(error)}
    made = process(spec.relabelings, case["labels"], _WORK)
    return {"dropped": made.step} if isinstance(made, Dropped) else {"labels": [list(pair) for pair in sorted(made.items())]}


def _differences(cases: list[Case]) -> list[tuple[Case, Answer, Answer]]:
    """Cases with both answers, Prometheus's first. Why something is refused is said in other words."""

    def comparable(answer: Answer) -> Answer:
        return {"refused": True} if "refused" in answer else answer

    both = zip(cases, _prometheus(cases), map(_ours, cases), strict=True)
    return [(case, theirs, ours) for case, theirs, ours in both if comparable(theirs) != comparable(ours)]


def test_no_difference() -> None:
    cases = relabel_cases.make(_SEED, _CASES)
    assert _differences(cases) == []


def test_the_cases_say_something() -> None:
    """Every action decides something, and most cases are neither refused nor dropped at once."""
    cases = relabel_cases.make(_SEED, _CASES)
    answers = _prometheus(cases)
    assert not [answer for answer in answers if "refused" in answer]
    changed = dict.fromkeys(ACTIONS, 0)
    for case, answer in zip(cases, answers, strict=True):
        given = sorted([name, value] for name, value in case["labels"].items() if value)
        if len(case["steps"]) == 1 and answer != {"labels": given}:
            changed[case["steps"][0]["action"]] += 1
    assert min(changed.values()) >= 10, changed
    assert sum("labels" in answer for answer in answers) > _CASES / 3
    long = [answer for case, answer in zip(cases, answers, strict=True) if len(case["steps"]) == 50]
    assert sum(len(answer.get("labels", ())) > 1 for answer in long) > 100, "long chains that leave labels"


def test_what_prometheus_refuses_is_refused_and_nothing_else() -> None:
    cases = relabel_cases.refused(_SEED, _REFUSALS)
    assert _differences(cases) == []
    refused = sum("refused" in answer for answer in _prometheus(cases))
    assert _REFUSALS / 4 < refused < _REFUSALS * 3 / 4


@pytest.mark.parametrize("field", relabel_cases.MEANINGLESS, ids=lambda row: f"{row['action']}-{next(iter(row))}")
def test_fields_that_an_action_does_not_take(field: dict[str, Any]) -> None:
    """Prometheus refuses them, and so do we."""
    case = {"steps": [relabel_cases.STEP | field], "labels": {}}
    assert "refused" in _prometheus([case])[0]
    assert "refused" in _ours(case)


@pytest.mark.parametrize("action", ["lowercase", "uppercase"])
def test_case_of_every_character(action: str) -> None:
    characters = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
    step = relabel_cases.STEP | {"action": action, "sourceLabels": ["a"], "targetLabel": "b"}
    chunks = ("".join(characters[start : start + 10_000]) for start in range(0, len(characters), 10_000))
    assert _differences([{"steps": [step], "labels": {"a": chunk}} for chunk in chunks]) == []


@pytest.mark.parametrize(
    ("regex", "why"),
    [
        (r"\p{Letter}", "RE2 knows Unicode's classes by their short names only"),
        (r"\p{greek}", "and by one spelling"),
        (r"\pl", "and by one spelling"),
        (r"\pL{100}", "a pattern may take 256 KiB, so that a tenant can't take it all"),
        ("(?P<n>a)|(?P<n>b)", "which of the two is $n can't be told"),
    ],
)
def test_known_differences(regex: str, why: str) -> None:
    """We refuse more than Prometheus, and never mean something else; Accepted says what to change."""
    case = {"steps": [relabel_cases.STEP | {"regex": regex, "targetLabel": "b"}], "labels": {}}
    assert "labels" in _prometheus([case])[0], why
    assert "relabelings[0].regex" in _ours(case)["refused"], why


_META = "__meta_kubernetes_pod_"
_STEPS: list[dict[str, Any]] = [
    {"action": "drop", "sourceLabels": [f"{_META}label_track"], "regex": "canary"},
    {
        "sourceLabels": ["__address__", f"{_META}annotation_port"],
        "regex": r"(.+):\d+;(\d+)",
        "targetLabel": "__address__",
        "replacement": "$1:$2",
    },
    {"sourceLabels": [f"{_META}annotation_aim"], "regex": "(.+)", "targetLabel": "__address__"},
    {"action": "labelmap", "regex": f"{_META}label_(team|track)", "replacement": "pod_$1"},
    {"action": "uppercase", "sourceLabels": ["pod_team"], "targetLabel": "pod_team"},
    {"sourceLabels": ["namespace", "pod_team"], "separator": "/", "targetLabel": "service_name"},
    {"targetLabel": "namespace", "replacement": "forged"},
    {"action": "labeldrop", "regex": "container"},
]


@pytest.mark.reaches("Discovered/InvalidTarget")
def test_pods_are_relabeled(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    """One is scraped at the port that its annotation says, one is dropped, and one may not lead to another host."""
    app, victim = start_app("app"), start_app("victim")
    labels = {"app": "checkout", "team": "blue"}
    # What the pods declare leads nowhere.
    cluster.run_pod(namespace, PodSpec("scraped", app.ip, labels, port=1, annotations={"port": str(app.port)}))
    cluster.run_pod(namespace, PodSpec("canary", app.ip, labels | {"track": "canary"}, port=2))
    spec = {"selector": {"matchLabels": {"app": "checkout"}}, "interval": "3s", "relabelings": _STEPS}
    cluster.scrape(namespace, "checkout", spec)
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    status = cluster.status(namespace, "checkout")
    assert status["targets"] == {"pods": 2, "active": 1, "up": 1, "down": 0, "dropped": 1}
    discovered = next(c for c in status["conditions"] if c["type"] == "Discovered")
    assert discovered["message"] == "targets: 1, selected pods: 2, dropped by relabelings: 1"
    sent = eventually(lambda: receiver.profiles(pod="scraped", name="goroutine"), "the profiles of the pod that is left")
    assert sent[0]["labels"] == {
        "__name__": "goroutine",
        "instance": app.address,
        "job": f"{namespace}/checkout",
        "namespace": namespace,
        "pod": "scraped",
        "pod_team": "BLUE",
        "service_name": f"{namespace}/BLUE",
    }

    cluster.run_pod(namespace, PodSpec("aimed", "127.0.21.9", labels, annotations={"aim": victim.address}))
    cluster.wait_for(namespace, "checkout", "Discovered", "False/InvalidTarget")
    message = next(c["message"] for c in cluster.status(namespace, "checkout")["conditions"] if c["type"] == "Discovered")
    assert message.startswith("targets dropped: 1 of 3; aimed: the label __address__ must be host:port")
    taken = len(receiver.profiles(pod="scraped", name="goroutine"))
    eventually(lambda: len(receiver.profiles(pod="scraped", name="goroutine")) > taken + 1, "the others are scraped on")
    assert not victim.requests("/debug/pprof/goroutine")
    assert not receiver.profiles(pod="canary")
