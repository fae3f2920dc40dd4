"""A sick Pyroscope: down, refusing, stalling, limiting, answering in part or not at all, and what becomes of every profile.

What was scraped is known from the apps' own logs, what arrived from the receiver's record, so the operator's counters are
checked by both.
"""

from __future__ import annotations

import gzip
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from e2e.harness.crafted import Crafted
from e2e.harness.lane import PATHS, Lane, Series, by_series, missed_slots, missing, pauses
from e2e.harness.parts import DemoApp, check_deltas
from e2e.harness.process import free_port
from e2e.harness.wait import eventually
from pyroscope_operator._proto.profile_pb2 import Profile, Sample, ValueType

_MIN_BACKOFF, _MAX_BACKOFF = 0.1, 2.0
_BACKOFF = ("--write-min-backoff", "100ms", "--write-max-backoff", "2s")
_HERD = 28
_TIGHT = "1MiB"
_WELL = 6
_RETRIES = 5
_GRACE = 3
_NOISE = 1.5
"""Seconds by which a busy machine may be late."""
_MIB = 1 << 20


@pytest.fixture(scope="module")
def herd(binaries: None, folder: Path) -> Iterator[DemoApp]:
    """One process that plays many targets, each at a loopback address of its own."""
    app = DemoApp("herd", folder, "0.0.0.0", free_port(), record=False)
    yield app
    app.stop()


def addresses(herd: DemoApp, count: int, block: int) -> list[str]:
    return [f"127.0.{block}.{number}:{herd.port}" for number in range(1, count + 1)]


def pprof(*, age: float = 0, period_type: bool = True, padding: str = "") -> bytes:
    """A profile as gzip; `age` in seconds."""
    profile = Profile(
        string_table=[b"", b"goroutine", b"count", padding.encode()],
        sample_type=[ValueType(type=1, unit=2)],
        sample=[Sample(value=[1])],
        time_nanos=int((time.time() - age) * 1e9),
    )
    if period_type:
        profile.period_type.CopyFrom(ValueType(type=1, unit=2))
    return gzip.compress(profile.SerializeToString(), 1)


# Twenty intervals without Pyroscope


@pytest.fixture
def outage(binaries: None, folder: Path, herd: DemoApp) -> Iterator[tuple[Lane, Lane, list[DemoApp]]]:
    """Two operators on the same 30 targets: the queue of one is large enough for the outage, that of the other is not.

    Two targets are processes of their own, recorded, for the first operator alone: its differences are checked exactly.
    """
    singles = [DemoApp(f"single-{n}", folder, f"127.0.72.{n}", free_port(), workload="payments") for n in (1, 2)]
    shared = addresses(herd, 30, 71)
    own = [app.address for app in singles]
    roomy = Lane(folder, "roomy", shared[:_HERD] + own, *_BACKOFF, interval=2.5, profiles=tuple(PATHS))
    tight = Lane(folder, "tight", shared, *_BACKOFF, "--queue-size", _TIGHT, interval=2.5, profiles=("goroutine", "block"))
    yield roomy, tight, [herd, *singles]
    for lane in (roomy, tight):
        lane.close()
    for app in singles:
        app.stop()


def test_twenty_intervals_without_pyroscope(outage: tuple[Lane, Lane, list[DemoApp]]) -> None:
    roomy, tight, apps = outage
    lanes = (roomy, tight)
    for lane in lanes:
        lane.wait_delivering()
    last = {lane: lane.take_down() for lane in lanes}
    down, idle = time.time(), {lane: lane.operator.rss() for lane in lanes}
    # Seldom: what is asked for here costs the operators as much as several scrapes.
    eventually(lambda: {lane.delivery() for lane in lanes} == {("False", "PushFailing")}, "the outage is told", 15, 1)
    eventually(lambda: tight.delivery() == ("False", "QueueFull"), "the loss is told", 60, 2)
    eventually(lambda: time.time() > down + 20 * roomy.interval, "twenty intervals", 60)
    assert roomy.delivery() == ("False", "PushFailing")
    full = {lane: lane.operator.metric("push_queue_bytes") for lane in lanes}
    grown = {lane: lane.operator.rss() - idle[lane] for lane in lanes}

    for lane in lanes:
        lane.bring_up()
    for lane in lanes:
        eventually(lambda lane=lane: lane.delivery() == ("True", "Delivered"), "profiles arrive again", 30, 1)
    eventually(lambda: time.time() > down + 21 * roomy.interval, "an interval with Pyroscope", 60)
    together(*(lane.quiesce for lane in lanes))
    for lane in lanes:
        arrived, scraped, lost = lane.receiver.profiles(), lane.scraped(apps), lane.operator.dropped()
        assert lost.keys() == ({"QueueFull"} if lane is tight else set())
        _no_slot_missed(lane, scraped)
        _books_balance(lane, scraped, arrived)
        _in_order(arrived)
        if lane is tight:
            _the_oldest_went(scraped, arrived, last[lane])
        bound = 1 * _MIB if lane is tight else full[lane]
        assert full[lane] <= bound
        assert grown[lane] < 1.25 * bound + 16 * _MIB, f"{lane.name}: {grown[lane]} bytes more for {full[lane]} in the queue"
        sizes = f"queue {full[lane] / _MIB:.1f} MiB, RSS +{grown[lane] / _MIB:.1f} MiB"
        print(f"\n{lane.name}: {sizes}, {len(arrived)} arrived, lost {lost}")
        assert lane.operator.stop() == 0
        told = lane.last_words()
        assert (told["pushed"], told["lost"]) == (len(arrived), lost)
    for app in apps[1:]:
        for kind in ("memory", "mutex", "block"):
            labels = {"instance": app.address, "__name__": kind}
            check_deltas(roomy.receiver, [app.recording], PATHS[kind], labels, at_least=22)


