"""One target of each hostile kind beside ten good ones: each has its reason, and no good one loses a scrape.

The whole story runs once (`hostile_play.py`), and each test looks at one side of what was seen.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.harness.cluster import Cluster
from e2e.harness.lane import missed_slots
from e2e.hostile_kinds import INTERVAL, KINDS, MARKER, TIMES, UNDELIVERABLE, UP, address, expected, failing, times
from e2e.hostile_play import Seen, Stage, clear, failures, play

_STARVED = 2 / 3
_RSS_BOUND = 600
"""MiB: 120 for the operator itself, 128 for bodies (--body-memory), and two threads at work on a profile each: 16 unpacked,
twice for a moment, and up to 140 for what is parsed of it."""


@pytest.fixture(scope="module")
def seen(cluster: Cluster, folder: Path) -> Iterator[Seen]:
    seen = Seen()
    with ExitStack() as stack:
        stage = Stage(cluster, folder, stack)
        stack.callback(clear, cluster)
        play(stage, seen)
        yield seen


@pytest.fixture
def fair(seen: Seen) -> None:
    """Nothing can be said of what should be done in time where the operator hardly gets a CPU."""
    if seen.starved > _STARVED:
        pytest.skip(
            f"the machine is overloaded: the operator waited for a CPU {seen.starved:.0%} of the time in which it could run"
        )


def results(seen: Seen) -> Counter[str]:
    """How many scrapes had which result, by the metrics."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(seen.metrics):
        for sample in family.samples:
            if sample.name == "pyroscope_operator_scrapes_total":
                found[sample.labels["result"]] += int(sample.value)
    return found


def _reached(kind: str) -> set[str]:
    return {f"failures/{reason}" for reason in failing(kind).values()}


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind, marks=pytest.mark.reaches(*_reached(kind))) for kind in KINDS])
def test_the_reason_stands_in_status(seen: Seen, kind: str) -> None:
    status = seen.objects[kind]["status"]
    wanted = failing(kind)
    assert failures(seen.objects[kind]) == wanted, status
    assert status["targets"]["up"] == (not wanted)
    assert all(failure["pod"] == kind and failure["message"] for failure in status["failures"])


def test_everything_was_really_asked(seen: Seen) -> None:
    asked = {kind: hit["requests"] for kind, hit in seen.hits["kinds"].items()}
    few = {kind for kind in KINDS if asked.get(kind, 0) < times(kind) * len(expected(kind))}
    assert few == {"refused", "never-accepted"}  # nobody there who could count


def test_no_redirect_leads_elsewhere(seen: Seen) -> None:
    assert seen.hits["canary"] == 0


def test_the_reasons_stand_in_the_metrics(fair: None, seen: Seen) -> None:
    wanted: Counter[str] = Counter()
    for kind in KINDS:
        for reason in expected(kind).values():
            wanted[reason or "ok"] += times(kind)
    found = results(seen)
    assert found.keys() == wanted.keys()
    assert not {reason: (found[reason], count) for reason, count in wanted.items() if found[reason] < count}


def test_one_line_for_each_change_of_state(fair: None, seen: Seen) -> None:
    lines: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in seen.log:
        if line["message"].startswith("scrape failed: "):
            assert line["level"] == "WARNING"
            lines[line["target"].partition(":")[0], line["profile_type"]].append(line["message"].split(": ")[1])
    assert not [line for line in seen.log if line["level"] in {"ERROR", "CRITICAL"}]
    assert lines.keys() == {(address(kind), profile) for kind in KINDS for profile in failing(kind)}
    # The reason stays the same, unless a machine under load adds a timeout here and there.
    assert not [reasons for reasons in lines.values() if any(a == b for a, b in itertools.pairwise(reasons))]
    assert sum(map(len, lines.values())) < 1.1 * len(lines)


def test_nothing_of_an_answer_is_quoted(seen: Seen) -> None:
    for said in (seen.targets, seen.objects, seen.log, seen.metrics):
        assert MARKER not in json.dumps(said)


def test_good_targets_lose_no_scrape(fair: None, seen: Seen) -> None:
    assert len(seen.requests) == 10 * 4 + 2
    assert not {key: times for key, times in seen.requests.items() if missed_slots(times, INTERVAL)}
    assert all(len(times) >= TIMES + 3 for times in seen.requests.values())
    good = {key: scrape for key, scrape in seen.scrapes.items() if key[0].startswith("127.0.71.")}
    assert not {key: scrape for key, scrape in good.items() if scrape["failures"] or scrape["skippedSlots"]}


def test_profiles_of_good_targets_arrive_once(fair: None, seen: Seen) -> None:
    assert seen.duplicates == 0
    arrived = Counter((profile["labels"]["pod"], profile["labels"]["__name__"]) for profile in seen.arrived)
    for number in range(10):
        for profile, path, baselines in (("goroutine", "goroutine", 0), ("memory", "allocs", 1)):
            asked = seen.requests[f"127.0.71.{number + 1}", f"/debug/pprof/{path}"]
            # A scrape that is cut off by the end of the operator does not count.
            surely = sum(at < seen.ended_at - 1 for at in asked)
            assert surely <= arrived[f"good-{number}", profile] + baselines <= len(asked), (number, profile)


def test_only_what_is_refused_is_in_trouble(seen: Seen) -> None:
    """What the server refuses of one target is told of that target alone."""
    delivering = {
        name: next(f"{c['status']}/{c['reason']}" for c in found["status"]["conditions"] if c["type"] == "Delivering")
        for name, found in seen.objects.items()
    }
    for kind in KINDS:
        if kind in UNDELIVERABLE:
            assert delivering[kind] == "False/PushFailing", kind
        elif UP in expected(kind).values():
            assert delivering[kind] == "True/Delivered", kind
    assert delivering["good-true"] == delivering["good-false"] == "True/Delivered"
    memory = [profile for profile in seen.arrived if profile["labels"]["__name__"] == "memory"]
    assert not [profile for profile in memory if profile["negative"]]


def test_memory_is_bounded(seen: Seen) -> None:
    print(f"waited for a CPU: {seen.starved:.0%} of the time")
    print(f"RSS in MiB: first {seen.rss[0]}, median {statistics.median(seen.rss)}, largest {max(seen.rss)}")
    assert max(seen.rss) < _RSS_BOUND


def test_the_event_loop_goes_on(fair: None, seen: Seen) -> None:
    ordered = sorted(latency for _, latency in seen.latency)
    p99, worst = ordered[len(ordered) * 99 // 100], ordered[-1]
    print(f"/healthz, {len(ordered)} times: median {statistics.median(ordered):.4f} s, p99 {p99:.3f} s, worst {worst:.3f} s")
    print("slow answers:", [(round(at, 1), round(took, 2)) for at, took in seen.latency if took > 0.1])
    assert worst < INTERVAL, "held up for so long, it misses slots"


def test_nothing_is_left_behind(seen: Seen) -> None:
    for name, before in seen.levels["before"].items():
        assert seen.levels["after"][name] <= before + 4, name


def test_the_end_is_in_order(seen: Seen) -> None:
    assert seen.exit_code == 0
    assert seen.stopped < 10
