"""Series are worked out once, and forgotten when they are no longer scraped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from push_fakes import labels, profile

from pyroscope_operator._proto.push_pb2 import PushRequest
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.push import encoder
from pyroscope_operator.push.batch import Entry, encode_labels
from pyroscope_operator.push.encoder import KEEP, Encoder
from pyroscope_operator.push.shape import Limits, Refusal


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[Labels]:
    """The label sets that were encoded."""
    seen: list[Labels] = []

    def spy(one: Labels) -> bytes:
        seen.append(one)
        return encode_labels(one)

    monkeypatch.setattr(encoder, "encode_labels", spy)
    return seen


def sent(made: Entry | Refusal) -> dict[str, str]:
    assert isinstance(made, Entry)
    (series,) = PushRequest.FromString(made.head + made.body).series
    return {pair.name: pair.value for pair in series.labels}


def test_once_for_each_series(worked_out: list[Labels]) -> None:
    made = Encoder(Labels({"cluster": "eu"}), Limits())
    for service in ("a", "b", "a", "b"):
        entry = made.encode(profile(labels=labels(service)), 1.0)
        assert sent(entry) == {**labels(service), "cluster": "eu"}
        assert isinstance(entry, Entry)
        assert entry.series == labels(service), "without the endpoint's own"
    assert len(worked_out) == 2


def test_what_is_no_longer_scraped_is_forgotten(worked_out: list[Labels]) -> None:
    made = Encoder(Labels(), Limits())
    steps = [("a", 0.0), ("b", 0.0), ("a", KEEP - 1), ("c", KEEP + 1), ("a", KEEP + 2), ("d", 2 * KEEP + 2), ("a", 2 * KEEP + 3)]
    for service, now in steps:
        made.encode(profile(labels=labels(service)), now)
    assert [one["service_name"] for one in worked_out] == ["a", "b", "c", "d"], "a is used and stays"
    made.encode(profile(labels=labels("b")), 2 * KEEP + 4)
    assert worked_out[-1]["service_name"] == "b"


def test_series_are_bounded(monkeypatch: pytest.MonkeyPatch, worked_out: list[Labels]) -> None:
    monkeypatch.setattr(encoder, "MAX_SERIES", 3)
    made = Encoder(Labels(), Limits())
    for number in range(20):
        made.encode(profile(labels=labels(str(number))), 1.0)
        assert len(made) <= 6
    made.encode(profile(labels=labels("19")), 1.0)
    made.encode(profile(labels=labels("0")), 1.0)
    assert len(worked_out) == 21


def test_a_refusal_is_remembered_too_but_sizes_are_judged_each_time(worked_out: list[Labels]) -> None:
    made = Encoder(Labels(), Limits(raw_bytes=10))
    wrong = profile(labels=labels(**{"a-b": "x"}))
    assert [made.encode(wrong, 0.0), made.encode(wrong, 0.0)] == [made.encode(wrong, 0.0)] * 2
    assert worked_out == []
    fine = profile(raw_bytes=10)
    assert isinstance(made.encode(fine, 0.0), Entry)
    refused = made.encode(replace(fine, raw_bytes=11), 0.0)
    assert isinstance(refused, Refusal)
    assert refused.reason == "ProfileTooLarge"