def _no_slot_missed(lane: Lane, scraped: dict[Series, list[float]]) -> None:
    assert len({series.host for series in scraped}) == 30
    assert lane.operator.metric("scrape_slots_skipped_total") == 0
    missed = {series: times for series, times in scraped.items() if missed_slots(times, lane.interval)}
    assert not missed, f"{lane.name}: {missed}"


def _books_balance(lane: Lane, scraped: dict[Series, list[float]], arrived: list[dict[str, Any]]) -> None:
    """Every profile that was served is one that arrived, a baseline, an empty one or one that is counted as lost."""
    metric = lane.operator.metric
    served, taken = sum(map(len, scraped.values())), by_series(arrived)
    gone = sum(len(missing(times, taken[series])) for series, times in scraped.items())
    scrapes = metric("scrapes_total", result="ok")
    assert scrapes == metric("scrapes_total"), "no scrape failed"
    cancelled = served - scrapes
    assert 0 <= cancelled <= len(scraped), "scrapes that were cancelled when scraping was suspended"
    unsent = metric("delta_baselines_total") + metric("profiles_empty_total")
    lost = sum(lane.operator.dropped().values())
    assert metric("profiles_sent_total") == len(arrived)
    assert len(arrived) + lost + unsent == scrapes
    assert gone == unsent + lost + cancelled


def _in_order(arrived: list[dict[str, Any]]) -> None:
    for series, times in by_series(arrived).items():
        assert times == sorted(times), f"{series}: not in the order of scraping"


def _the_oldest_went(scraped: dict[Series, list[float]], arrived: list[dict[str, Any]], last: int) -> None:
    """But for those that were on their way just when the receiver came back: they are not dropped, though the oldest."""
    late = [profile for profile in arrived if profile["seq"] > last]
    waited = [profile for profile in late if profile["request"] != late[0]["request"]]
    oldest = min(profile["timeNanos"] / 1e9 for profile in waited)
    taken = by_series([*(profile for profile in arrived if profile["seq"] <= last), *waited])
    for series, times in scraped.items():
        gone = missing(times, taken[series])[0 if series.path == PATHS["goroutine"] else 1 :]  # without the baseline
        gone = [number for number in gone if number != len(times) - 1]  # nor what was cancelled in the end
        assert gone, f"{series}: everything arrived"
        assert gone[-1] - gone[0] == len(gone) - 1, f"{series}: losses with profiles in between that waited and arrived"
        # They queue in the order in which their scrapes end.
        assert times[gone[-1]] < oldest + 2.5, f"{series}: a younger profile went"


# Four operators, started once for all that follows: each has a Pyroscope of its own, so four sicknesses run at the same time


@pytest.fixture(scope="module")
def lanes(binaries: None, folder: Path, herd: DemoApp) -> Iterator[list[Lane]]:
    flags = ("--write-remote-timeout", "1s", "--write-max-retries", str(_RETRIES), "--shutdown-grace", f"{_GRACE}s", *_BACKOFF)
    made = [Lane(folder, name, addresses(herd, _WELL, 73), *flags) for name in ("one", "two", "three", "four")]
    for lane in made:
        lane.wait_delivering()
    yield made
    for lane in made:
        lane.close()


