"""An endpoint's writer, on fake time: what is sent when, and what becomes of what."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest
from push_fakes import EPOCH, SHOP, Bench, FakePyroscope, bodies, connect_error, failed_id, ids, labels, ok

from pyroscope_operator._proto.push_pb2 import PushRequest
from pyroscope_operator.model.access import Access
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.batch import OVERHEAD
from pyroscope_operator.push.delivery import Delivery
from pyroscope_operator.push.endpoint import WriteEndpoint
from pyroscope_operator.push.sizing import BatchSize

pytestmark = pytest.mark.looptime

CART = ObjectRef("shop", "cart")
DOWN = httpx.ConnectError("refused")


def loop_time() -> float:
    return asyncio.get_running_loop().time()


def endpoint(**fields: Any) -> WriteEndpoint:
    return WriteEndpoint("http://pyroscope:4040", **fields)


# Batching


async def test_profiles_wait_for_others_for_a_second_at_most() -> None:
    fake = FakePyroscope()
    async with Bench(fake) as bench:
        await asyncio.sleep(10)
        bench.put(b"a")
        await asyncio.sleep(0.6)
        bench.put(b"b", b"c")
        await asyncio.sleep(5)
    assert fake.batches == [[b"a", b"b", b"c"]]
    assert fake.times == pytest.approx([11.0], abs=0.01)


async def test_a_profile_that_came_during_a_request_waits_no_second_more() -> None:
    async def slow(request: PushRequest) -> httpx.Response:
        await asyncio.sleep(3)
        return ok()

    fake = FakePyroscope([slow])
    async with Bench(fake) as bench:
        bench.put(b"a")
        await asyncio.sleep(2)
        bench.put(b"b")
        await asyncio.sleep(10)
    assert fake.times == pytest.approx([1.0, 4.0], abs=0.01)


async def test_a_batch_is_bounded_in_number() -> None:
    fake = FakePyroscope()
    async with Bench(fake, size=BatchSize(max_count=2)) as bench:
        bench.put(b"a", b"b", b"c", b"d", b"e")
        await asyncio.sleep(0.5)
        assert fake.batches == [[b"a", b"b"], [b"c", b"d"]]
        await asyncio.sleep(5)
    assert fake.batches[2:] == [[b"e"]]


async def test_a_batch_is_bounded_in_bytes() -> None:
    fake = FakePyroscope()
    async with Bench(fake, size=BatchSize(max_bytes=2 * (1200 + OVERHEAD))) as bench:
        bench.put(*[b"x" * 1000] * 3, b"y" * 9000)
        await asyncio.sleep(5)
    assert [len(batch) for batch in fake.batches] == [2, 1, 1]
    assert bench.value("profiles_sent_total") == 4


async def test_external_labels_are_sent_and_counted_as_labels() -> None:
    fake = FakePyroscope()
    many = {f"l{i}": "x" for i in range(25)}
    async with Bench(fake, endpoint=endpoint(external_labels=Labels({"cluster": "eu"}))) as bench:
        bench.put(b"a")
        bench.put(b"b", labels=labels(**many))
        await asyncio.sleep(5)
    (series,) = fake.requests[0].series
    assert ("cluster", "eu") in [(pair.name, pair.value) for pair in series.labels]
    assert bench.dropped() == {"TooManyLabels": 1}


# Success


async def test_success_is_counted_and_told() -> None:
    async def slow(request: PushRequest) -> httpx.Response:
        await asyncio.sleep(2)
        return ok()

    async with Bench(FakePyroscope([slow])) as bench:
        bench.put(b"a", b"b")
        assert bench.value("push_queue_profiles") == 2
        size = bench.writer.snapshot().queue_bytes
        assert bench.value("push_queue_bytes") == size > 0
        await asyncio.sleep(2)
        assert bench.value("push_queue_bytes") == size, "on its way it still takes room"
        await asyncio.sleep(2)
    assert bench.value("push_queue_bytes") == bench.value("push_queue_profiles") == 0
    assert bench.value("profiles_sent_total") == 2
    assert bench.value("push_requests_total", result="ok") == 1
    assert bench.value("push_bytes_total") == size - 2 * OVERHEAD
    assert bench.value("push_retries_total") == 0
    latency = bench.metrics.registry.get_sample_value("pyroscope_fanout_latency_sum", {"write": "default", "endpoint": "default"})
    assert latency == pytest.approx(2, abs=0.01)
    delivery = bench.book.get(SHOP)
    assert delivery.last_push == pytest.approx(EPOCH + 3, abs=0.01)
    assert (delivery.waiting, delivery.troubles, delivery.dropped) == (None, (), 0)
    snapshot = bench.writer.snapshot()
    assert (str(snapshot.key), snapshot.failing_since, snapshot.last_error_reason) == ("default", None, None)
    assert (snapshot.sent, snapshot.dropped, snapshot.retried) == (2, 0, 0)
    assert snapshot.last_success == delivery.last_push


# Retries


@pytest.mark.parametrize(
    "failure",
    [
        DOWN,
        httpx.ReadError("reset"),
        httpx.Response(408),
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(502),
        httpx.Response(503),
        httpx.Response(504),
        httpx.Response(599),
        connect_error(503, "unavailable", "no ingesters"),
        connect_error(504, "deadline_exceeded", "slow"),
        httpx.Response(200, html="<p>maintenance"),
    ],
)
async def test_the_whole_batch_again_in_order_and_with_the_same_ids(failure: Any) -> None:
    fake = FakePyroscope([failure])
    async with Bench(fake) as bench:
        bench.put(b"a", b"b", b"c")
        await asyncio.sleep(10)
    first, second = fake.requests
    assert bodies(first) == bodies(second) == [b"a", b"b", b"c"]
    assert ids(first) == ids(second)
    assert 0.5 <= fake.times[1] - fake.times[0] <= 1.001
    assert bench.value("push_retries_total") == 1
    assert bench.value("profiles_sent_total") == 3
    assert bench.dropped() == {}


async def test_the_deadline_is_an_outage_too() -> None:
    async def never(request: PushRequest) -> httpx.Response:
        await asyncio.sleep(3600)
        return ok()

    fake = FakePyroscope([never])
    async with Bench(fake) as bench:
        bench.put(b"a", b"b")
        await asyncio.sleep(30)
    assert fake.batches == [[b"a", b"b"]] * 2
    assert bench.value("push_requests_total", result="DeadlineExceeded") == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(400), "Rejected"),
        (httpx.Response(401), "Unauthorized"),
        (httpx.Response(404), "NotFound"),
        (httpx.Response(409), "Rejected"),
        (httpx.Response(413), "RequestTooLarge"),
        (httpx.Response(422), "Rejected"),
        (httpx.Response(501), "NotFound"),
        (httpx.Response(302), "Redirected"),
        (connect_error(400, "invalid_argument", "profile too old"), "Rejected"),
    ],
)
async def test_no_retry_where_it_is_pointless(answer: httpx.Response, reason: str) -> None:
    fake = FakePyroscope([answer])
    async with Bench(fake) as bench:
        bench.put(b"a")
        await asyncio.sleep(100)
    assert len(fake.requests) == 1
    assert bench.dropped() == {reason: 1}
    delivery = bench.book.get(SHOP)
    [(series, trouble)] = delivery.troubles
    assert (series, trouble.reason, delivery.dropped) == (labels(), "PushFailing", 1)
    assert trouble.message.startswith(f"default: {reason}: HTTP {answer.status_code}")


async def test_rate_limits_are_not_retried_if_not_wanted() -> None:
    fake = FakePyroscope([httpx.Response(429)])
    async with Bench(fake, endpoint=endpoint(retry_on_429=False)) as bench:
        bench.put(b"a")
        await asyncio.sleep(100)
    assert len(fake.requests) == 1
    assert bench.dropped() == {"RateLimited": 1}


@pytest.mark.parametrize(("asked", "waited"), [("12", 12.0), ("3600", 30.0), ("Fri, 15 Jan 2027 08:00:16 GMT", 15.0)])
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured_for_the_whole_endpoint(asked: str, waited: float, status: int) -> None:
    fake = FakePyroscope([httpx.Response(status, headers={"retry-after": asked})])
    async with Bench(fake) as bench:
        bench.put(b"a")
        await asyncio.sleep(2)
        bench.put(b"b")
        await asyncio.sleep(60)
    assert fake.times[1] - fake.times[0] == pytest.approx(waited, abs=0.01)
    assert [body for batch in fake.batches for body in batch] == [b"a", b"a", b"b"]
    assert fake.times[2:] in ([], [fake.times[1]])


@pytest.mark.parametrize("status", [429, 500])
async def test_retries_are_counted_for_answers_about_the_profile(status: int) -> None:
    fake = FakePyroscope(otherwise=lambda _: httpx.Response(status))
    async with Bench(fake, endpoint=endpoint(max_retries=4)) as bench:
        bench.put(b"a")
        await asyncio.sleep(1000)
    assert len(fake.requests) == 5
    assert bench.dropped() == {"RetriesExhausted": 1}
    assert bench.value("push_retries_total") == 4
    assert [trouble.message.split(":")[1] for _, trouble in bench.book.get(SHOP).troubles] == [" RetriesExhausted"]


async def test_an_outage_loses_nothing_that_fits_and_keeps_order() -> None:
    fake = FakePyroscope(otherwise=DOWN)
    async with Bench(fake, endpoint=endpoint(max_retries=2)) as bench:
        sent = [f"{i:03}".encode() for i in range(60)]
        for body in sent[:40]:
            bench.put(body)
            await asyncio.sleep(5)
        bench.put(*sent[40:], source=CART)
        await asyncio.sleep(31)
        assert max(b - a for a, b in zip(fake.times, fake.times[1:], strict=False)) <= 30.01
        assert len(fake.requests) < 30
        assert bench.dropped() == {}
        snapshot = bench.writer.snapshot()
        assert snapshot.queue_profiles == 60
        assert snapshot.failing_since == pytest.approx(EPOCH + 1, abs=0.01)
        assert snapshot.last_error_reason == "Unreachable"
        for source in (SHOP, CART):
            assert bench.book.get(source) == Delivery(waiting="default: Unreachable: ConnectError")
        tries = len(fake.requests)
        fake.otherwise = lambda _: ok()
        await asyncio.sleep(40)
    arrived = [body for batch in fake.batches[tries:] for body in batch]
    assert arrived == sent
    assert bench.writer.snapshot().failing_since is None
    for source in (SHOP, CART):
        assert (bench.book.get(source).waiting, bench.book.get(source).troubles) == (None, ())
    assert len(fake.requests) - tries == 1


async def test_a_profile_that_breaks_the_connection_does_not_block_the_others() -> None:
    def answer(request: PushRequest) -> httpx.Response:
        if b"poison" in bodies(request):
            raise httpx.ReadError("reset")
        return ok()

    fake = FakePyroscope(otherwise=answer)
    async with Bench(fake, endpoint=endpoint(max_retries=3, max_backoff=2.0)) as bench:
        bench.put(b"a", b"poison", b"b", b"c")
        for _ in range(20):
            await asyncio.sleep(3)
            bench.put(b"d", service="other")
        assert bench.dropped() == {"RetriesExhausted": 1}
        assert bench.value("profiles_sent_total") == 3 + 19


async def test_a_profile_that_the_server_fails_on_does_not_block_the_others() -> None:
    def answer(request: PushRequest) -> httpx.Response:
        return connect_error(500, "internal", "boom") if b"poison" in bodies(request) else ok()

    fake = FakePyroscope(otherwise=answer)
    async with Bench(fake) as bench:
        bench.put(b"poison", service="sick")
        await asyncio.sleep(1.1)
        for i in range(30):
            bench.put(b"%d" % i)
            await asyncio.sleep(2)
        assert bench.value("profiles_sent_total") >= 28


# Partial failures


async def test_failed_ids_alone_are_sent_again() -> None:
    first: list[str] = []

    def partly(request: PushRequest) -> httpx.Response:
        first.extend(ids(request))
        text = f"2 errors: {failed_id(first[2], index=1)}; {failed_id(first[0])}"
        return connect_error(500, "unknown", text)

    fake = FakePyroscope([partly])
    async with Bench(fake) as bench:
        bench.put(b"a", service="a")
        bench.put(b"b", service="b")
        bench.put(b"c", service="c")
        await asyncio.sleep(10)
    assert [ids(request) for request in fake.requests[1:]] == [[first[0]], [first[2]]]
    assert bench.value("profiles_sent_total") == 3
    assert bench.dropped() == {}
    assert bench.writer.snapshot().last_error_reason == "PartlyFailed"


async def test_failed_ids_that_are_refused_are_dropped() -> None:
    fake = FakePyroscope([lambda request: connect_error(400, "invalid_argument", failed_id(ids(request)[1]))])
    async with Bench(fake) as bench:
        bench.put(b"a", b"b", b"c")
        await asyncio.sleep(10)
    assert len(fake.requests) == 1
    assert bench.value("profiles_sent_total") == 2
    assert bench.dropped() == {"Rejected": 1}


@pytest.mark.parametrize(
    "answer", [(400, "invalid_argument"), (429, "resource_exhausted"), (500, "unknown"), (500, "internal"), (404, "not_found")]
)
async def test_an_ambiguous_answer_is_not_repeated_and_makes_careful(answer: tuple[int, str]) -> None:
    fake = FakePyroscope([connect_error(*answer, "profile too old")])
    async with Bench(fake) as bench:
        bench.put(b"a", service="lost")
        bench.put(b"b", service="lost")
        await asyncio.sleep(10)
        assert len(fake.requests) == 1
        assert bench.dropped() == {"unknown": 2}
        for i in range(14):
            bench.put(b"%d" % i)
        await asyncio.sleep(10)
    assert [len(batch) for batch in fake.batches[1:]] == [1, 1, 1, 2, 4, 5]
    assert [body for batch in fake.batches[1:] for body in batch] == [b"%d" % i for i in range(14)]


async def test_series_of_an_ambiguous_batch_travel_alone_until_they_are_taken() -> None:
    """One target with a wrong clock must not cost the others more than one batch."""

    def answer(request: PushRequest) -> httpx.Response:
        return connect_error(400, "invalid_argument", "profile too old") if b"old" in bodies(request) else ok()

    fake = FakePyroscope(otherwise=answer)
    async with Bench(fake) as bench:
        for _ in range(20):
            for name in ("a", "b", "c", "d"):
                bench.put(b"old" if name == "b" else b"fine", service=name)
            await asyncio.sleep(15)
    assert bench.dropped() == {"unknown": 4, "Rejected": 19}
    assert bench.value("profiles_sent_total") == 19 * 3
    assert fake.batches[-2:] == [[b"fine", b"fine", b"fine"], [b"old"]]


# Series that fail for ever, alone


def bad(request: PushRequest) -> list[str]:
    """Ids of the profiles that are always refused."""
    return [sample.ID for series in request.series for sample in series.samples if sample.raw_profile == b"bad"]


def by_id(request: PushRequest) -> httpx.Response:
    return connect_error(500, "unknown", "; ".join(map(failed_id, bad(request))))


def rate_limited(request: PushRequest) -> httpx.Response:
    return connect_error(429, "resource_exhausted", "too many series")


def refused(request: PushRequest) -> httpx.Response:
    return connect_error(400, "invalid_argument", "profile too old")


def unparsable(request: PushRequest) -> httpx.Response:
    return connect_error(500, "unknown", "failed to parse profile")


def breaks_the_connection(request: PushRequest) -> httpx.Response:
    if len(request.series) > 1:
        return refused(request)
    raise httpx.ReadError("reset")


@pytest.mark.parametrize("many", [1, 12])
@pytest.mark.parametrize("trouble", [by_id, rate_limited, refused, unparsable, breaks_the_connection])
async def test_series_that_fail_for_ever_cost_the_others_at_most_one_batch(
    trouble: Callable[[PushRequest], httpx.Response], many: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither profiles nor, for more than a back-off, time; and no log line for each failure."""
    caplog.set_level(logging.INFO)
    late: list[float] = []

    def answer(request: PushRequest) -> httpx.Response:
        if bad(request):
            return trouble(request)
        late.extend(loop_time() - float(body) for body in bodies(request))
        return ok()

    fake = FakePyroscope(otherwise=answer)
    rounds, others = 40, 20
    async with Bench(fake) as bench:
        for _ in range(rounds):
            for number in range(others):
                bench.put(str(loop_time()).encode(), service=f"good-{number}")
            for number in range(many):
                bench.put(b"bad", service=f"bad-{number}")
            await asyncio.sleep(15)
        one_batch = bench.dropped().get("unknown", 0)
        assert one_batch in {0, others + many}
        lost = others if one_batch else 0
        assert bench.value("profiles_sent_total") == rounds * others - lost
        assert max(late) < 31
        assert sum(delay > 1.01 for delay in late) < len(late) / 5
        attempts = Counter(one for request in fake.requests for one in ids(request))
        # Failures of the connection count only if others were taken in between.
        assert max(attempts.values()) <= (1 + bench.endpoint.max_retries) * (2 if trouble is breaks_the_connection else 1)
    assert len(caplog.records) < 20


