"""Effective settings: what is really asked of a target."""

from typing import Any

import pytest

from pyroscope_operator.api.load import load_scrape
from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import ProfileRequest

MEMORY = ProfileRequest("memory", "memory", "/debug/pprof/allocs", None, True, True)
BLOCK = ProfileRequest("block", "block", "/debug/pprof/block", None, True, True)
MUTEX = ProfileRequest("mutex", "mutex", "/debug/pprof/mutex", None, True, True)
GOROUTINE = ProfileRequest("goroutine", "goroutine", "/debug/pprof/goroutine", None, False, False)
CPU = ProfileRequest("process_cpu", "process_cpu", "/debug/pprof/profile", 14, False, False)
OFF = {"enabled": False}
NONE = dict.fromkeys(("memory", "block", "mutex", "goroutine", "processCPU"), OFF)


def spec(**fields: Any) -> PyroscopeScrapeSpec:
    manifest = {"metadata": {"name": "a"}, "spec": {"selector": {}, **fields}}
    return load_scrape(manifest).spec


def only(name: str, **config: Any) -> ProfileRequest:
    """The request for the only enabled profile."""
    (request,) = spec(profilingConfig={**NONE, name: {"enabled": True, **config}}).profiles()
    return request


def test_defaults() -> None:
    assert spec().profiles() == (MEMORY, BLOCK, MUTEX, GOROUTINE, CPU)


def test_the_example_of_the_reference_page() -> None:
    config = {"fgprof": {"enabled": True}, "block": OFF, "mutex": OFF}
    paths = [(request.path, request.seconds) for request in spec(profilingConfig=config).profiles()]
    assert sorted(paths, key=str) == [
        ("/debug/fgprof", 14),
        ("/debug/pprof/allocs", None),
        ("/debug/pprof/goroutine", None),
        ("/debug/pprof/profile", 14),
    ]


@pytest.mark.parametrize(
    ("field", "config", "wanted"),
    [
        ("memory", {"delta": True}, ProfileRequest("memory", "memory", "/debug/pprof/allocs", 14, False, True)),
        ("block", {"path": "/b"}, ProfileRequest("block", "block", "/b", None, True, True)),
        ("goroutine", {"delta": True}, ProfileRequest("goroutine", "goroutine", "/debug/pprof/goroutine", 14, False, False)),
        ("fgprof", {}, ProfileRequest("fgprof", "fgprof", "/debug/fgprof", 14, False, False)),
        ("godeltaprofMemory", {}, ProfileRequest("godeltaprof_memory", "memory", "/debug/pprof/delta_heap", None, False, True)),
        ("godeltaprofMutex", {}, ProfileRequest("godeltaprof_mutex", "mutex", "/debug/pprof/delta_mutex", None, False, True)),
        ("godeltaprofBlock", {"path": "/x"}, ProfileRequest("godeltaprof_block", "block", "/x", None, False, True)),
    ],
)
def test_one_type(field: str, config: dict[str, Any], wanted: ProfileRequest) -> None:
    assert only(field, **config) == wanted


def test_godeltaprof_takes_the_place_of_its_type() -> None:
    types = [r.type for r in spec(profilingConfig={"godeltaprofMemory": {"enabled": True}}).profiles()]
    assert types == ["godeltaprof_memory", "block", "mutex", "goroutine", "process_cpu"]


def test_cpu_without_delta_carries_no_seconds() -> None:
    config = {**NONE, "processCPU": {"delta": False}}
    (cpu,) = spec(interval="1m", scrapeTimeout="40s", profilingConfig=config).profiles()
    assert cpu == ProfileRequest("process_cpu", "process_cpu", "/debug/pprof/profile", None, False, False)


@pytest.mark.parametrize(
    ("config", "seconds", "cumulative"), [({}, None, False), ({"delta": True}, 14, False), ({"cumulative": True}, None, True)]
)
def test_custom(config: dict[str, Any], seconds: int | None, cumulative: bool) -> None:
    custom = [{"name": "waits", "enabled": True, "path": "/w", **config}, {"name": "off", "enabled": False, "path": "/o"}]
    found = spec(profilingConfig={**NONE, "custom": custom, "pathPrefix": "/in"}).profiles()
    assert found == (ProfileRequest("waits", "waits", "/in/w", seconds, cumulative, cumulative, custom=True),)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 14),
        ({"interval": "2.9s"}, 1),
        ({"interval": "1m"}, 59),
        ({"deltaProfilingDuration": "3s"}, 3),
        ({"interval": "5m", "deltaProfilingDuration": "1m30s"}, 90),
    ],
)
def test_delta_seconds(fields: dict[str, Any], seconds: int) -> None:
    assert spec(**fields).delta_seconds == seconds


def test_times_limits_and_job() -> None:
    made = spec(interval="1m", scrapeTimeout="500ms", bodySizeLimit="1KiB", jobName="j")
    assert (made.interval_seconds, made.timeout_seconds, made.body_limit(7)) == (60, 0.5, 1024)
    assert made.job(ObjectRef("ns", "name")) == "j"
    assert spec().job(ObjectRef("ns", "name")) == "ns/name"
    assert spec().body_limit(7) == spec(bodySizeLimit="0").body_limit(7) == 7
    assert (spec().interval_seconds, spec().timeout_seconds) == (15, 15)
