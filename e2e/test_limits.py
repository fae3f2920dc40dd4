"""Limits, sampling and the operator's caps: what is left out, what the status says of it, and how it heals.

One process is the target of all pods; it listens on every loopback address.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import LOOPBACK, StartApp, start_operator
from e2e.harness.cluster import Cluster, PodSpec, conditions
from e2e.harness.parts import DemoApp, Operator, Receiver
from e2e.harness.wait import eventually
from pyroscope_operator.model.target import Target

_PORT = 6075
_TYPES = ("memory", "block", "goroutine", "mutex", "processCPU", "fgprof")
_CAP, _MIN_INTERVAL = 8, "3s"
_FLAGS = ("--target-limit", str(_CAP), "--min-interval", _MIN_INTERVAL, "--body-size-limit", "12KiB")


@pytest.fixture(scope="module")
def operator(cluster: Cluster, receiver: Receiver, folder: Path) -> Iterator[Operator]:
    """One with caps that are low."""
    operator = start_operator(cluster, receiver, folder, *LOOPBACK, *_FLAGS)
    yield operator
    operator.end()


@pytest.fixture
def crowd(start_app: StartApp) -> DemoApp:
    """Every pod's process."""
    return start_app("crowd", "0.0.0.0", port=_PORT, record=False)


def _profiles(*types: str) -> dict[str, Any]:
    return {name: {"enabled": name in types} for name in _TYPES}


def _spec(*types: str, **fields: Any) -> dict[str, Any]:
    profiles = _profiles(*(types or ("goroutine",)))
    return {"selector": {"matchLabels": {"app": "checkout"}}, "interval": "3s", "profilingConfig": profiles, **fields}


def _pod(number: int, **fields: Any) -> PodSpec:
    labels = {"app": "checkout", **fields.pop("labels", {})}
    return PodSpec(f"web-{number:02}", f"127.0.30.{number + 1}", labels, port=_PORT, **fields)


def _run_pods(cluster: Cluster, namespace: str, count: int) -> None:
    for number in range(count):
        cluster.run_pod(namespace, _pod(number))


def _counts(cluster: Cluster, namespace: str, name: str = "checkout") -> tuple[int, int, int]:
    """Pods, targets that are up, and those that are dropped."""
    counts = cluster.status(namespace, name)["targets"]
    assert (counts["active"], counts["down"]) == (counts["up"], 0), counts
    return counts["pods"], counts["up"], counts["dropped"]


def _wait_counts(cluster: Cluster, namespace: str, expected: tuple[int, int, int], name: str = "checkout") -> None:
    def reached() -> bool:
        assert _counts(cluster, namespace, name) == expected, cluster.status(namespace, name)
        return True

    eventually(reached, f"pods, up, dropped of {name}: {expected}")


def _message(cluster: Cluster, namespace: str, kind: str = "Discovered", name: str = "checkout") -> str:
    found: str = next(c["message"] for c in cluster.status(namespace, name)["conditions"] if c["type"] == kind)
    return found


def _scraped(operator: Operator, name: str = "checkout") -> set[str]:
    """The pods of an object that have a loop."""
    return {t["pod"] for found in operator.targets()["objects"] if found["name"] == name for t in found["targets"]}


def test_target_limit(cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, crowd: DemoApp) -> None:
    """Below the limit nothing is said; above it five stay, the same five as before where they were among them."""
    _run_pods(cluster, namespace, 5)
    cluster.scrape(namespace, "checkout", _spec(targetLimit=5))
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    _wait_counts(cluster, namespace, (5, 5, 0))
    assert cluster.condition(namespace, "checkout", "Discovered") == "True/TargetsFound"

    for number in range(5, 7):
        cluster.run_pod(namespace, _pod(number))
    cluster.wait_for(namespace, "checkout", "Discovered", "False/LimitExceeded")
    _wait_counts(cluster, namespace, (7, 5, 2))
    status = cluster.status(namespace, "checkout")
    assert (conditions(status)["Ready"], status["summary"]) == ("True/LimitExceeded", "5/5")
    message = _message(cluster, namespace)
    assert message.startswith("targets dropped: 2 of 7; web-0")
    assert "above spec.targetLimit: 5 of 7 targets are scraped: select fewer pods" in message
    left_out = {f"web-{number:02}" for number in range(7)} - _scraped(operator)
    dropped = next(found["dropped"] for found in operator.targets()["objects"] if found["namespace"] == namespace)
    assert {(drop["pod"], drop["reason"]) for drop in dropped} == {(pod, "LimitExceeded") for pod in left_out}

    cluster.scrape(namespace, "checkout", _spec(targetLimit=7))
    cluster.wait_for(namespace, "checkout", "Discovered", "True/TargetsFound")
    _wait_counts(cluster, namespace, (7, 7, 0))
    eventually(lambda: all(receiver.profiles(namespace=namespace, pod=pod) for pod in left_out), "profiles of those left out")