async def test_order_is_kept_in_series_that_stood_aside_in_an_outage() -> None:
    sent = [f"{number:03}".encode() for number in range(40)]
    fake = FakePyroscope(otherwise=httpx.Response(503))
    async with Bench(fake) as bench:
        for number, body in enumerate(sent):
            bench.put(body, service="ab"[number % 2])
            await asyncio.sleep(15)
            if number == 30:
                fake.otherwise = lambda _: ok()
                tries = len(fake.requests)
        await asyncio.sleep(60)
        assert bench.value("profiles_sent_total") == 40
    arrived = [body for batch in fake.batches[tries:] for body in batch]
    for number in (0, 1):
        assert [body for body in arrived if body in sent[number::2]] == sent[number::2]


@pytest.mark.parametrize("trouble", [by_id, rate_limited])
async def test_a_series_that_is_well_again_is_noticed_soon(trouble: Callable[[PushRequest], httpx.Response]) -> None:
    """It need not wait for the profiles that were refused, nor do these go into the batches of others again."""
    fake = FakePyroscope(otherwise=lambda request: trouble(request) if bad(request) else ok())
    async with Bench(fake) as bench:
        for number in range(240):
            if number == 120:
                lost = bench.dropped()
            bench.put(b"other", service="other")
            bench.put(b"bad" if number < 120 else b"well %d" % number, service="sick")
            await asyncio.sleep(15)
        taken = (at for batch, at in zip(fake.batches, fake.times, strict=True) if any(b"well" in body for body in batch))
        assert next(taken) < 120 * 15 + 31
        assert [b"other", b"well 125"] in fake.batches, "in a batch again"
        assert bench.value("profiles_sent_total") >= 240 + 120 - 2 * lost.get("unknown", 0)
        assert bench.writer.snapshot().queue_profiles
        begun = loop_time()
        await bench.writer.drain(20)
        assert loop_time() - begun < 5, "what is left of the bad ones delays no shutdown"


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadError("reset"),
        httpx.Response(503),
        httpx.Response(429),
        connect_error(500, "internal", "boom"),
        connect_error(429, "resource_exhausted", "too fast"),
        connect_error(503, "unavailable", "no ingesters"),
    ],
)
async def test_an_endpoint_that_fails_for_all_is_left_alone_for_longer_and_longer(failure: Any) -> None:
    """Whatever stands aside meanwhile."""
    fake = FakePyroscope(otherwise=failure)
    async with Bench(fake) as bench:
        for number in range(20):
            for name in "abcdefgh":
                bench.put(b"%d" % number, service=name)
            await asyncio.sleep(15)
        gaps = [later - sooner for sooner, later in pairwise(fake.times)]
        assert min(gaps) >= 0.5
        assert min(gaps[6:]) >= 15
        assert bench.writer.snapshot().failing_since is not None
        kept = bench.writer.snapshot().queue_profiles
        tries, fake.otherwise = len(fake.requests), lambda _: ok()
        await asyncio.sleep(100)
        assert sum(map(len, fake.batches[tries:])) == kept
        assert len(fake.requests) - tries < 2 * tries + 8, "no storm"
        for name in "abcdefgh":
            bench.put(b"well", service=name)
        await asyncio.sleep(2)
    assert fake.batches[-1] == [b"well"] * 8


