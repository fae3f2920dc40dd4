"""The small pure parts: batch, shape, sizing, back-off, delivery."""

from __future__ import annotations

import uuid

import pytest
from push_fakes import EPOCH, SHOP, entry, labels, profile

from pyroscope_operator._proto.push_pb2 import PushRequest
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.backoff import Backoff, parse_retry_after
from pyroscope_operator.push.batch import encode, encode_labels, request_body, with_external
from pyroscope_operator.push.delivery import MAX_TROUBLES, Delivery, DeliveryBook, Trouble
from pyroscope_operator.push.endpoint import FLAGS, EndpointKey
from pyroscope_operator.push.shape import Limits, refused_labels, refused_profile
from pyroscope_operator.push.sizing import BatchSize, Suspects

HERE = EndpointKey(FLAGS, "default")


def test_a_request_has_all_series_in_order() -> None:
    entries = [entry(body, service=f"s{i}") for i, body in enumerate([b"one", b"\x1f\x8btwo", b""])]
    request = PushRequest.FromString(b"".join(request_body(entries).pieces))
    assert [[(pair.name, pair.value) for pair in series.labels] for series in request.series] == [
        list(one.series.pairs) for one in entries
    ]
    samples = [sample for series in request.series for sample in series.samples]
    assert [sample.raw_profile for sample in samples] == [b"one", b"\x1f\x8btwo", b""]
    assert [sample.ID for sample in samples] == [one.id for one in entries]
    assert len({uuid.UUID(one.id) for one in entries}) == 3


def test_a_profile_gets_a_new_id_each_time_it_is_encoded() -> None:
    same, labelled = profile(), encode_labels(profile().labels)
    assert encode(same, labelled, 0).id != encode(same, labelled, 0).id


def test_external_labels() -> None:
    external = Labels(
        {
            "cluster": "eu-1",
            "pod": "outside",
            "namespace": "forged",
            "service_name": "forged",
            "job": "forged",
            "instance": "forged",
            "__name__": "forged",
            "__delta__": "true",
        }
    )
    mine = labels(pod="mine", __delta__="false")
    assert dict(with_external(mine, external)) == {**mine, "cluster": "eu-1", "pod": "outside"}
    assert with_external(mine, Labels()) is mine
    assert with_external(Labels({"__name__": "x"}), Labels({"namespace": "n"}))["namespace"] == "n"


LIMITS = Limits()

SHAPES = [
    (profile(raw_bytes=4 << 20, samples=16_000), None),
    (profile(raw_bytes=(4 << 20) + 1), "ProfileTooLarge"),
    (profile(samples=16_001), "TooManySamples"),
    (profile(labels=labels(**{f"l{i}": "x" for i in range(25)})), None),
    (profile(labels=labels(**{f"l{i}": "x" for i in range(26)})), "TooManyLabels"),
    (profile(labels=labels(**{"l" * 1024: "x"})), None),
    (profile(labels=labels(**{"l" * 1025: "x"})), "LabelNameTooLong"),
    (profile(labels=labels(x="v" * 2048)), None),
    (profile(labels=labels(x="v" * 2049)), "LabelValueTooLong"),
    (profile(labels=labels(x="é" * 1024)), None),
    (profile(labels=labels(x="é" * 1025)), "LabelValueTooLong"),
    (profile(labels=labels(x="\ud800")), "InvalidLabels"),
    (profile(labels=labels(**{"a-b": "x"})), "InvalidLabels"),
    (profile(labels=labels(**{"1a": "x"})), "InvalidLabels"),
    (profile(labels=labels(**{"a.b": "x"})), "InvalidLabels"),
    (profile(labels=labels(__name__="")), "InvalidLabels"),
    (profile(labels=labels(__name__="a b")), "InvalidLabels"),
    (profile(labels=labels(service_name="")), "InvalidLabels"),
]


@pytest.mark.parametrize(("made", "reason"), SHAPES)
def test_shapes(made: Profile, reason: str | None) -> None:
    refused = refused_profile(made, LIMITS) or refused_labels(made.labels, LIMITS)
    assert (refused.reason if refused else None) == reason


def test_batch_size_after_an_ambiguous_answer() -> None:
    size = BatchSize(max_count=8)
    size.ambiguous()
    seen = []
    for _ in range(7):
        seen.append((size.count, size.careful))
        size.succeeded()
    assert seen == [(1, True), (1, True), (1, True), (2, False), (4, False), (8, False), (8, False)]


def test_batch_size_while_the_endpoint_fails() -> None:
    size = BatchSize(max_count=8)
    seen = []
    for _ in range(5):
        size.failed(size.count)
        seen.append(size.count)
    assert seen == [8, 4, 2, 1, 1]
    size.succeeded()
    size.failed(size.count)
    assert size.count == 2, "one failure now and then says nothing of the size"


def test_batch_size_of_a_server_that_takes_less() -> None:
    size = BatchSize(max_count=8, max_bytes=800)
    size.too_large(8, 800)
    assert (size.count, size.bytes) == (4, 400)
    size.succeeded()
    assert (size.count, size.bytes) == (8, 400)
    size.too_large(1, 300)
    assert (size.count, size.bytes) == (1, 800), "that one was large, not the batch"


