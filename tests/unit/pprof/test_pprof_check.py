from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from pprof_builder import build, field, numbers

from pyroscope_operator._proto.profile_pb2 import Profile
from pyroscope_operator.errors import ProfileError
from pyroscope_operator.pprof.check import parse

SECRET = "hunter2"


def good() -> Profile:
    return build([((0x10, 0x20), (1, 2, 3, 4), (("k", "v", 0, ""), ("bytes", "", 64, "bytes")))])


def test_good_profile() -> None:
    profile = good()
    assert parse(profile.SerializeToString()) == profile


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: p.ClearField("sample"), id="no samples"),
        pytest.param(lambda p: p.ClearField("period_type"), id="no period type"),
        pytest.param(lambda p: setattr(p.location[0], "mapping_id", 0), id="location without mapping"),
        pytest.param(lambda p: p.sample[0].ClearField("location_id"), id="sample without stack"),
        pytest.param(lambda p: p.location[0].ClearField("line"), id="location without lines"),
        pytest.param(lambda p: p.MergeFromString(b"\xfa\x3f\x03abc"), id="unknown field"),
        pytest.param(lambda p: p.string_table.append(b""), id="another empty string"),
        pytest.param(lambda p: p.string_table.append(b"\xff\xfe"), id="a string that is not UTF-8"),
    ],
)
def test_accepted(change: Callable[[Profile], object]) -> None:
    profile = good()
    change(profile)
    assert parse(profile.SerializeToString()) == profile


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.ClearField("sample_type"), "there are no sample types"),
        (lambda p: p.ClearField("string_table"), "the string table does not start"),
        (lambda p: p.string_table.__setitem__(0, SECRET.encode()), "the string table does not start"),
        (lambda p: p.sample[0].value.append(1), "a sample has not one value per sample type"),
        (lambda p: p.sample[0].ClearField("value"), "a sample has not one value per sample type"),
        (lambda p: p.sample[0].location_id.append(77), "a sample names an unknown location"),
        (lambda p: p.sample[0].location_id.append(0), "a sample names an unknown location"),
        (lambda p: setattr(p.location[1].line[0], "function_id", 99), "a location names an unknown function"),
        (lambda p: p.location[1].line.add(line=3), "a location names an unknown function"),
        (lambda p: setattr(p.location[1], "mapping_id", 99), "a location names an unknown mapping"),
        (lambda p: p.location.append(p.location[0]), "used twice"),
        (lambda p: p.function.append(p.function[0]), "used twice"),
        (lambda p: p.mapping.append(p.mapping[0]), "used twice"),
        (lambda p: p.location.add(address=5), "is 0"),
        (lambda p: p.function.add(name=1), "is 0"),
        (lambda p: p.mapping.add(filename=1), "is 0"),
        *(
            (change, "a string index is out of range")
            for change in (
                lambda p: setattr(p.sample_type[1], "type", len(p.string_table)),
                lambda p: setattr(p.sample_type[1], "unit", -1),
                lambda p: setattr(p.period_type, "type", 2**62),
                lambda p: setattr(p, "drop_frames", -(2**63)),
                lambda p: setattr(p, "keep_frames", 1000),
                lambda p: setattr(p, "default_sample_type", 1000),
                lambda p: setattr(p, "doc_url", 1000),
                lambda p: p.comment.append(1000),
                lambda p: setattr(p.mapping[0], "filename", 1000),
                lambda p: setattr(p.mapping[0], "build_id", 1000),
                lambda p: setattr(p.function[1], "name", 1000),
                lambda p: setattr(p.function[1], "system_name", 1000),
                lambda p: setattr(p.function[1], "filename", 1000),
                lambda p: setattr(p.sample[0].label[1], "key", 1000),
                lambda p: setattr(p.sample[0].label[1], "str", 1000),
                lambda p: setattr(p.sample[0].label[1], "num_unit", 1000),
            )
        ),
    ],
)
def test_bad_profile(change: Callable[[Profile], object], message: str) -> None:
    profile = good()
    change(profile)
    with pytest.raises(ProfileError) as caught:
        parse(profile.SerializeToString())
    assert caught.value.reason == "NotAProfile"
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("raw", "reason", "message"),
    [
        pytest.param(b"", "EmptyBody", "empty", id="empty"),
        pytest.param(f"<!DOCTYPE html><p>{SECRET}".encode(), "NotAProfile", "HTML", id="html"),
        pytest.param(f"\ufeff\n <?xml?>{SECRET}".encode(), "NotAProfile", "XML", id="xml with byte order mark"),
        pytest.param(f'{{"error": "{SECRET}"}}'.encode(), "NotAProfile", "JSON", id="json object"),
        pytest.param(f'\n["{SECRET}"]'.encode(), "NotAProfile", "JSON", id="json array"),
        pytest.param(f"heap profile: 1: 2 [{SECRET}]\n".encode(), "NotAProfile", "plain text", id="text"),
        pytest.param(b" \n", "NotAProfile", "plain text", id="blank"),
        pytest.param("Fehler: zurückgewiesen".encode("latin-1"), "NotAProfile", "plain text", id="latin-1"),
        pytest.param(gzip.compress(SECRET.encode()), "NotAProfile", "gzip within gzip", id="gzip"),
        pytest.param(b"\x00\x01\x02\x03", "NotAProfile", "the protobuf is broken", id="binary"),
        pytest.param(good().SerializeToString()[:-1], "NotAProfile", "the protobuf is broken", id="truncated"),
        pytest.param(b"\xfa\x3f\x03\x01ab", "NotAProfile", "there are no sample types", id="unknown fields only"),
    ],
)
def test_no_profile(raw: bytes, reason: str, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse(raw)
    assert caught.value.reason == reason
    assert message in caught.value.message
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("packed_ids", [True, False])
@pytest.mark.parametrize("packed_values", [True, False])
def test_packed_and_unpacked(packed_ids: bool, packed_values: bool) -> None:
    """Go writes up to two numbers unpacked; a field may even be split into parts of both kinds."""
    profile = build([((0x10, 0x20), (5, 6))], [("contentions", "count"), ("delay", "nanoseconds")])
    ids = list(profile.sample[0].location_id)
    profile.ClearField("sample")
    sample = numbers(1, ids, packed=packed_ids) + numbers(2, (5,), packed=packed_values) + numbers(2, (6,), packed=True)
    parsed = parse(profile.SerializeToString() + field(2, sample))
    assert list(parsed.sample[0].location_id) == ids
    assert list(parsed.sample[0].value) == [5, 6]
