from __future__ import annotations

import gzip

import pytest
from pprof_builder import LIMIT, MUTEX, raw, read

from pyroscope_operator._proto.profile_pb2 import Profile
from pyroscope_operator.errors import ProfileError
from pyroscope_operator.pprof.delta import DeltaComputer
from pyroscope_operator.pprof.prepare import Prepared, Skipped, prepare

CPU = [("samples", "count"), ("cpu", "nanoseconds")]
RAW = raw([((1,), (1, 10)), ((2,), (2, 20))], CPU)
GZIP = gzip.compress(RAW, mtime=1)


def test_gzip_is_passed_on_as_it_came() -> None:
    assert prepare(GZIP, LIMIT, None) == Prepared(GZIP, len(RAW), 2)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(RAW, id="raw"),
        pytest.param(GZIP + bytes(512), id="padded gzip"),
        pytest.param(gzip.compress(RAW[:9]) + gzip.compress(RAW[9:]), id="two members"),
    ],
)
def test_everything_else_is_compressed_anew(body: bytes) -> None:
    prepared = prepare(body, LIMIT, None)
    assert isinstance(prepared, Prepared)
    assert prepared.body != body
    assert gzip.decompress(prepared.body) == RAW
    assert (prepared.raw_bytes, prepared.samples) == (len(RAW), 2)


@pytest.mark.parametrize("packed", [True, False])
def test_a_period_type_is_added_where_there_is_none(packed: bool) -> None:
    """The server dereferences it: a profile without it fails there for ever."""
    profile = Profile.FromString(RAW)
    profile.ClearField("period_type")
    bare = profile.SerializeToString()
    prepared = prepare(gzip.compress(bare) if packed else bare, LIMIT, None)
    assert isinstance(prepared, Prepared)
    sent = Profile.FromString(gzip.decompress(prepared.body))
    assert sent.HasField("period_type")
    sent.ClearField("period_type")
    assert (sent, prepared.samples) == (profile, 2)
    assert prepared.raw_bytes == len(gzip.decompress(prepared.body))


@pytest.mark.parametrize("body", [RAW, GZIP])
def test_limit_is_about_the_uncompressed_size(body: bytes) -> None:
    assert isinstance(prepare(body, len(RAW), None), Prepared)
    with pytest.raises(ProfileError) as caught:
        prepare(body, len(RAW) - 1, None)
    assert caught.value.reason == "BodyTooLarge"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "EmptyBody"),
        (gzip.compress(b""), "EmptyBody"),
        (b"404 page not found", "NotAProfile"),
        (gzip.compress(GZIP), "NotAProfile"),
        (GZIP[:-1], "BrokenGzip"),
    ],
)
@pytest.mark.parametrize("cumulative", [True, False])
def test_no_profile(body: bytes, reason: str, cumulative: bool) -> None:
    with pytest.raises(ProfileError) as caught:
        prepare(body, LIMIT, DeltaComputer(LIMIT) if cumulative else None)
    assert caught.value.reason == reason


def test_idle_profile_is_skipped() -> None:
    assert prepare(gzip.compress(raw([], CPU)), LIMIT, None) is Skipped.EMPTY


def test_cumulative_profile() -> None:
    computer = DeltaComputer(LIMIT)
    bodies = [gzip.compress(raw([((1,), (count, count)), ((2,), (5, 5))], MUTEX)) for count in (1, 3, 3, 2)]
    results = [prepare(body, LIMIT, computer) for body in bodies]
    assert [results[0], *results[2:]] == [Skipped.BASELINE, Skipped.EMPTY, Skipped.BASELINE]
    prepared = results[1]
    assert isinstance(prepared, Prepared)
    content = gzip.decompress(prepared.body)
    assert read(content) == {((1,), ()): [2, 2]}
    assert (prepared.raw_bytes, prepared.samples) == (len(content), 1)


def test_not_cumulative() -> None:
    with pytest.raises(ProfileError) as caught:
        prepare(GZIP, LIMIT, DeltaComputer(LIMIT))
    assert caught.value.reason == "NotCumulative"
