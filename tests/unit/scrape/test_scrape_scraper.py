"""What one scrape does: hand-over, delta state, health, logs and metrics."""

from __future__ import annotations

import asyncio
import gzip
import logging
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pprof_builder import ALLOCS, raw, read
from scrape_fakes import (
    CPU,
    CUSTOM,
    EPOCH,
    GOROUTINE,
    INTERVAL,
    LABELS,
    MEMORY,
    SHOP,
    Answer,
    Bench,
    FakeTargets,
    answers,
    baseline,
    cumulative,
    response,
    scrape,
    snapshot,
    target,
)

from pyroscope_operator.errors import FetchError
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.model.target import ProfileRequest
from pyroscope_operator.scrape.loop import ScrapeLoop
from pyroscope_operator.scrape.room import Room
from pyroscope_operator.scrape.scraper import Scraper
from pyroscope_operator.scrape.workers import Cost, Workers

pytestmark = pytest.mark.looptime


def bench_of(*many: Answer) -> Bench:
    return Bench(FakeTargets(answers(*many)))


async def repeat(scraper: Scraper, times: int) -> None:
    for _ in range(times):
        await scraper.once()


def values(profile: Profile) -> dict[int, list[int]]:
    """By stack of one address."""
    return {stack[0]: numbers for (stack, _), numbers in read(gzip.decompress(profile.body)).items()}


async def test_a_profile_is_handed_to_the_sink() -> None:
    async def slow() -> bytes:
        await asyncio.sleep(3)
        return snapshot(2)

    bench = Bench(FakeTargets(lambda _: slow()))
    await asyncio.sleep(100)
    scraper = Scraper(scrape(CPU), bench.context)
    await scraper.once()
    body = snapshot(2)
    assert bench.sink == [
        Profile(
            source=SHOP,
            labels=LABELS.merged({"__name__": "process_cpu"}),
            body=body,
            raw_bytes=len(gzip.decompress(body)),
            samples=2,
            scraped_at=EPOCH + 100,
        )
    ]
    health = scraper.health
    assert (health.up, health.reason, health.message) == (True, "", "")
    assert (health.last_scrape, health.last_success) == (EPOCH + 100, EPOCH + 100)
    assert health.duration == pytest.approx(3)
    assert (health.body_bytes, health.scrapes, health.failures) == (len(body), 1, 0)
    assert bench.value("scrapes_total", profile_type="process_cpu", result="ok") == 1
    assert bench.value("scrape_body_bytes_total") == len(body)


async def test_the_seconds_that_were_asked_for_are_not_in_the_duration_metric() -> None:
    async def slow() -> bytes:
        await asyncio.sleep(14.25)
        return snapshot()

    bench = Bench(FakeTargets(lambda _: slow()))
    await Scraper(scrape(CPU), bench.context).once()
    assert bench.value("scrape_duration_seconds_sum", profile_type="process_cpu") == pytest.approx(0.25)


async def test_a_wall_clock_that_is_set_back_gives_no_negative_times() -> None:
    def back(_: httpx.Request) -> bytes:
        bench.shift = -3600
        return snapshot()

    bench = Bench(FakeTargets(back))
    scraper = Scraper(scrape(), bench.context)
    await scraper.once()
    assert scraper.health.duration == 0
    assert bench.value("scrape_duration_seconds_sum", profile_type="goroutine") == 0


@pytest.mark.parametrize(
    ("profile", "name", "delta"),
    [
        (MEMORY, "memory", "false"),
        (replace(MEMORY, type="godeltaprof_memory", cumulative=False), "memory", "false"),
        (GOROUTINE, "goroutine", None),
        (CUSTOM, "threads", None),
    ],
    ids=["memory", "godeltaprof", "goroutine", "custom"],
)
async def test_labels_of_the_series(profile: ProfileRequest, name: str, delta: str | None) -> None:
    bench = bench_of(cumulative(1), cumulative(2))
    await repeat(Scraper(scrape(profile), bench.context), 2)
    more = {"__name__": name} | ({"__delta__": delta} if delta else {})
    assert {profile.labels for profile in bench.sink} == {LABELS.merged(more)}


