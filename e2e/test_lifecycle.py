"""Pods and objects come, change, restart and go; what stays keeps its phase and its delta state."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import DemoApp, Operator, Receiver, check_deltas
from e2e.harness.wait import eventually

_INTERVAL = 3.0
_SPEC: dict[str, Any] = {
    "selector": {"matchLabels": {"app": "checkout"}},
    "interval": "3s",
    "profilingConfig": {"goroutine": {"enabled": False}, "processCPU": {"enabled": False}},
}
_CUMULATIVE = (("memory", "allocs"), ("mutex", "mutex"), ("block", "block"))
_TOLERANCE = 0.4
"""Seconds that a scrape may be late on these noisy machines and still count as in phase."""


def _pod(app: DemoApp, name: str, **options: Any) -> PodSpec:
    return PodSpec(name, app.ip, {"app": "checkout"}, **options)


def _phases(requests: Sequence[dict[str, Any]]) -> list[float]:
    return [entry["unixNano"] / 1e9 % _INTERVAL for entry in requests]


def _assert_one_phase(requests: Sequence[dict[str, Any]]) -> None:
    """All within the tolerance of each other, on the circle of one interval; no slot twice."""
    first, *rest = _phases(requests)
    for phase in rest:
        distance = abs(phase - first)
        assert min(distance, _INTERVAL - distance) < _TOLERANCE, _phases(requests)
    times = [entry["unixNano"] / 1e9 for entry in requests]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(gap > _INTERVAL / 2 for gap in gaps), gaps


def _received(receiver: Receiver, pod: str, name: str = "memory", count: int = 2, since: int = 0) -> list[dict[str, Any]]:
    return eventually(
        lambda: found if len(found := receiver.profiles(since=since, pod=pod, name=name)) >= count else [],
        f"{count} × {name} of {pod}",
    )


def test_pod_added_and_deleted(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    first, second = start_app("one"), start_app("two")
    cluster.run_pod(namespace, _pod(first, "one"))
    cluster.scrape(namespace, "checkout", _SPEC)
    cluster.wait_for(namespace, "checkout", "Ready", "True/AllUp")

    added = time.time()
    cluster.run_pod(namespace, _pod(second, "two"))
    asked = eventually(lambda: second.requests("/debug/pprof/allocs"), "the new pod is scraped")
    assert asked[0]["unixNano"] / 1e9 < added + _INTERVAL + 2, "a new pod waits one interval at most"
    _received(receiver, "two")
    eventually(lambda: cluster.status(namespace, "checkout")["summary"] == "2/2", "status counts both")

    cluster.delete_pod(namespace, "one")
    eventually(lambda: cluster.status(namespace, "checkout")["summary"] == "1/1", "status counts one")
    last = len(first.requests())
    mark = len(second.requests())
    eventually(lambda: len(second.requests()) >= mark + 6, "two more rounds of the other")
    assert len(first.requests()) == last, "a deleted pod is not scraped, though its process still answers"
    for name, path in _CUMULATIVE:
        check_deltas(receiver, [second.recording], f"/debug/pprof/{path}", {"pod": "two", "__name__": name})
    _assert_one_phase(second.requests("/debug/pprof/allocs"))


def test_pod_changed_keeps_phase_and_delta(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    app = start_app("app")
    cluster.run_pod(namespace, _pod(app, "changing"))
    cluster.scrape(namespace, "checkout", _SPEC)
    _received(receiver, "changing")

    annotation = "pyroscope.io/service_name=renamed"
    cluster.kubectl("annotate", "pod", "-n", namespace, "changing", annotation)
    renamed = eventually(lambda: receiver.profiles(pod="changing", name="memory", service_name="renamed"), "the new name")
    assert renamed[0]["labels"]["service_name"] == "renamed"
    _received(receiver, "changing", count=4)
    for name, path in _CUMULATIVE:
        check_deltas(receiver, [app.recording], f"/debug/pprof/{path}", {"pod": "changing", "__name__": name}, at_least=4)
    _assert_one_phase(app.requests("/debug/pprof/allocs"))

    cluster.kubectl("label", "pod", "-n", namespace, "changing", "app=other", "--overwrite")
    cluster.wait_for(namespace, "checkout", "Discovered", "False/NoPodsMatched")
    assert not operator.scrapes()


def test_container_restart_is_a_new_baseline(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    before = start_app("before")
    pod = _pod(before, "restarting")
    cluster.run_pod(namespace, pod)
    cluster.scrape(namespace, "checkout", _SPEC)
    _received(receiver, "restarting", count=3)

    before.kill()
    after = start_app("after", before.ip)
    pod.restarts = 1
    cluster.set_status(namespace, pod)
    seen = len(receiver.profiles(pod="restarting", name="memory"))
    _received(receiver, "restarting", count=seen + 3)

    lives = [before.recording, after.recording]
    for name, path in _CUMULATIVE:
        report = check_deltas(receiver, lives, f"/debug/pprof/{path}", {"pod": "restarting", "__name__": name})
        assert all(life["received"] > 0 for life in report["lives"]), report
    everything = receiver.profiles(pod="restarting")
    assert not any(profile["negative"] for profile in everything)
    eventually(lambda: cluster.condition(namespace, "checkout", "Ready") == "True/AllUp", "all is well again")


def test_restart_that_nobody_reports(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    """A process that is replaced under the same container ID: the numbers alone must tell."""
    before = start_app("before")
    cluster.run_pod(namespace, _pod(before, "silent"))
    cluster.scrape(namespace, "checkout", _SPEC)
    _received(receiver, "silent", count=3)
    before.kill()
    after = start_app("after", before.ip)
    seen = len(receiver.profiles(pod="silent", name="memory"))
    _received(receiver, "silent", count=seen + 2)
    for name, path in _CUMULATIVE:
        check_deltas(receiver, [before.recording, after.recording], f"/debug/pprof/{path}", {"pod": "silent", "__name__": name})
    assert not any(profile["negative"] for profile in receiver.profiles(pod="silent"))


def test_object_edited(cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp) -> None:
    """Targets that an edit doesn't concern go on as if nothing had happened."""
    app = start_app("app")
    cluster.run_pod(namespace, _pod(app, "steady"))
    cluster.scrape(namespace, "checkout", _SPEC)
    _received(receiver, "steady", count=2)

    custom = [{"name": "threads", "enabled": True, "path": "/debug/pprof/threadcreate"}]
    edited = {**_SPEC, "jobName": "edited", "profilingConfig": {**_SPEC["profilingConfig"], "custom": custom}}
    cluster.scrape(namespace, "checkout", edited)
    eventually(lambda: receiver.profiles(pod="steady", name="threads"), "the added profile arrives")
    eventually(lambda: len(receiver.profiles(pod="steady", name="memory", job="edited")) >= 2, "memory says the new job")
    assert cluster.status(namespace, "checkout")["observedGeneration"] == 2

    removed = {**_SPEC, "profilingConfig": {**_SPEC["profilingConfig"], "block": {"enabled": False}}}
    cluster.scrape(namespace, "checkout", removed)
    eventually(lambda: "threads" not in {kind for _, kind in operator.scrapes()}, "the removed profile ends")
    _received(receiver, "steady", count=len(receiver.profiles(pod="steady", name="memory")) + 2)
    for name, path in _CUMULATIVE[:2]:
        check_deltas(receiver, [app.recording], f"/debug/pprof/{path}", {"pod": "steady", "__name__": name}, at_least=5)
    _assert_one_phase(app.requests("/debug/pprof/allocs"))

    cluster.scrape(namespace, "checkout", {**removed, "suspend": True})
    cluster.wait_for(namespace, "checkout", "Scraping", "Unknown/Suspended")
    assert not operator.scrapes()
    cluster.scrape(namespace, "checkout", removed)
    cluster.wait_for(namespace, "checkout", "Scraping", "True/AllUp")


def test_object_deleted(cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp) -> None:
    app = start_app("app")
    cluster.run_pod(namespace, _pod(app, "orphan"))
    cluster.scrape(namespace, "checkout", _SPEC)
    _received(receiver, "orphan", count=1)
    found = cluster.get(namespace, "checkout")["metadata"]
    assert "finalizers" not in found
    assert not [key for key in found.get("annotations", {}) if "kopf" in key]
    cluster.delete_scrape(namespace, "checkout")
    eventually(lambda: not operator.scrapes(), "scraping has ended")
    last = len(app.requests())
    time.sleep(_INTERVAL + 1)  # nothing to wait for: the proof is that nothing comes
    assert len(app.requests()) == last