def test_suspects_are_bounded_and_cleared() -> None:
    suspects = Suspects(limit=2)
    a, b, c = (labels(x) for x in "abc")
    suspects.add([a, b, a, c])
    assert [one in suspects for one in (a, b, c)] == [True, False, True]
    suspects.clear([a, b])
    assert len(suspects) == 1


def backoff(now: list[float], jitter: float) -> Backoff:
    return Backoff(0.5, 30.0, monotonic=lambda: now[0], jitter=lambda: jitter)


@pytest.mark.parametrize(
    ("jitter", "waits"),
    [(0.0, [0.5, 1, 2, 4, 8, 15, 15]), (1.0, [1, 2, 4, 8, 16, 30, 30])],
)
def test_backoff_is_exponential_with_jitter_and_bounded(jitter: float, waits: list[float]) -> None:
    now = [100.0]
    pause = backoff(now, jitter)
    assert pause.remaining() == 0
    assert [pause.failed() for _ in waits] == waits
    assert pause.remaining() == waits[-1]
    now[0] += waits[-1] - 1
    assert pause.remaining() == 1
    now[0] += 5
    assert pause.remaining() == 0
    pause.reset()
    assert pause.failed() == waits[0]
    for _ in range(5000):
        assert pause.failed() <= 30


def test_backoff_honours_retry_after_within_its_bounds() -> None:
    pause = backoff([0.0], 0.0)
    assert pause.failed(7) == 7
    assert pause.failed(3600) == 30
    assert pause.failed(0) == 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7),
        (" 12 ", 12),
        ("-1", None),
        ("1.5", None),
        ("9" * 400, None),
        ("soon", None),
        ("Fri, 15 Jan 2027 08:00:10 GMT", 10),
        ("Fri, 15 Jan 2027 08:00:10 -0000", 10),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 99 Jan 2027 07:00:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, EPOCH) == seconds


def test_delivery_book() -> None:
    book, other = DeliveryBook(), ObjectRef("shop", "cart")
    mine, yours = labels(), labels("cart")
    lost, full = Trouble("PushFailing", "default: Rejected"), Trouble("QueueFull", "default: QueueFull")
    assert book.get(SHOP) == Delivery()
    book.record_waiting(SHOP, HERE, "default: Unavailable")
    book.record_trouble(SHOP, HERE, mine, lost, dropped=False)
    book.record_trouble(SHOP, HERE, yours, full, dropped=True)
    book.record_trouble(SHOP, HERE, mine, full, dropped=True)
    book.record_sent(other, HERE, [mine, yours], 12.0)
    assert book.get(SHOP) == Delivery(None, "default: Unavailable", ((mine, full), (yours, full)), 2)
    book.record_sent(SHOP, HERE, [yours], 13.0)
    assert book.get(SHOP) == Delivery(13.0, None, ((mine, full),), 2), "the other series is still in trouble"
    book.record_sent(SHOP, HERE, [mine], 14.0)
    assert book.get(SHOP) == Delivery(14.0, None, (), 2)
    book.forget([other])
    assert book.get(SHOP) == Delivery()
    assert book.get(other).last_push == 12.0


def test_troubles_are_bounded() -> None:
    book, trouble = DeliveryBook(), Trouble("PushFailing", "default: Rejected")
    for number in range(MAX_TROUBLES + 5):
        book.record_trouble(SHOP, HERE, labels(pod=str(number)), trouble, dropped=True)
    delivery = book.get(SHOP)
    assert [series["pod"] for series, _ in delivery.troubles] == [str(n) for n in range(5, MAX_TROUBLES + 5)]
    assert delivery.dropped == MAX_TROUBLES + 5


def test_one_endpoint_does_not_hide_another() -> None:
    book, there = DeliveryBook(), EndpointKey(SHOP, "there")
    mine, lost = labels(), Trouble("PushFailing", "shop/checkout/there: Rejected")
    book.record_waiting(SHOP, there, "shop/checkout/there: Unavailable")
    book.record_trouble(SHOP, there, mine, lost, dropped=True)
    book.record_sent(SHOP, HERE, [mine], 12.0)
    assert book.get(SHOP) == Delivery(12.0, "shop/checkout/there: Unavailable", ((mine, lost),), 1)
    assert book.get(SHOP, [HERE.write]) == Delivery(12.0), "it is no longer forwarded there"
    book.record_waiting(SHOP, HERE, "default: Unreachable")
    assert book.get(SHOP).waiting == "default: Unreachable; endpoints that fail: 2"
    book.record_trouble(SHOP, there, mine, Trouble("QueueFull", "full"), dropped=True)
    assert book.get(SHOP).waiting == "shop/checkout/there: Unavailable; endpoints that fail: 2", "the worse one first"
    book.close(there)
    assert book.get(SHOP) == Delivery(12.0, "default: Unreachable"), "what is removed has no trouble"