# Delta state


async def test_the_difference_is_sent_and_the_baseline_is_counted() -> None:
    bench = bench_of(cumulative(5), cumulative(7, 1), cumulative(7, 1), cumulative(9, 1))
    scraper = Scraper(scrape(MEMORY), bench.context)
    await scraper.once()
    assert (bench.sink, scraper.health.up) == ([], True)
    assert bench.value("delta_baselines_total") == 1
    await repeat(scraper, 3)
    assert [values(profile)[1][:2] for profile in bench.sink] == [[2, 20], [0, 0], [2, 20]]
    assert values(bench.sink[0])[2] == [1, 10, 1, 10]
    assert bench.value("delta_baselines_total") == 1
    assert bench.value("scrapes_total", profile_type="memory", result="ok") == 4
    assert bench.value("delta_duration_seconds_count") == 4


async def test_what_has_no_samples_is_a_good_scrape_and_is_not_sent() -> None:
    bench = bench_of(gzip.compress(raw([], [("goroutine", "count")])))
    scraper = Scraper(scrape(), bench.context)
    await scraper.once()
    assert (bench.sink, scraper.health.up) == ([], True)
    assert bench.value("delta_baselines_total") == 0
    assert bench.value("profiles_empty_total") == 1
    assert bench.value("delta_duration_seconds_count") == 0, "nothing was subtracted"


@pytest.mark.parametrize(
    "bad",
    [
        httpx.ConnectError("refused"),
        response(b"", status=500),
        b"",
        b"<html>",
        cumulative(50)[:-9],
        snapshot(),
        gzip.compress(bytes(2 << 20)),
    ],
    ids=["connection", "status", "empty", "html", "truncated", "not cumulative", "bomb"],
)
async def test_a_bad_scrape_leaves_the_delta_state(bad: Answer) -> None:
    bench = bench_of(cumulative(5), bad, cumulative(8))
    scraper = Scraper(scrape(MEMORY), bench.context)
    await repeat(scraper, 2)
    assert (scraper.health.up, scraper.health.failures) == (False, 1)
    await scraper.once()
    assert [values(profile)[1][0] for profile in bench.sink] == [3]
    assert scraper.health.up


async def test_a_restarted_process_is_a_new_baseline_and_never_negative() -> None:
    bench = bench_of(cumulative(100), cumulative(110), cumulative(3), cumulative(4))
    await repeat(Scraper(scrape(MEMORY), bench.context), 4)
    assert [values(profile)[1][0] for profile in bench.sink] == [10, 1]
    assert bench.value("delta_baselines_total") == 2


async def test_a_restarted_container_is_a_new_baseline_even_if_its_counters_are_higher() -> None:
    bench = bench_of(cumulative(100), cumulative(900), cumulative(901))
    scraper = Scraper(scrape(MEMORY), bench.context)
    await scraper.once()
    scraper.update(scrape(MEMORY, target(container_id="c2")))
    await repeat(scraper, 2)
    assert [values(profile)[1][0] for profile in bench.sink] == [1]


