"""Identity and phase. Golden digests: a changed one restarts every loop and loses all delta state of every user."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import request, scrape, target

from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import STATIC, Target

POD = target("web-0", pod_uid="8f14e45f-ceea-467f-a8b5-1c2d3e4f5a6b", address="10.0.0.7:6060")
FIXED = target("", pod_uid=STATIC, container="", scheme="https", address="[2001:db8::1]:443")
ALLOCS = request("memory", path="/debug/pprof/allocs")
PARAMS = (("debug", ("0", "1")), ("gc", ("1",)))


@pytest.mark.parametrize(
    ("key", "golden"),
    [
        pytest.param(POD.key, "b2e0f0c6467d04429e88842beb18455f", id="pod"),
        pytest.param(FIXED.key, "049b73d67c99f6c7f95ec00bd53164da", id="static target"),
        pytest.param(scrape(POD, ALLOCS).key, "b28816ff88fad0e7c7303339c0cdfc4d", id="memory of a pod"),
        pytest.param(scrape(POD, ALLOCS, params=PARAMS).key, "6b6920fa1dec5b8b6a7971f311b6cda3", id="with params"),
        pytest.param(
            scrape(FIXED, request("process_cpu", path="/debug/pprof/profile")).key,
            "6a7e3c832aff0e344ab3bec15bb78072",
            id="CPU of a static target",
        ),
    ],
)
def test_keys_are_the_same_in_every_process_and_release(key: str, golden: str) -> None:
    assert key == golden


@pytest.mark.parametrize(
    "change", [{"pod_uid": "other"}, {"container": "other"}, {"scheme": "https"}, {"address": "10.0.0.7:6061"}]
)
def test_identity_of_a_target(change: dict[str, Any]) -> None:
    assert replace(POD, **change).key != POD.key


@pytest.mark.parametrize(
    "change",
    [
        {"container_id": "containerd://restarted"},
        {"healthy": False},
        {"labels": Labels({"team": "a"})},
        {"discovered": Labels({"__meta_kubernetes_pod_name": "web-0"})},
        {"namespace": "other"},
        {"pod": "other"},
    ],
)
def test_not_identity_of_a_target(change: dict[str, Any]) -> None:
    assert replace(POD, **change).key == POD.key
    assert replace(POD, **change) != POD  # but told apart, so that a loop takes it over


@pytest.mark.parametrize(
    "change",
    [
        {"target": FIXED},
        {"profile": request("custom", path="/debug/pprof/allocs")},
        {"profile": request("memory", path="/debug/pprof/heap")},
        {"params": PARAMS},
    ],
)
def test_identity_of_a_scrape(change: dict[str, Any]) -> None:
    whole = scrape(POD, ALLOCS)
    assert replace(whole, **change).key != whole.key


@pytest.mark.parametrize(
    "change",
    [
        {"source": ObjectRef("other", "one")},
        {"target": replace(POD, labels=Labels({"team": "a"}), container_id="containerd://restarted")},
        {"profile": replace(ALLOCS, seconds=14, cumulative=True, is_delta_label=True)},
        {"interval": 60.0},
        {"timeout": 1.0},
        {"body_limit": 1},
        {"follow_redirects": False},
    ],
)
def test_not_identity_of_a_scrape(change: dict[str, Any]) -> None:
    whole = scrape(POD, ALLOCS)
    assert replace(whole, **change).key == whole.key
    assert replace(whole, **change) != whole


def test_parts_of_an_identity_do_not_run_into_each_other() -> None:
    assert target(pod_uid="ab", container="c").key != target(pod_uid="a", container="bc").key


def _numbered(number: int) -> Target:
    return target(f"web-{number}", address=f"10.0.{number // 250}.{number % 250}:6060")


@pytest.mark.parametrize("interval", [1.0, 2.5, 15.0, 86400.0])
def test_offsets_lie_in_the_interval_and_spread_evenly(interval: float) -> None:
    offsets = [_numbered(n).offset(interval) for n in range(2000)]
    assert all(0 <= offset < interval for offset in offsets)
    tenths = [0] * 10
    for offset in offsets:
        tenths[int(offset / interval * 10)] += 1
    assert min(tenths) > 150
    assert max(tenths) < 250


def test_offset_is_that_of_the_target_in_the_interval() -> None:
    assert POD.offset(15.0) == pytest.approx(10.481172, abs=1e-6)
    assert scrape(POD, interval=15.0).offset == scrape(POD, request("mutex"), interval=15.0).offset == POD.offset(15.0)
    assert POD.offset(30.0) == pytest.approx(2 * POD.offset(15.0))


class _LastHash(Target):
    """A target with the highest possible hash."""

    key = "f" * 32


@pytest.mark.parametrize("interval", [1.0, 1.1, 15.0, 15.999999, 86400.0])
def test_the_highest_hash_is_still_below_the_interval(interval: float) -> None:
    assert _LastHash("u", "n", "p", "c", "http", "h:1").offset(interval) < interval


@pytest.mark.parametrize(
    ("kind", "path", "uses"),
    [
        ("process_cpu", "/debug/pprof/profile", True),
        ("process_cpu", "/elsewhere", True),
        ("mine", "/debug/pprof/profile", True),
        ("mine", "/internal/debug/pprof/profile", True),
        ("fgprof", "/debug/fgprof", False),
        ("memory", "/debug/pprof/allocs", False),
        ("mine", "/debug/pprof/profiles", False),
    ],
)
def test_who_uses_the_cpu_profiler(kind: str, path: str, uses: bool) -> None:
    assert request(kind, path=path).uses_cpu_profiler is uses


def test_metrics_know_no_names_of_users() -> None:
    assert request("mine", custom=True).metric_type == "custom"
    assert request("godeltaprof_memory", name="memory").metric_type == "godeltaprof_memory"


@pytest.mark.parametrize(
    ("params", "seconds", "query"),
    [
        ((), None, []),
        ((), 14, [("seconds", "14")]),
        (PARAMS, None, [("debug", "0"), ("debug", "1"), ("gc", "1")]),
        (PARAMS, 1, [("debug", "0"), ("debug", "1"), ("gc", "1"), ("seconds", "1")]),
    ],
)
def test_query(params: Any, seconds: int | None, query: list[tuple[str, str]]) -> None:
    assert scrape(POD, request(seconds=seconds), params=params).query == query


@pytest.mark.parametrize(("is_delta_label", "more"), [(False, {}), (True, {"__delta__": "false"})])
def test_labels_of_the_series(is_delta_label: bool, more: dict[str, str]) -> None:
    made = scrape(POD, request("godeltaprof_memory", name="memory", is_delta_label=is_delta_label))
    assert dict(made.labels) == {"__name__": "memory", "service_name": "shop/app", "pod": "web-0", **more}