async def test_a_series_that_was_taken_again_is_tried_again_soon_if_it_fails() -> None:
    fake = FakePyroscope([by_id] * 8)
    async with Bench(fake) as bench:
        bench.put(b"bad")
        await asyncio.sleep(200)
        assert bench.value("profiles_sent_total") == 1
        fake.answers, tries = [by_id], len(fake.requests)
        bench.put(b"bad")
        await asyncio.sleep(30)
    assert len(fake.requests) - tries == 2
    assert fake.times[-1] - fake.times[-2] < 1.01


async def test_what_stands_aside_is_flushed_too() -> None:
    fake = FakePyroscope([by_id])
    async with Bench(fake) as bench:
        bench.put(b"bad", b"bad", b"fine")
        await asyncio.sleep(1.1)
        await bench.writer.drain(20)
        assert loop_time() < 1.2
    assert bench.value("profiles_sent_total") == 3


async def test_a_series_that_is_never_taken_delays_no_shutdown() -> None:
    fake = FakePyroscope(otherwise=lambda request: by_id(request) if bad(request) else ok())
    async with Bench(fake) as bench:
        for _ in range(10):
            bench.put(b"fine", service="a")
            bench.put(b"bad", service="b")
            bench.put(b"bad", service="c")
            await asyncio.sleep(15)
        bench.put(b"fine", service="a")
        begun, tries = loop_time(), len(fake.requests)
        await bench.writer.drain(20)
        assert loop_time() - begun < 3
    assert [sorted(set(batch)) for batch in fake.batches[tries:]].count([b"bad"]) >= 2, "each is tried once more"
    assert bench.value("profiles_sent_total") == 11
    assert bench.dropped()["Shutdown"] >= 2