@pytest.fixture
def four(lanes: list[Lane]) -> list[Lane]:
    """The lanes, well."""
    for lane in lanes:
        lane.recover()
    for lane in lanes:
        eventually(lambda lane=lane: lane.delivery() == ("True", "Delivered"), f"{lane.name} delivers", 30)
    return lanes


def together(*jobs: Callable[[], None]) -> None:
    """Run jobs at the same time; raises what went wrong in any of them."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        errors = [error for done in [pool.submit(job) for job in jobs] if (error := done.exception())]
    if errors:
        raise BaseExceptionGroup(f"{len(errors)} of {len(jobs)} failed", errors)


class Watch:
    """What happens in a lane from now on; `check` is for the end."""

    def __init__(self, lane: Lane, herd: DemoApp) -> None:
        self.lane, self._herd = lane, herd
        self._number, self._seq = lane.last_request(), lane.receiver.last_seq()
        self._lost = Counter(lane.operator.dropped())
        self._served = max((entry["seq"] for entry in herd.requests()), default=0)
        self.begun = time.time()  # after the rest: what was scraped from now on arrives after number `_seq`

    def requests(self) -> list[dict[str, Any]]:
        return self.lane.receiver.requests(self._number)

    def hit(self, least: int) -> list[dict[str, Any]]:
        """Requests that met the fault, as soon as there are enough that are over."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.requests() if one["faulted"] and one["durationMs"]]

        return eventually(lambda: len(found()) >= least and found(), f"{least} requests meet the fault of {self.lane.name}", 30)

    def taken(self) -> Counter[str]:
        """How often each profile was taken."""
        return Counter(profile["id"] for profile in self.lane.receiver.profiles(self._seq))

    def lost(self) -> dict[str, int]:
        """Profiles that the operator counted as lost since, by reason."""
        return dict(Counter(self.lane.operator.dropped()) - self._lost)

    def check_complete(self, until: float, well: int = _WELL, *, once: bool = True) -> None:
        """The first `well` targets were scraped all the time, and everything arrives that was scraped up to `until`.

        `once` False: profiles may arrive more than once.
        """

        def all_there() -> dict[Series, list[float]]:
            profiles = [one for one in self.lane.receiver.profiles(self._seq) if one["timeNanos"] / 1e9 > self.begun]
            taken = by_series(profiles if once else {profile["id"]: profile for profile in profiles}.values())
            served = self.lane.scraped([self._herd], self._served)
            scraped = {series: times for series, times in served.items() if _number(series) <= well}
            assert len(scraped) == well
            for series, times in scraped.items():
                lost = [times[number] for number in missing(times, taken.get(series, ()))]
                assert not [moment for moment in lost if self.begun < moment < until], f"{series} is missing: {lost}"
            return scraped

        for series, times in eventually(all_there, f"everything of {self.lane.name} arrives", 30, 0.5).items():
            assert missed_slots(times, self.lane.interval) <= 1 + len(times) / 2, series  # a busy machine may cost some


def _number(series: Series) -> int:
    return int(series.host.rpartition(".")[2])


def least_pause(failure: int) -> float:
    """Seconds that the operator waits at least after so many failures in a row."""
    return max(_MIN_BACKOFF, min(_MAX_BACKOFF, _MIN_BACKOFF * 2**failure) / 2)


# Kinds of outages


def fails(lane: Lane, herd: DemoApp, **fault: Any) -> None:
    """Everything is sent again until it is taken, after longer and longer pauses, and nothing twice."""
    watch = Watch(lane, herd)
    lane.sicken(count=_RETRIES, **fault)
    hit = watch.hit(_RETRIES)
    healed = time.time()
    waited = pauses(hit)
    for failure, pause in enumerate(waited, 1):
        bound = min(_MAX_BACKOFF, _MIN_BACKOFF * 2**failure) + _NOISE
        assert least_pause(failure) - 0.02 < pause < bound, f"{fault}: waited {waited}"
    watch.check_complete(healed)
    sent = {sample for request in hit for sample in request["ids"]}
    catching_up = [one for one in watch.requests() if one["unixNano"] / 1e9 > healed and sent & set(one["ids"])]
    assert len(catching_up) < 16, "no storm"
    assert watch.lost() == {}