@pytest.mark.parametrize("own", [None, 100])
def test_the_operators_target_limit(
    cluster: Cluster, operator: Operator, namespace: str, crowd: DemoApp, own: int | None
) -> None:
    """It holds for objects that set none, or a higher one."""
    _run_pods(cluster, namespace, 10)
    cluster.scrape(namespace, "checkout", _spec(**({"targetLimit": own} if own else {})))
    cluster.wait_for(namespace, "checkout", "Discovered", "False/LimitExceeded")
    _wait_counts(cluster, namespace, (10, _CAP, 2))
    assert "above the operator's limit for one object (setting targetLimit): 8 of 10 targets are scraped" in _message(
        cluster, namespace
    )
    for number in range(2):
        cluster.delete_pod(namespace, f"web-{number:02}")
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    _wait_counts(cluster, namespace, (8, _CAP, 0))


def test_sampling_by_number(cluster: Cluster, operator: Operator, namespace: str, crowd: DemoApp) -> None:
    """As pods come and go, at most one target takes the place of one other; those that stay are scraped on."""
    _run_pods(cluster, namespace, 9)
    cluster.scrape(namespace, "checkout", _spec(sampling={"maxTargets": 4}))
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    _wait_counts(cluster, namespace, (9, 4, 5))
    assert cluster.condition(namespace, "checkout", "Discovered") == "True/TargetsFound"
    assert _message(cluster, namespace) == "targets: 4, selected pods: 9, not sampled: 5"
    first = _scraped(operator)
    assert len(first) == 4

    idle, busy = sorted({f"web-{number:02}" for number in range(9)} - first)[0], sorted(first)[0]
    cluster.delete_pod(namespace, idle)
    _wait_counts(cluster, namespace, (8, 4, 4))
    assert _scraped(operator) == first

    cluster.delete_pod(namespace, busy)
    _wait_counts(cluster, namespace, (7, 4, 3))
    second = _scraped(operator)
    assert first - {busy} < second and len(second - first) == 1

    last = second
    for number in range(20, 26):
        cluster.run_pod(namespace, _pod(number))
        _wait_counts(cluster, namespace, (8 + number - 20, 4, 4 + number - 20))
        now = _scraped(operator)
        assert now == last or (now - last == {f"web-{number}"} and len(last - now) == 1)
        last = now
    steady = first & last
    scrapes = {t["pod"]: t["scrapes"][0] for found in operator.targets()["objects"] for t in found["targets"]}
    assert all(scrapes[pod]["scrapes"] >= 3 for pod in steady), "their loops have never ended"

    cluster.scrape(namespace, "checkout", _spec())
    cluster.wait_for(namespace, "checkout", "Discovered", "False/LimitExceeded")  # that of the operator, without sampling
    assert last < _scraped(operator)


def test_sampling_by_percent(cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, crowd: DemoApp) -> None:
    """Each pod is in the share or not, whatever the others are: the same ones in every process."""
    _run_pods(cluster, namespace, 8)
    pods = cluster.api.get(f"/api/v1/namespaces/{namespace}/pods").raise_for_status().json()["items"]
    keys = {
        pod["metadata"]["name"]: Target(
            pod["metadata"]["uid"], namespace, "", "app", "http", f"{pod['status']['podIP']}:{_PORT}"
        ).key
        for pod in pods
    }
    scores = {
        name: int.from_bytes(blake2b(f"{namespace}/checkout\0{key}".encode(), digest_size=8).digest(), "big")
        for name, key in keys.items()
    }
    percent = sorted(scores.values())[3] * 100 // 2**64 + 1
    expected = {name for name, score in scores.items() if score * 100 < percent * 2**64}
    cluster.scrape(namespace, "checkout", _spec(sampling={"percent": percent}))
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    _wait_counts(cluster, namespace, (8, len(expected), 8 - len(expected)))
    assert _scraped(operator) == expected
    eventually(lambda: all(receiver.profiles(namespace=namespace, pod=pod) for pod in expected), "profiles of the share")
    assert {profile["labels"]["pod"] for profile in receiver.profiles(namespace=namespace)} == expected

    gone = sorted(expected)[0]
    cluster.delete_pod(namespace, gone)
    _wait_counts(cluster, namespace, (7, len(expected) - 1, 8 - len(expected)))
    assert _scraped(operator) == expected - {gone}