@pytest.mark.parametrize(
    "fields",
    [
        {"at": target(labels=LABELS.merged({"team": "b"}))},
        {"at": target(healthy=False)},
        {"at": target(discovered=Labels({"__meta_x": "y"}))},
        {"interval": 30.0},
        {"timeout": 3.0},
        {"follow_redirects": False},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_other_changes_keep_the_delta_state(fields: dict[str, Any]) -> None:
    bench = bench_of(cumulative(5), cumulative(7))
    scraper = Scraper(scrape(MEMORY), bench.context)
    await scraper.once()
    changed = scrape(MEMORY, **fields)
    scraper.update(changed)
    await scraper.once()
    assert [values(profile)[1][0] for profile in bench.sink] == [2]
    assert bench.sink[0].labels == changed.labels


async def test_the_request_is_made_anew_only_when_it_is_another_one() -> None:
    scraper = Scraper(scrape(CPU), Bench().context)
    before = scraper._request
    scraper.update(scrape(CPU, target(labels=LABELS.merged({"team": "b"})), timeout=3.0))
    assert scraper._request is before
    scraper.update(scrape(replace(CPU, seconds=7)))
    assert dict(scraper._request.url.params) == {"seconds": "7"}


async def test_a_container_id_that_becomes_known_is_no_restart() -> None:
    """The pod's status may come after its address: the process is the same."""
    bench = bench_of(cumulative(5), cumulative(7))
    scraper = Scraper(scrape(MEMORY, target(container_id="")), bench.context)
    await scraper.once()
    scraper.update(scrape(MEMORY))
    await scraper.once()
    assert [values(profile)[1][0] for profile in bench.sink] == [2]


async def test_a_change_of_who_makes_the_difference_during_a_request() -> None:
    """The body is what was asked for when the request began: as a baseline it would spoil the next difference."""
    by_target = replace(MEMORY, seconds=14, cumulative=False)

    def answer(request: httpx.Request) -> bytes:
        if "seconds" in request.url.params:
            scraper.update(scrape(MEMORY))
            return cumulative(3)
        return cumulative(1000 + len(bench.targets.requests))

    bench = Bench(FakeTargets(answer))
    scraper = Scraper(scrape(by_target), bench.context)
    await repeat(scraper, 3)
    assert [values(profile)[1][0] for profile in bench.sink] == [3, 1]


async def test_the_reverse_change_during_a_request() -> None:
    def answer(request: httpx.Request) -> bytes:
        if len(bench.targets.requests) == 2:
            scraper.update(scrape(replace(MEMORY, seconds=14, cumulative=False)))
        return cumulative(1000 + len(bench.targets.requests))

    bench = Bench(FakeTargets(answer))
    scraper = Scraper(scrape(MEMORY), bench.context)
    await repeat(scraper, 2)
    assert [values(profile)[1][0] for profile in bench.sink] == [1], "never the whole counters as if they were a difference"


# Failures


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.ConnectError("refused"), "ConnectFailed"),
        (ConnectionResetError(104, "reset"), "ConnectionLost"),
        (response(b"secret", status=503), "HTTPStatus"),
        (b"", "EmptyBody"),
        (b"secret goroutine profile: total 7", "NotAProfile"),
        (gzip.compress(b"{}"), "NotAProfile"),
        (gzip.compress(bytes(2 << 20)), "BodyTooLarge"),
        (RuntimeError("secret"), "InternalError"),
    ],
)
async def test_a_failure_stands_in_health_and_metrics(answer: Answer, reason: str) -> None:
    bench = bench_of(snapshot(), answer)
    scraper = Scraper(scrape(), bench.context)
    await scraper.once()
    good = scraper.health
    await asyncio.sleep(15)
    await scraper.once()
    health = scraper.health
    assert (health.up, health.reason) == (False, reason)
    assert health.message
    assert "secret" not in health.message
    assert (health.last_scrape, health.last_success) == (EPOCH + 15, EPOCH)
    assert (health.body_bytes, health.scrapes, health.failures) == (good.body_bytes, 2, 1)
    assert bench.value("scrapes_total", profile_type="goroutine", result=reason) == 1
    assert len(bench.sink) == 1


async def test_a_timeout() -> None:
    async def never() -> bytes:
        await asyncio.sleep(1e6)
        return b""

    bench = Bench(FakeTargets(lambda _: never()))
    scraper = Scraper(scrape(CPU), bench.context)
    await scraper.once()
    assert (scraper.health.up, scraper.health.reason) == (False, "Timeout")
    assert scraper.health.duration == pytest.approx(29)
    assert not bench.targets.running