def refuses(lane: Lane, herd: DemoApp, reason: str, **fault: Any) -> None:
    """Each profile is sent once, counted as lost, and those that come later arrive."""
    watch = Watch(lane, herd)
    lane.sicken(count=3, **fault)
    hit = watch.hit(3)
    after = Watch(lane, herd)
    after.check_complete(eventually(lambda: time.time() > after.begun + 2 and time.time(), "two intervals", 10))
    refused = {sample for request in hit for sample in request["ids"]}
    attempts = Counter(sample for request in watch.requests() for sample in request["ids"])
    assert {attempts[sample] for sample in refused} == {1}, f"{fault}: sent again"
    assert not refused & watch.taken().keys()
    assert min(pauses(hit)) > 0.3, f"{fault}: hammered"
    assert watch.lost() == {reason: len(refused)}


def limits(lane: Lane, herd: DemoApp) -> None:
    """The server's wish is fulfilled, be it in seconds or a date, but not beyond the longest back-off."""
    for wish in ("2", "date", "3600"):
        watch = Watch(lane, herd)
        date = int(time.time()) + 2
        lane.sicken(count=1, status=429, retryAfter=formatdate(date, usegmt=True) if wish == "date" else wish)
        hit = watch.hit(1)[0]
        later = eventually(
            lambda hit=hit, watch=watch: [r for r in watch.requests() if r["number"] > hit["number"]], "the next one", 10
        )
        (pause,) = pauses([hit, later[0]])
        if wish == "date":
            assert later[0]["unixNano"] / 1e9 > date
        else:
            assert 2 - 0.02 < pause < 2 + _NOISE, f"Retry-After {wish}: waited {pause} s"
        watch.check_complete(time.time())
        assert watch.lost() == {}


def is_down(lane: Lane, herd: DemoApp) -> None:
    watch, refused = Watch(lane, herd), lane.pushes("Unreachable")
    lane.take_down()
    down = time.time()
    tries = eventually(lambda: max(0, lane.pushes("Unreachable") - refused - 3), "four connections were refused", 30, 0.2) + 3
    assert time.time() - down > sum(map(least_pause, range(1, tries))) - 0.5, f"{tries} attempts"
    lane.bring_up()
    watch.check_complete(time.time())
    assert watch.lost() == {}


def is_a_black_hole(lane: Lane, herd: DemoApp) -> None:
    """What it took while it hung is taken twice, and only that."""
    watch, hung = Watch(lane, herd), lane.pushes("DeadlineExceeded")
    lane.freeze()
    eventually(lambda: lane.pushes("DeadlineExceeded") >= hung + 3, "three requests got no answer", 30, 0.2)
    lane.thaw()
    watch.check_complete(time.time(), once=False)
    attempts = Counter(sample for request in watch.requests() for sample in request["ids"])
    assert all(times <= attempts[sample] for sample, times in watch.taken().items())
    assert watch.lost() == {}


def test_kinds_of_outages(four: list[Lane], herd: DemoApp) -> None:
    """Scraping goes on, nothing is hammered, and what may be sent again arrives."""
    one, two, three, lane = four

    def answers() -> None:
        fails(one, herd, status=503)
        fails(one, herd, status=500)
        refuses(one, herd, "Unauthorized", status=401)

    def stalls() -> None:
        fails(two, herd, delayMs=60_000)
        refuses(two, herd, "Unauthorized", status=403)
        refuses(two, herd, "NotFound", status=404)

    def rate_limits() -> None:
        fails(three, herd, status=429)
        limits(three, herd)

    def is_away() -> None:
        refuses(lane, herd, "Redirected", status=307, location=f"{lane.receiver.url}/push.v1.PusherService/Push")
        is_down(lane, herd)
        is_a_black_hole(lane, herd)

    together(answers, stalls, rate_limits, is_away)


# Answers about a part of a batch


def fails_in_part(lane: Lane, herd: DemoApp, *, rejects: bool, **fault: Any) -> None:
    """A series, that of the last target, is never taken: that costs the others nothing, and it is not tried for ever."""
    watch, unknown, partly = Watch(lane, herd), lane.pushes("OutcomeUnknown"), lane.pushes("PartlyFailed")
    well = _WELL - 1
    lane.sicken(match={"instance": lane.targets[-1]["address"]}, **fault)
    eventually(lambda: lane.pushes("OutcomeUnknown") > unknown or lane.pushes("PartlyFailed") > partly, "the first failure", 20)
    begun = time.time()
    eventually(lambda: time.time() > begun + 9 * lane.interval, "nine intervals", 20)
    watch.check_complete(time.time(), well)

    assert lane.pushes("OutcomeUnknown") - unknown <= 1, "one ambiguous batch, not one every interval"
    attempts = Counter(sample for request in watch.requests() for sample in request["ids"])
    assert set(watch.taken().values()) == {1}, "a profile was taken twice"
    assert max(attempts.values()) <= 1 + _RETRIES
    lost, ambiguous = watch.lost(), [one["ids"] for one in watch.requests() if one["status"] >= 400 and len(one["ids"]) > 1]
    assert lost.pop("unknown", 0) in {0, len(ambiguous[0])}
    lost.pop("RetriesExhausted", 0)
    assert lost.keys() == ({"Rejected"} if rejects else set())
    lately = [len(one["ids"]) for one in watch.requests() if one["unixNano"] / 1e9 > time.time() - 4]
    assert max(lately) >= well - 1, f"batches are large again: {lately}"