def test_sampling_that_chooses_none(cluster: Cluster, operator: Operator, namespace: str, crowd: DemoApp) -> None:
    """A share may be empty: then there is nothing to scrape, which is said and is no failure."""
    cluster.run_pod(namespace, _pod(0))
    uid = cluster.api.get(f"/api/v1/namespaces/{namespace}/pods/web-00").raise_for_status().json()["metadata"]["uid"]
    key = Target(uid, namespace, "", "app", "http", f"127.0.30.1:{_PORT}").key

    def outside(name: str) -> bool:
        score = int.from_bytes(blake2b(f"{namespace}/{name}\0{key}".encode(), digest_size=8).digest(), "big")
        return score * 100 >= 2**64

    name = next(name for name in ("checkout", "again", "third", "fourth", "fifth") if outside(name))
    cluster.scrape(namespace, name, _spec(sampling={"percent": 1}))
    cluster.wait_for(namespace, name, "Ready", "True/NoTargets")
    assert _message(cluster, namespace, "Ready", name) == "there is nothing to scrape: not sampled: 1"
    _wait_counts(cluster, namespace, (1, 0, 1), name)


def test_sampling_first_then_the_limit(cluster: Cluster, operator: Operator, namespace: str, crowd: DemoApp) -> None:
    _run_pods(cluster, namespace, 7)
    cluster.scrape(namespace, "checkout", _spec(sampling={"maxTargets": 5}, targetLimit=3))
    cluster.wait_for(namespace, "checkout", "Discovered", "False/LimitExceeded")
    _wait_counts(cluster, namespace, (7, 3, 4))
    dropped = next(found["dropped"] for found in operator.targets()["objects"] if found["namespace"] == namespace)
    assert sorted(drop["reason"] for drop in dropped) == ["LimitExceeded"] * 2 + ["NotSampled"] * 2
    limited = _scraped(operator)
    cluster.scrape(namespace, "checkout", _spec(sampling={"maxTargets": 5}, targetLimit=5))
    cluster.wait_for(namespace, "checkout", "Discovered", "True/TargetsFound")
    _wait_counts(cluster, namespace, (7, 5, 2))
    assert limited < _scraped(operator)


def test_label_limit(cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, crowd: DemoApp) -> None:
    """memory has 8 labels without podTargetLabels: six, `__name__` and `__delta__`."""
    cluster.run_pod(namespace, _pod(0))
    cluster.run_pod(namespace, _pod(1, labels={"team": "blue", "tier": "back"}))
    fields: dict[str, Any] = {"podTargetLabels": ["team", "tier"], "labelLimit": 8}
    cluster.scrape(namespace, "checkout", _spec("goroutine", "mutex", **fields))
    cluster.wait_for(namespace, "checkout", "Discovered", "False/LimitExceeded")
    _wait_counts(cluster, namespace, (2, 1, 1))
    assert _message(cluster, namespace).startswith(
        "targets dropped: 1 of 2; web-01: its series would have 10 labels, spec.labelLimit is 8: name fewer podTargetLabels"
    )
    assert _scraped(operator) == {"web-00"}
    cluster.scrape(namespace, "checkout", _spec("goroutine", "mutex", **fields | {"labelLimit": 10}))
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    _wait_counts(cluster, namespace, (2, 2, 0))
    sent = eventually(lambda: receiver.profiles(namespace=namespace, pod="web-01", name="mutex"), "its series with most labels")
    assert len(sent[0]["labels"]) == 10


def test_relabeling_work(cluster: Cluster, operator: Operator, namespace: str, crowd: DemoApp) -> None:
    """A pod on which the relabelings would take too long is left out; the others are scraped."""
    cluster.run_pod(namespace, _pod(0, annotations={"story": "short"}))
    cluster.run_pod(namespace, _pod(1, annotations={"story": "y" * 200_000}))
    story = {"sourceLabels": ["__meta_kubernetes_pod_annotation_story"] * 5, "regex": "(y)*(.*)(z|y)*", "targetLabel": "__tmp"}
    cluster.scrape(namespace, "checkout", _spec(relabelings=[{"targetLabel": "team", "replacement": "blue"}, story]))
    cluster.wait_for(namespace, "checkout", "Discovered", "False/LimitExceeded")
    _wait_counts(cluster, namespace, (2, 1, 1))
    assert _message(cluster, namespace).startswith("targets dropped: 1 of 2; web-01: relabelings[1] takes too long on the labels")
    assert "yyyy" not in str(cluster.status(namespace, "checkout"))
    cluster.scrape(namespace, "checkout", _spec(relabelings=[{"targetLabel": "team", "replacement": "blue"}]))
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    _wait_counts(cluster, namespace, (2, 2, 0))


