from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest

from pyroscope_operator.errors import ProfileError
from pyroscope_operator.pprof.gunzip import compress, decompress, is_single_member

RAW = random.Random(1).randbytes(300_000) + bytes(100_000)
MEMBER = gzip.compress(RAW)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", b"", id="empty"),
        pytest.param(b"\x0a\x04raw", b"\x0a\x04raw", id="raw"),
        pytest.param(b"\x1f", b"\x1f", id="one byte is no gzip"),
        pytest.param(gzip.compress(b""), b"", id="empty member"),
        pytest.param(MEMBER, RAW, id="one member"),
        pytest.param(gzip.compress(b"a") + gzip.compress(b"") + MEMBER + gzip.compress(b"z"), b"a" + RAW + b"z", id="members"),
        pytest.param(MEMBER + bytes(1000), RAW, id="zero padding"),
        pytest.param(gzip.compress(b"x") * 1000, b"x" * 1000, id="many members"),
    ],
)
def test_decompress(body: bytes, expected: bytes) -> None:
    assert decompress(body, len(expected)) == expected
    if expected:
        with pytest.raises(ProfileError) as caught:
            decompress(body, len(expected) - 1)
        assert caught.value.reason == "BodyTooLarge"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x1f\x8b", id="magic only"),
        pytest.param(MEMBER[:5], id="half a header"),
        pytest.param(MEMBER[:-1], id="truncated trailer"),
        pytest.param(MEMBER[:200_000], id="truncated content"),
        pytest.param(MEMBER[:-8] + bytes(8), id="wrong checksum"),
        pytest.param(MEMBER[:1000] + b"\xff" * 50 + MEMBER[1050:], id="corrupt content"),
        pytest.param(b"\x1f\x8b\x07" + MEMBER[3:], id="unknown method"),
        pytest.param(MEMBER + b"garbage", id="garbage behind"),
        pytest.param(MEMBER + bytes(9) + b"x", id="garbage behind padding"),
        pytest.param(MEMBER + bytes(9) + MEMBER, id="member behind padding"),
        pytest.param(MEMBER + MEMBER[:20], id="truncated second member"),
        pytest.param(gzip.compress(b"") * 5000, id="too many members"),
    ],
)
def test_broken(body: bytes) -> None:
    with pytest.raises(ProfileError) as caught:
        decompress(body, 10_000_000)
    assert caught.value.reason == "BrokenGzip"


@pytest.mark.parametrize("members", [1, 50])
def test_bomb_is_given_up_early(members: int) -> None:
    bomb = gzip.compress(bytes(50_000_000 // members)) * members
    tracemalloc.start()
    try:
        with pytest.raises(ProfileError) as caught:
            decompress(bomb, 2_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.reason == "BodyTooLarge"
    assert peak < 5_000_000


def test_compress() -> None:
    packed = compress(RAW)
    assert gzip.decompress(packed) == RAW
    assert packed == compress(RAW)
    assert packed[4:8] == bytes(4)  # no time stamp


@pytest.mark.parametrize(
    ("body", "raw_bytes", "expected"),
    [
        pytest.param(MEMBER, len(RAW), True, id="one member"),
        pytest.param(RAW, len(RAW), False, id="raw"),
        pytest.param(gzip.compress(b"a") + MEMBER, len(RAW) + 1, False, id="two members"),
        *(pytest.param(MEMBER + bytes(count), len(RAW), False, id=f"padded by {count}") for count in (1, 2, 3, 4, 5, 512)),
    ],
)
def test_is_single_member(body: bytes, raw_bytes: int, expected: bool) -> None:
    assert is_single_member(body, raw_bytes) is expected


def test_mutations_raise_nothing_else() -> None:
    rng = random.Random(2)
    small = zlib.compress(b"profile" * 50, wbits=31) * 2
    for _ in range(3000):
        body = bytearray(small)
        for _ in range(rng.randrange(1, 4)):
            body[rng.randrange(2, len(body))] = rng.randrange(256)
        try:
            decompress(bytes(body), 1000)
        except ProfileError as error:
            assert error.reason in {"BrokenGzip", "BodyTooLarge"}