async def test_logs_tell_changes_of_state_and_not_scrapes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pyroscope_operator")
    down, wrong = httpx.ConnectError("refused"), response(status=404)
    bench = bench_of(snapshot(), snapshot(), down, down, down, wrong, wrong, snapshot(), snapshot(), down)
    await repeat(Scraper(scrape(), bench.context), 10)
    assert [(record.levelname, record.getMessage().split(":")[0]) for record in caplog.records] == [
        ("WARNING", "scrape failed"),
        ("WARNING", "scrape failed"),
        ("INFO", "target is up again"),
        ("WARNING", "scrape failed"),
    ]
    assert vars(caplog.records[0]) | {"object": "shop/checkout", "pod": "checkout-0", "profile_type": "goroutine"} == vars(
        caplog.records[0]
    )


async def test_a_bug_is_contained_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    bench = bench_of(RuntimeError("boom"), snapshot())
    scraper = Scraper(scrape(), bench.context)
    await scraper.once()
    assert scraper.health.reason == "InternalError"
    assert any(record.exc_info for record in caplog.records)
    await scraper.once()
    assert scraper.health.up


async def test_cancelling_is_no_failure() -> None:
    async def never() -> bytes:
        await asyncio.sleep(1e6)
        return b""

    bench = Bench(FakeTargets(lambda _: never()))
    scraper = Scraper(scrape(CPU), bench.context)
    task = asyncio.create_task(scraper.once())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scraper.health.up is None
    assert not bench.targets.running


# Where the work is done


def large() -> bytes:
    rng = random.Random(1)
    samples = [((rng.randrange(1, 1 << 40),), (rng.randrange(1, 1 << 40), i + 1, 1, 1)) for i in range(2000)]
    body = gzip.compress(raw(samples, ALLOCS))
    assert len(body) > 30_000
    return body


@pytest.mark.parametrize("profile", [GOROUTINE, MEMORY], ids=["as it came", "difference"])
async def test_large_bodies_go_to_the_executor(profile: ProfileRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyroscope_operator.scrape.workers._QUICK", 0)
    bench = bench_of(cumulative(1), large(), large()[:-9])
    scraper = Scraper(scrape(profile), bench.context)
    await scraper.once()
    assert bench.executor.calls == 0
    await scraper.once()
    assert bench.executor.calls == 1
    assert scraper.health.up
    await scraper.once()
    assert (bench.executor.calls, scraper.health.reason) == (2, "BrokenGzip")


async def test_large_bodies_that_were_quick_are_done_at_once_while_there_is_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyroscope_operator.scrape.workers._QUICK", 1000)
    monkeypatch.setattr("pyroscope_operator.scrape.workers._MOMENT", 1000)
    bench = bench_of(cumulative(1), *[large()] * 5, large() + bytes(1 << 19))
    scraper = Scraper(scrape(GOROUTINE), bench.context)
    await repeat(scraper, 4)
    assert bench.executor.calls == 1, "the first one: nothing was known of it"
    monkeypatch.setattr("pyroscope_operator.scrape.workers._MOMENT", 0)
    await scraper.once()
    assert bench.executor.calls == 2
    monkeypatch.setattr("pyroscope_operator.scrape.workers._MOMENT", 1000)
    await scraper.once()
    assert bench.executor.calls == 2
    await scraper.once()
    assert bench.executor.calls == 3, "it is too large for that"


async def test_a_few_bytes_that_hold_a_large_profile_go_to_the_executor() -> None:
    """Gzip may hold a thousand times its own size."""
    large = raw([((1,), (1,))] * 10_000, [("goroutine", "count")])
    body = gzip.compress(large)
    assert len(body) < 1000
    lie = gzip.compress(large[:-3]) + gzip.compress(large[-3:])
    bench = bench_of(body, response(gzip.compress(body), content_encoding="gzip"), lie)
    await repeat(Scraper(scrape(), bench.context), 3)
    assert bench.executor.calls == 3
    assert [profile.samples for profile in bench.sink] == [10_000] * 3


async def test_a_small_limit_is_kept_without_a_thread() -> None:
    bench = bench_of(snapshot(10))
    scraper = Scraper(scrape(body_limit=50), bench.context)
    await scraper.once()
    assert (bench.executor.calls, scraper.health.reason) == (0, "BodyTooLarge")


# A Content-Encoding


@pytest.mark.parametrize("samples", [1, 2000])
async def test_a_content_encoding_is_undone_once(samples: int) -> None:
    """The profile itself is gzip, too, and stays so."""
    body = snapshot(samples)
    bench = bench_of(response(gzip.compress(body), content_encoding="gzip"))
    await Scraper(scrape(), bench.context).once()
    assert [profile.body for profile in bench.sink] == [body]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(bytes(5_000_000)), "BodyTooLarge"),
        (gzip.compress(snapshot())[:-3], "BrokenGzip"),
        (gzip.compress(gzip.compress(snapshot())), "NotAProfile"),
        (snapshot()[:-3], "BrokenGzip"),
    ],
)
async def test_a_content_encoding_that_is_a_bomb_or_broken(body: bytes, reason: str) -> None:
    bench = bench_of(response(body, content_encoding="gzip"))
    scraper = Scraper(scrape(), bench.context)
    await scraper.once()
    assert scraper.health.reason == reason