def _body_failures(cluster: Cluster, namespace: str) -> list[tuple[str, str]]:
    failures = cluster.status(namespace, "checkout").get("failures", ())
    return [(failure["profile"], failure["reason"]) for failure in failures]


def test_body_size_limit(cluster: Cluster, operator: Operator, namespace: str, crowd: DemoApp) -> None:
    """The lower one of object and operator (12KiB): of the app's profiles, goroutine has some 4 KiB and memory some 16."""
    cluster.run_pod(namespace, _pod(0))
    cluster.scrape(namespace, "checkout", _spec("goroutine", "memory", bodySizeLimit="1GiB"))
    cluster.wait_for(namespace, "checkout", "Scraping", "False/TargetsDown")
    eventually(lambda: _body_failures(cluster, namespace) == [("memory", "BodyTooLarge")], "the operator's limit")
    cluster.scrape(namespace, "checkout", _spec("goroutine", "memory", bodySizeLimit="1KiB"))
    both = [("goroutine", "BodyTooLarge"), ("memory", "BodyTooLarge")]
    eventually(lambda: _body_failures(cluster, namespace) == both, "the object's own limit")
    cluster.scrape(namespace, "checkout", _spec("goroutine"))
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")


def test_min_interval(cluster: Cluster, operator: Operator, namespace: str, crowd: DemoApp) -> None:
    """A shorter interval is raised, which the status says; what the object says of its profiles stays."""
    cluster.run_pod(namespace, _pod(0))
    cluster.scrape(namespace, "checkout", _spec("processCPU", interval="2s"))
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")
    raised = "the object is valid; spec.interval is raised to 3s (operator setting minInterval)"
    assert _message(cluster, namespace, "Accepted") == raised
    address = f"127.0.30.1:{_PORT}"

    def schedule() -> tuple[float, int]:
        scrape = operator.scrapes()[address, "process_cpu"]
        return scrape["intervalSeconds"], scrape["seconds"]

    def served(query: str) -> bool:
        return any(entry["query"] == query for entry in crowd.requests("/debug/pprof/profile"))

    assert schedule() == (3.0, 2)
    eventually(lambda: served("seconds=2"), "a profile of two seconds")
    cluster.scrape(namespace, "checkout", _spec("processCPU", interval="2s", deltaProfilingDuration="1s"))
    eventually(lambda: schedule() == (3.0, 1), "its own duration")
    eventually(lambda: served("seconds=1"), "a profile of one second")
    assert _message(cluster, namespace, "Accepted") == raised
    cluster.scrape(namespace, "checkout", _spec("processCPU", interval="4s"))
    eventually(lambda: _message(cluster, namespace, "Accepted") == "the object is valid", "nothing to say")
    assert schedule() == (4.0, 3)


def test_duplicates_of_an_object_with_a_limit(cluster: Cluster, operator: Operator, namespace: str, crowd: DemoApp) -> None:
    """What the first leaves out is the second's; what the first has is a duplicate, and takes no place of another."""
    _run_pods(cluster, namespace, 6)
    cluster.scrape(namespace, "a-first", _spec(sampling={"maxTargets": 2}))
    cluster.wait_for(namespace, "a-first", "Ready", "True/AllUp")
    first = _scraped(operator, "a-first")
    cluster.scrape(namespace, "b-second", _spec(targetLimit=6))
    cluster.wait_for(namespace, "b-second", "Discovered", "False/Duplicate")
    _wait_counts(cluster, namespace, (6, 4, 0), "b-second")
    assert _scraped(operator, "b-second") == {f"web-{number:02}" for number in range(6)} - first
    assert _scraped(operator, "a-first") == first
    cluster.delete_scrape(namespace, "a-first")
    cluster.wait_for(namespace, "b-second", "Ready", "True/AllUp")
    _wait_counts(cluster, namespace, (6, 6, 0), "b-second")