# The server's body limit


async def test_a_request_that_is_too_large_is_split_in_halves() -> None:
    def answer(request: PushRequest) -> httpx.Response:
        if len(request.series) > 2:
            return connect_error(400, "invalid_argument", "uncompressed batched profile payload size exceeds limit of 1.0 MB")
        return ok()

    fake = FakePyroscope(otherwise=answer)
    async with Bench(fake) as bench:
        bench.put(*[b"%d" % i for i in range(8)])
        await asyncio.sleep(1.2)
        assert [len(batch) for batch in fake.batches] == [8, 4, 2, 2, 2, 2]
        assert [body for batch in fake.batches[2:] for body in batch] == [b"%d" % i for i in range(8)]
        bench.put(*[b"%d" % i for i in range(8)])
        await asyncio.sleep(10)
    assert [len(batch) for batch in fake.batches[6:]] == [2, 2, 2, 2], "the limit is remembered"
    assert bench.dropped() == {}
    assert (bench.book.get(SHOP).waiting, bench.book.get(SHOP).troubles) == (None, ())


async def test_a_single_profile_that_is_too_large_is_dropped() -> None:
    def answer(request: PushRequest) -> httpx.Response:
        return httpx.Response(413) if b"large" in bodies(request) else ok()

    fake = FakePyroscope(otherwise=answer)
    async with Bench(fake) as bench:
        bench.put(b"a", b"b", b"large", b"d")
        await asyncio.sleep(10)
    assert bench.dropped() == {"RequestTooLarge": 1}
    assert bench.value("profiles_sent_total") == 3