# Room and turns


async def test_a_body_counts_until_its_profile_is_prepared() -> None:
    body = snapshot(4000)
    assert len(body) > 20_000
    held: list[float] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:10_000]
        held.append(bench.bodies.held)
        yield body[10_000:]

    def in_a_thread() -> None:
        held.append(bench.bodies.held)

    bench = bench_of(httpx.Response(200, content=chunks()))
    bench.executor.before = in_a_thread
    scraper = Scraper(scrape(), bench.context)
    await scraper.once()
    assert (scraper.health.up, held, bench.bodies.held) == (True, [10_000, len(body)], 0)


async def test_a_body_that_is_worked_on_is_not_given_up() -> None:
    """A thread can't be stopped, so what it holds would be held without being counted."""
    others = []

    def in_a_thread() -> None:
        other = bench.bodies.enter("other", lambda: None)
        with pytest.raises(FetchError):
            other.grow(len(body) - 1)
        others.append(other)

    body = snapshot(4000)
    bench = bench_of(body)
    bench.bodies = Room(2 * len(body) - 2, "--body-memory")
    bench.executor.before = in_a_thread
    scraper = Scraper(scrape(), bench.context)
    await scraper.once()
    assert (scraper.health.up, len(others), bench.bodies.held) == (True, 1, 0)


async def test_a_body_that_fails_is_forgotten() -> None:
    bench = bench_of(b"no profile", response(bytes(2000), status=500), bytes(2 << 20), TimeoutError())
    scraper = Scraper(scrape(), bench.context)
    for _ in range(4):
        await scraper.once()
        assert (scraper.health.up, bench.bodies.held) == (False, 0)


async def test_without_room_the_largest_is_given_up() -> None:
    """A target that sends much and then nothing loses to one that sends a little."""

    async def stuck() -> AsyncIterator[bytes]:
        yield bytes(900)
        await asyncio.sleep(1e6)

    hostile, good = target(namespace="hostile"), target()
    bench = bench_of(httpx.Response(200, content=stuck()), snapshot(5))
    bench.bodies = Room(1000, "--body-memory")
    slow, quick = Scraper(scrape(at=hostile, timeout=1e6), bench.context), Scraper(scrape(at=good), bench.context)
    task = asyncio.create_task(slow.once())
    await asyncio.sleep(1)
    await quick.once()
    await task
    assert (quick.health.up, slow.health.reason, bench.bodies.held) == (True, "MemoryFull", 0)
    assert bench.value("scrapes_total", profile_type="goroutine", result="MemoryFull") == 1


# Baselines


async def test_a_baseline_counts_as_long_as_it_is_kept() -> None:
    bench = bench_of(cumulative(1, 1, 1), cumulative(1), cumulative(1, 1), b"no profile")
    scraper = Scraper(scrape(MEMORY), bench.context)
    held = []
    for _ in range(4):
        await scraper.once()
        held.append(bench.baselines.held)
    assert held == [baseline(1, 1, 1), baseline(1), baseline(1, 1), baseline(1, 1)]
    scraper.update(scrape(MEMORY, at=target(container_id="c2")))
    assert bench.baselines.held == 0


