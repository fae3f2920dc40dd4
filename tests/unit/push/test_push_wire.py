"""What is put together by hand is what protobuf's own runtime would say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from push_fakes import EPOCH, SHOP

from pyroscope_operator._proto.push_pb2 import PushRequest, RawProfileSeries, RawSample
from pyroscope_operator._proto.types_pb2 import LabelPair
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.push.batch import OVERHEAD, RequestBody, encode, encode_labels, request_body

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LABELS = st.dictionaries(TEXT, TEXT, max_size=6).map(Labels)
LENGTHS = st.one_of(st.integers(0, 300), st.sampled_from([127, 128, 16_383, 16_384, 300_000]))


def profile(labels: Labels, length: int) -> Profile:
    return Profile(SHOP, labels, b"\xff" * length, length, 1, EPOCH)


@given(st.lists(st.tuples(LABELS, LENGTHS), max_size=4), st.integers(1_000, 300_000))
def test_a_request_is_what_protobuf_reads_and_writes(given_: list[tuple[Labels, int]], slice_size: int) -> None:
    profiles = [profile(*one) for one in given_]
    entries = [encode(one, encode_labels(one.labels), 0.0) for one in profiles]
    body = request_body(entries)
    series = [
        RawProfileSeries(
            labels=[LabelPair(name=name, value=value) for name, value in one.labels.pairs],
            samples=[RawSample(raw_profile=one.body, ID=entry.id)],
        )
        for one, entry in zip(profiles, entries, strict=True)
    ]
    data = b"".join(body.slices(slice_size))
    assert PushRequest.FromString(data) == PushRequest(series=series)
    assert len(data) == len(body)
    assert [entry.size for entry in entries] == [len(entry.head) + len(entry.body) + OVERHEAD for entry in entries]


@pytest.mark.parametrize("length", [127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_lengths_around_the_steps_of_a_varint(length: int) -> None:
    text = Labels({"a": "x" * length})
    entry = encode(profile(text, length), encode_labels(text), 0.0)
    (series,) = PushRequest.FromString(entry.head + entry.body).series
    assert (len(series.labels[0].value), len(series.samples[0].raw_profile)) == (length, length)


def test_a_body_is_not_copied_before_it_is_sent() -> None:
    one = profile(Labels({"a": "1"}), 100)
    entry = encode(one, encode_labels(one.labels), 0.0)
    assert entry.body is one.body
    assert request_body([entry]).pieces == (entry.head, entry.body)
    assert request_body([entry]).pieces[1] is one.body


@given(st.lists(st.binary(max_size=50), max_size=12), st.integers(1, 40))
def test_slices(pieces: list[bytes], size: int) -> None:
    body = RequestBody(tuple(pieces))
    slices = list(body.slices(size))
    assert b"".join(slices) == b"".join(pieces)
    assert all(len(one) == size for one in slices[:-1])
    assert all(0 < len(one) <= size for one in slices[-1:])