# What is dropped here already


async def test_shapes_are_checked_before_queueing() -> None:
    fake = FakePyroscope()
    async with Bench(fake) as bench:
        bench.put(b"x", raw_bytes=5 << 20)
        bench.put(b"x", samples=16_001)
        bench.put(b"x", labels=labels(x="\ud800"))
        assert bench.writer.snapshot().queue_profiles == 0
        await asyncio.sleep(5)
    assert fake.requests == []
    assert bench.dropped() == {"ProfileTooLarge": 1, "TooManySamples": 1, "InvalidLabels": 1}
    assert bench.book.get(SHOP).dropped == 3


async def test_a_full_queue_drops_the_oldest(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakePyroscope([DOWN])
    async with Bench(fake, queue_bytes=3 * (1200 + OVERHEAD)) as bench:
        bench.put(b"a" * 1000, source=CART)
        bench.put(*(c * 1000 for c in (b"b", b"c", b"d", b"e")))
        await asyncio.sleep(20)
    assert [body[:1] for body in fake.batches[-1]] == [b"c", b"d", b"e"]
    assert bench.dropped() == {"QueueFull": 2}
    assert [trouble.reason for _, trouble in bench.book.get(CART).troubles] == ["QueueFull"]
    assert bench.book.get(CART).dropped == 1
    assert [record.message for record in caplog.records].count("the queue of endpoint default is full") == 1


async def test_what_is_older_than_55_minutes_is_not_sent() -> None:
    fake = FakePyroscope(otherwise=DOWN)
    async with Bench(fake) as bench:
        bench.put(b"too old", scraped_at=EPOCH - 100)
        bench.put(b"old", scraped_at=EPOCH + 300)
        await asyncio.sleep(55 * 60 - 20)
        fake.otherwise = lambda _: ok()
        await asyncio.sleep(60)
    assert bench.dropped() == {"TooOld": 1}
    assert fake.batches[-1] == [b"old"]


# The end


async def test_drain_sends_what_is_queued_at_once_and_ends_run() -> None:
    fake = FakePyroscope()
    async with Bench(fake, size=BatchSize(max_count=2)) as bench:
        bench.put(b"a", b"b", b"c")
        await bench.writer.drain(20)
        assert loop_time() < 0.1
        assert fake.batches == [[b"a", b"b"], [b"c"]]
        assert bench.task is not None
        await asyncio.wait_for(bench.task, 0.1)
        bench.put(b"late")
        await bench.writer.drain(20)
    assert bench.dropped() == {"Shutdown": 1}


async def test_drain_waits_for_the_request_on_its_way_and_retries_within_the_grace_period() -> None:
    async def slow(request: PushRequest) -> httpx.Response:
        await asyncio.sleep(5)
        return ok()

    fake = FakePyroscope([slow, DOWN])
    async with Bench(fake) as bench:
        bench.put(b"a")
        await asyncio.sleep(2)
        bench.put(b"b")
        await bench.writer.drain(20)
    assert fake.batches == [[b"a"], [b"b"], [b"b"]]
    assert bench.dropped() == {}


@pytest.mark.parametrize(("status", "before"), [(503, 10), (500, 1)])
async def test_drain_goes_on_while_the_endpoint_fails_and_may_come_back(status: int, before: float) -> None:
    fake = FakePyroscope(otherwise=httpx.Response(status))
    async with Bench(fake) as bench:
        bench.put(b"a")
        await asyncio.sleep(before)
        drained = asyncio.create_task(bench.writer.drain(20))
        await asyncio.sleep(10)
        fake.otherwise = lambda _: ok()
        await drained
    assert bench.value("profiles_sent_total") == 1


async def test_drain_with_nothing_left_ends_at_once_even_if_the_endpoint_fails() -> None:
    async with Bench(FakePyroscope(otherwise=httpx.Response(401))) as bench:
        bench.put(b"a")
        await asyncio.sleep(2)
        bench.put(b"b")
        await bench.writer.drain(20)
        assert loop_time() < 2.1
    assert bench.dropped() == {"Unauthorized": 2}


async def test_drain_does_not_wait_for_a_back_off() -> None:
    fake = FakePyroscope([httpx.Response(503, headers={"retry-after": "30"})])
    async with Bench(fake) as bench:
        bench.put(b"a")
        await asyncio.sleep(3)
        await bench.writer.drain(20)
        assert loop_time() < 4
    assert bench.value("profiles_sent_total") == 1


async def hang(request: PushRequest) -> httpx.Response:
    await asyncio.sleep(3600)
    return ok()


@pytest.mark.parametrize("dead", [DOWN, hang, lambda _: httpx.Response(429)])
async def test_drain_gives_up_in_time(dead: Any) -> None:
    fake = FakePyroscope(otherwise=dead)
    async with Bench(fake) as bench:
        bench.put(b"a", b"b", source=CART)
        await asyncio.sleep(5)
        await bench.writer.drain(3)
        assert loop_time() == pytest.approx(8, abs=0.01)
        assert bench.task is not None
        await asyncio.wait_for(bench.task, 0.1)
    assert bench.dropped() == {"Shutdown": 2}
    assert bench.book.get(CART).dropped == 2
    assert bench.value("push_queue_bytes") == bench.writer.snapshot().queue_bytes == 0


async def test_drain_without_run() -> None:
    fake = FakePyroscope([hang])
    async with Bench(fake) as bench:
        bench.put(b"a")
        await asyncio.sleep(2)
        assert bench.task is not None
        bench.task.cancel()
        await asyncio.wait([bench.task])
        assert bench.task.cancelled()
        assert bench.writer.snapshot().queue_profiles == 1
        await bench.writer.drain(20)
    assert fake.batches == [[b"a"], [b"a"]]
    assert ids(fake.requests[0]) == ids(fake.requests[1])
    assert bench.value("push_retries_total") == 1


async def test_drain_before_run_has_begun() -> None:
    async with Bench(FakePyroscope()) as bench:
        bench.put(b"a")
        await bench.writer.drain(20)
        assert bench.task is not None
        await asyncio.wait_for(bench.task, 0.1)
    assert bench.value("profiles_sent_total") == 1


async def test_two_drains() -> None:
    async with Bench(FakePyroscope(otherwise=hang)) as bench:
        bench.put(b"a")
        await asyncio.sleep(2)
        await asyncio.gather(bench.writer.drain(3), bench.writer.drain(5))
        assert loop_time() == pytest.approx(5, abs=0.01)


async def test_cancellation_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    async with Bench(FakePyroscope(otherwise=hang)) as bench:
        bench.put(b"a")
        await asyncio.sleep(2)
    assert asyncio.all_tasks() == before
    assert bench.writer.snapshot().queue_profiles == 1


# The log


async def test_the_log_has_a_line_for_each_change_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pyroscope_operator")
    page = httpx.Response(503, text="hunter2 in a body")
    fake = FakePyroscope([DOWN, DOWN, DOWN, page])
    secret = endpoint(access=Access(authorization="Bearer hunter2", headers=(("X-Key", "hunter2"),)))
    async with Bench(fake, endpoint=secret) as bench:
        bench.put(b"a")
        await asyncio.sleep(60)
        bench.put(b"b")
        await asyncio.sleep(10)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "endpoint default takes no profiles: Unreachable: ConnectError"),
        ("INFO", "endpoint default takes profiles again"),
    ]
    shown = [repr(record.__dict__) for record in caplog.records]
    shown += [repr(bench.writer.snapshot()), repr(bench.book.get(SHOP)), repr(bench.writer.endpoint)]
    assert "hunter2" not in "".join(shown)


@pytest.mark.parametrize(("answer", "lines"), [(httpx.Response(401), 1), (connect_error(400, "invalid_argument"), 0)])
async def test_the_log_tells_what_concerns_the_endpoint(
    answer: httpx.Response, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with Bench(FakePyroscope([answer, answer])) as bench:
        bench.put(b"a")
        await asyncio.sleep(5)
        bench.put(b"b")
        await asyncio.sleep(5)
    assert len(caplog.records) == lines