async def test_a_baseline_ends_with_its_loop() -> None:
    bench = bench_of(cumulative(1))
    loop = ScrapeLoop(Scraper(scrape(MEMORY), bench.context), bench.ticker)
    loop.start()
    await asyncio.sleep(INTERVAL)
    assert bench.baselines.held == baseline(1) > 0
    assert loop.stop() is None
    assert bench.baselines.held == 0


async def test_a_baseline_for_which_there_is_no_room() -> None:
    """The difference is still sent; the next profile can have none."""
    bench = bench_of(*(cumulative(n, n) for n in (1, 2)), *(cumulative(*[n] * 20) for n in (3, 4)), cumulative(5), cumulative(6))
    bench.baselines = Room(baseline(*[3] * 20) - 1, "--baseline-memory")
    scraper = Scraper(scrape(MEMORY), bench.context)
    seen = []
    for _ in range(6):
        await scraper.once()
        seen.append((scraper.health.reason, len(bench.sink), bench.baselines.held))
    two, full, one = baseline(1, 1), ("MemoryFull", 2, 0), baseline(5)
    assert seen == [("", 0, two), ("", 1, two), full, full, ("", 2, one), ("", 3, one)]


async def test_the_largest_baseline_makes_room_and_its_scrape_says_so() -> None:
    answer = {
        "10.0.0.1": [cumulative(*[1] * 20), cumulative(*[2] * 10), cumulative(*[3] * 10)],
        "10.0.0.2": [cumulative(1, 1), cumulative(2, 2)],
    }
    bench = Bench(FakeTargets(lambda request: answer[request.url.host].pop(0)))
    large, small = baseline(*[1] * 20), baseline(1, 1)
    bench.baselines = Room(large + small - 1, "--baseline-memory")
    hostile = Scraper(scrape(MEMORY, at=target(namespace="hostile")), bench.context)
    good = Scraper(scrape(MEMORY, at=target(address="10.0.0.2:6060")), bench.context)
    await hostile.once()
    assert bench.baselines.held == large
    await repeat(good, 2)
    assert (good.health.up, bench.baselines.held, len(bench.sink)) == (True, small, 1)
    await hostile.once()
    assert (hostile.health.reason, len(bench.sink), bench.baselines.held) == ("MemoryFull", 1, baseline(*[2] * 10) + small)
    await hostile.once()
    assert (hostile.health.up, len(bench.sink)) == (True, 2)


async def test_who_gets_no_thread_within_the_interval_is_given_up() -> None:
    bench = bench_of(snapshot(4000))
    blocked = Executor()
    blocked.submit = lambda *_: Future()  # type: ignore[method-assign]
    bench.workers = Workers(blocked, 2)
    for _ in range(2):
        asyncio.create_task(bench.workers.run(Cost(), int, int, 60))  # noqa: RUF006
    await asyncio.sleep(0)
    scraper = Scraper(scrape(), bench.context)
    started = asyncio.get_running_loop().time()
    await scraper.once()
    assert (scraper.health.reason, bench.bodies.held) == ("Overloaded", 0)
    assert asyncio.get_running_loop().time() - started == pytest.approx(INTERVAL)


@pytest.mark.parametrize(("profile", "name"), [(CPU, "process_cpu"), (MEMORY, "memory"), (CUSTOM, "custom")])
async def test_metrics_know_no_names_of_users(profile: ProfileRequest, name: str) -> None:
    bench = bench_of(cumulative(1), response(status=500))
    await repeat(Scraper(scrape(profile), bench.context), 2)
    found: Callable[[str], float] = lambda result: bench.value("scrapes_total", profile_type=name, result=result)  # noqa: E731
    assert (found("ok"), found("HTTPStatus")) == (1, 1)
    assert bench.value("scrape_duration_seconds_count", profile_type=name) == 2