def heals(lane: Lane, herd: DemoApp) -> None:
    """After the longest back-off everything arrives again."""
    lane.recover()
    healed = time.time()
    eventually(lambda: time.time() > healed + 2 + _MAX_BACKOFF, "the files are read again, and the longest back-off", 10)
    after = Watch(lane, herd)
    after.check_complete(eventually(lambda: time.time() > after.begun + 2 and time.time(), "two intervals", 10))


def test_partial_failures(four: list[Lane], herd: DemoApp) -> None:
    """Errors as Pyroscope builds them and connect-go sends them, some with the id of the profile and most without."""
    one, two, three, lane = four
    sick = threading.Event()
    old = Crafted("127.0.74.7", lambda: pprof(age=2 * 3600 if sick.is_set() else 0))
    bare = Crafted("127.0.74.8", lambda: pprof(period_type=False))  # the server would fail on it: it is mended before
    for where, target in ((three, old), (lane, bare)):
        where.unlogged.append(target)
        where.scrape(staticTargets=[*where.targets, where.target(target.address)])
        eventually(lambda where=where, address=target.address: where.receiver.profiles(instance=address), "it arrives", 20)
    sick.set()
    together(
        lambda: fails_in_part(one, herd, rejects=True, code="invalid_argument"),
        # A request without any profile that can be parsed has a code; a batch with one that can't has none.
        lambda: fails_in_part(two, herd, rejects=True, unparsable=True),
        lambda: fails_in_part(three, herd, rejects=True, code="resource_exhausted"),
        lambda: fails_in_part(lane, herd, rejects=False),
    )
    sick.clear()
    together(*[lambda lane=lane: heals(lane, herd) for lane in four])
    for target in (old, bare):
        target.close()


# Limits on size, and answers that are lost


def has_a_small_limit(lane: Lane, herd: DemoApp) -> None:
    """Batches are halved until they fit; a profile that is too large by itself is lost alone."""
    watch, refused = Watch(lane, herd), lane.pushes("RequestTooLarge")
    body = lane.receiver.body(lane.receiver.last_seq())
    lane.bring_up("--max-bytes", str(int(2.5 * len(gzip.decompress(body)))))
    eventually(lambda: lane.pushes("RequestTooLarge") > refused, "a batch is too large", 20, 0.2)
    limited = time.time()
    watch.check_complete(eventually(lambda: time.time() > limited + 4 and time.time(), "four intervals", 10))
    assert lane.pushes("RequestTooLarge") - refused <= 6, "the limit is remembered"
    assert watch.lost() == {}

    large = Crafted("127.0.74.9", lambda: pprof(padding="x" * 500_000))
    lane.unlogged.append(large)
    lane.bring_up("--max-bytes", "400000")
    lane.scrape(staticTargets=[*lane.targets, lane.target(large.address)])
    eventually(lambda: watch.lost().get("RequestTooLarge", 0) >= 3, "the large ones are lost", 20, 0.2)
    watch.check_complete(time.time())
    assert watch.lost().keys() == {"RequestTooLarge"}
    lane.scrape()
    lane.bring_up()
    large.close()


def loses_answers(lane: Lane, herd: DemoApp) -> None:
    """What was taken and not acknowledged is sent again with the same ids: nothing else is there twice, nothing is missing."""
    watch = Watch(lane, herd)
    lane.sicken(count=3, dropAfter=True)
    hit = watch.hit(3)
    watch.check_complete(time.time(), once=False)
    twice = {sample for sample, times in watch.taken().items() if times > 1}
    assert twice
    assert twice <= {sample for request in hit for sample in request["ids"]}
    assert max(watch.taken().values()) <= 4
    assert watch.lost() == {}


