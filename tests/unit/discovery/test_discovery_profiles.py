"""Which profiles an object takes from a target, and what their series are called."""

from __future__ import annotations

from typing import Any

import pytest
from builders import MIB, only, pod, pods_in, wanted
from oracle import plan

from pyroscope_operator.model.target import Scrape

CUSTOM = {"enabled": True, "path": "/mine"}
LONG = {"interval": "60s", "scrapeTimeout": "60s"}


def scrapes(profiles: dict[str, Any], **fields: Any) -> list[Scrape]:
    found = wanted(profilingConfig=profiles, **fields)
    return plan([found], pods_in([pod()]), MIB)[found.ref].scrapes


def test_the_default_is_that_of_the_seed() -> None:
    assert {(s.profile.type, s.profile.path, s.profile.seconds, s.profile.cumulative) for s in scrapes({})} == {
        ("process_cpu", "/debug/pprof/profile", 14, False),
        ("memory", "/debug/pprof/allocs", None, True),
        ("block", "/debug/pprof/block", None, True),
        ("mutex", "/debug/pprof/mutex", None, True),
        ("goroutine", "/debug/pprof/goroutine", None, False),
    }


MADE = [
    # profilingConfig, type, __name__, differences in the series, made by the operator, seconds
    (only("memory"), "memory", "memory", True, True, None),
    (only("block"), "block", "block", True, True, None),
    (only("mutex"), "mutex", "mutex", True, True, None),
    (only(memory={"delta": True}), "memory", "memory", True, False, 14),
    (only(block={"delta": True}), "block", "block", True, False, 14),
    (only(mutex={"delta": True}), "mutex", "mutex", True, False, 14),
    (only("godeltaprofMemory"), "godeltaprof_memory", "memory", True, False, None),
    (only("godeltaprofBlock"), "godeltaprof_block", "block", True, False, None),
    (only("godeltaprofMutex"), "godeltaprof_mutex", "mutex", True, False, None),
    (only("goroutine"), "goroutine", "goroutine", False, False, None),
    (only(goroutine={"delta": True}), "goroutine", "goroutine", False, False, 14),
    (only("processCPU"), "process_cpu", "process_cpu", False, False, 14),
    (only("fgprof"), "fgprof", "fgprof", False, False, 14),
    (only(custom=[{**CUSTOM, "name": "mine"}]), "mine", "mine", False, False, None),
    (only(custom=[{**CUSTOM, "name": "mine", "delta": True}]), "mine", "mine", False, False, 14),
]


@pytest.mark.parametrize(("config", "kind", "name", "is_delta", "by_operator", "seconds"), MADE)
def test_series(config: dict[str, Any], kind: str, name: str, is_delta: bool, by_operator: bool, seconds: int | None) -> None:
    (made,) = scrapes(config)
    assert made.profile.type == kind
    assert made.labels["__name__"] == name
    assert made.labels.get("__delta__") == ("false" if is_delta else None)
    assert made.profile.cumulative is by_operator
    assert made.profile.seconds == seconds
    assert made.timeout == 15 + (seconds or 0)


def test_a_cumulative_custom_profile_is_sent_as_the_difference_that_it_is() -> None:
    (made,) = scrapes(only(custom=[{**CUSTOM, "name": "mine", "cumulative": True}]))
    assert made.profile.cumulative
    assert made.labels["__delta__"] == "false"


@pytest.mark.parametrize("name", ["Memory", "Block", "Mutex"])
def test_godeltaprof_takes_the_place_of_the_plain_type(name: str) -> None:
    (made,) = scrapes(only(name.lower(), f"godeltaprof{name}"))
    assert made.profile.type == f"godeltaprof_{name.lower()}"
    (made,) = scrapes(only(f"godeltaprof{name}"))
    assert made.profile.type == f"godeltaprof_{name.lower()}"


def test_disabled_custom_profiles_are_not_taken() -> None:
    assert scrapes(only(custom=[{"name": "mine", "enabled": False, "path": "/mine"}])) == []


def test_prefix_stands_before_every_path() -> None:
    config = only("memory", "fgprof", pathPrefix="/internal", custom=[{**CUSTOM, "name": "mine"}])
    assert [s.profile.path for s in scrapes(config)] == [
        "/internal/debug/pprof/allocs",
        "/internal/debug/fgprof",
        "/internal/mine",
    ]


@pytest.mark.parametrize(
    ("fields", "seconds", "timeout"),
    [
        pytest.param({}, 14, 29.0, id="default"),
        pytest.param({"interval": "10s500ms"}, 9, 24.0, id="rounded down"),
        pytest.param({"interval": "2s", "scrapeTimeout": "1s"}, 1, 2.0, id="shortest"),
        pytest.param({"deltaProfilingDuration": "5s"}, 5, 20.0, id="as wished"),
        pytest.param({"interval": "1m", "scrapeTimeout": "500ms"}, 59, 59.5, id="below a second"),
    ],
)
def test_timeout_is_extended_by_the_seconds_of_the_profile(fields: dict[str, Any], seconds: int, timeout: float) -> None:
    cpu, memory = sorted(scrapes(only("processCPU", "memory"), **fields), key=lambda s: s.profile.type, reverse=True)
    assert (cpu.profile.seconds, cpu.timeout) == (seconds, timeout)
    assert (memory.profile.seconds, memory.timeout) == (None, timeout - seconds)


@pytest.mark.parametrize("name", ["processCPU", "fgprof"])
def test_the_target_may_choose_the_length(name: str) -> None:
    (made,) = scrapes(only(**{name: {"enabled": True, "delta": False}}), **LONG)
    assert (made.profile.seconds, made.timeout) == (None, 60.0)
    assert made.query == []


def test_params_and_seconds_are_asked_for() -> None:
    (made,) = scrapes(only("processCPU"), params={"b": ["2", "1"], "a": ["x"]})
    assert made.query == [("a", "x"), ("b", "2"), ("b", "1"), ("seconds", "14")]


@pytest.mark.parametrize(
    ("own", "expected"),
    [(None, 16 * MIB), ("0", 16 * MIB), ("1MiB", MIB), ("16MiB", 16 * MIB), ("1GiB", 16 * MIB), ("0.5KB", 512)],
)
def test_the_lower_body_limit_wins(own: str | None, expected: int) -> None:
    found = wanted(bodySizeLimit=own, profilingConfig=only("memory"))
    (made,) = plan([found], pods_in([pod()]), 16 * MIB)[found.ref].scrapes
    assert made.body_limit == expected


def test_the_rest_of_a_scrape_is_as_the_object_says() -> None:
    (made,) = scrapes(only("memory"), interval="1m30s", scrapeTimeout="500ms", followRedirects=False)
    assert (made.interval, made.timeout, made.follow_redirects) == (90.0, 0.5, False)
    assert str(made.source) == "shop/checkout"