def has_a_target_with_many_labels(lane: Lane, herd: DemoApp) -> None:
    """What Pyroscope would refuse is not sent at all."""
    watch = Watch(lane, herd)
    refused = lane.receiver.rejected()["count"]
    many = {f"label_{number}": "x" for number in range(26)}
    lane.scrape(staticTargets=[*lane.targets, lane.target(f"127.0.73.{_WELL + 1}:{herd.port}", **many)])
    eventually(lambda: watch.lost().get("TooManyLabels", 0) >= 3, "the loss is counted", 20, 0.2)
    condition = lane.delivering()
    assert (condition["status"], condition["reason"]) == ("False", "PushFailing")
    assert "TooManyLabels" in condition["message"]
    lane.scrape()
    watch.check_complete(time.time())
    assert lane.receiver.rejected()["count"] == refused
    assert watch.lost().keys() == {"TooManyLabels"}


def test_limits_and_lost_answers(four: list[Lane], herd: DemoApp) -> None:
    together(
        lambda: has_a_small_limit(four[0], herd),
        lambda: loses_answers(four[1], herd),
        lambda: has_a_target_with_many_labels(four[2], herd),
    )


# The end of the operator


def ends(lane: Lane, herd: DemoApp, sicken: Callable[[], object], *, loses: bool) -> None:
    """Within its grace period, in order, and its last words account for every profile."""
    watch = Watch(lane, herd)
    sicken()
    eventually(lambda: time.time() > watch.begun + 3, "three intervals", 10)
    asked = time.monotonic()
    assert lane.operator.stop(_GRACE + 10) == 0
    assert time.monotonic() - asked < _GRACE + 2 + _NOISE
    told = lane.last_words()
    served = sum(target.served for target in lane.unlogged) + sum(map(len, lane.scraped([herd]).values()))
    assert 0 <= served - told["pushed"] - sum(told["lost"].values()) <= 6, "but for scrapes that were cancelled"
    assert told["level"] == ("WARNING" if loses else "INFO")
    if loses:
        assert told["lost"]["Shutdown"] >= _WELL
    else:
        assert "Shutdown" not in told["lost"]
        assert set(watch.taken().values()) == {1}


def test_sigterm(four: list[Lane], herd: DemoApp) -> None:
    one, two, three, lane = four
    together(
        lambda: ends(one, herd, one.take_down, loses=True),
        lambda: ends(two, herd, lambda: two.sicken(delayMs=400), loses=False),
        lambda: ends(three, herd, three.freeze, loses=True),
        lambda: ends(lane, herd, lambda: lane.sicken(delayMs=60_000), loses=True),
    )


# A full queue of the usual size


def test_catching_up_holds_up_nothing(binaries: None, folder: Path) -> None:
    """64 MiB in the queue take little more memory than that, and sending them delays neither scrapes nor /healthz."""
    body = pprof(padding=random.Random(1).randbytes(500_000).hex())  # half of it when compressed
    targets = [Crafted(f"127.0.75.{number}", lambda: body) for number in range(1, 5)]
    more = [{"name": f"large_{number}", "path": f"/large-{number}", "enabled": True} for number in range(1, 7)]
    lane = Lane(folder, "full", [target.address for target in targets], *_BACKOFF, profiles=(), custom=more, journal=False)
    try:
        lane.wait_delivering()
        idle = lane.operator.rss()
        lane.take_down()
        eventually(lambda: "QueueFull" in lane.operator.dropped(), "the queue is full", 60, 0.5)
        grown = lane.operator.rss() - idle
        assert grown < 64 * _MIB * 1.25 + 24 * _MIB
        lane.bring_up()
        begun, waits = time.monotonic(), []
        while lane.queued() > 2 * len(targets) * len(more):
            asked = time.monotonic()
            lane.operator.get("/healthz")
            waits.append(time.monotonic() - asked)
            assert asked < begun + 60, "the backlog is not sent"
        took = time.monotonic() - begun
        sent = f"sent in {took:.1f} s; /healthz {median(waits):.3f} s, at most {max(waits):.3f} s"
        print(f"\nfull: RSS +{grown / _MIB:.0f} MiB; {sent}")
        assert median(waits) < 0.2
        for target in targets:
            assert all(missed_slots(times, lane.interval) <= 1 + len(times) / 4 for times in target.times.values())
        assert lane.operator.dropped().keys() == {"QueueFull"}
        assert max(request["bytes"] for request in lane.receiver.requests()) <= 4 * _MIB
        assert lane.operator.stop() == 0
    finally:
        lane.close()
        for target in targets:
            target.close()
