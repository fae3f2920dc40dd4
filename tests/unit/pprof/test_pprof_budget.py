"""What is refused before it is parsed, and that nothing else costs much."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from hostile_bodies import BODIES, HEADER, SAMPLE, filled
from pprof_builder import LIMIT, Builder, field, numbers, varint

from pyroscope_operator._proto.profile_pb2 import Profile
from pyroscope_operator.errors import ProfileError
from pyroscope_operator.pprof import core
from pyroscope_operator.pprof.budget import MAX_ENTRY_BYTES, MAX_FIELDS, MAX_SAMPLES, UNCOUNTED_BYTES, within_budget
from pyroscope_operator.pprof.check import parse
from pyroscope_operator.pprof.delta import DeltaComputer
from pyroscope_operator.pprof.oracle import OracleComputer
from pyroscope_operator.pprof.prepare import prepare

PADDING = field(6, bytes(UNCOUNTED_BYTES))
"""Makes any profile large enough to be counted, at the cost of one field."""

OVERLONG_TAG = b"\x92\0\0"
"""A sample with a tag in two bytes, which is allowed."""

LARGEST = {
    "different_samples": 583_000,
    "locations_without_address": 2_960_000,
    "many_labels": 4_370_000,
    "many_stacks": 9_900_000,
    "labels_with_a_long_key_each": 6_550_000,
}
"""The kinds of bodies that cost most, and the bytes with which the budget is just kept."""

MOST_SECONDS = 10.0
"""Of CPU. Up to 2.3 are usual, but CI machines are slow."""
MOST_MEMORY = 200 << 20


def cpu_seconds(work: Callable[..., object], *args: Any) -> float:
    started = time.thread_time()
    work(*args)
    return time.thread_time() - started


# Where the limits are


def times(part: bytes, fields: int) -> tuple[bytes, bytes]:
    """A part of so many fields as often as the budget takes it, and what is too much then."""
    fit = (MAX_FIELDS - 10) // fields
    return part * fit, part * (10 // fields + 2)


@pytest.mark.parametrize(
    ("fits", "more", "what"),
    [
        pytest.param(SAMPLE * MAX_SAMPLES, SAMPLE, "samples", id="samples"),
        pytest.param(*times(field(6, b""), 1), "fields", id="strings"),
        pytest.param(*times(field(13, bytes(100)), 101), "fields", id="comments"),
        pytest.param(*times(varint(13 << 3) + b"\0", 1), "fields", id="unpacked comments"),
        pytest.param(*times(field(3, b""), 11), "fields", id="mappings"),
        pytest.param(*times(field(5, b""), 1), "fields", id="functions"),
        pytest.param(*times(field(1000, b""), 1), "fields", id="unknown fields"),
        pytest.param(OVERLONG_TAG * MAX_SAMPLES, OVERLONG_TAG, "samples", id="samples with a tag that is too long"),
        pytest.param(*times(field(2, field(3, b"") * 1000), 1201), "fields", id="labels"),
        pytest.param(*times(field(4, field(4, b"") * 1000), 1001), "fields", id="lines"),
        pytest.param(*times(field(2, numbers(1, [1] * 1000, packed=False)), 1201), "fields", id="stacks"),
        pytest.param(*times(field(2, field(1, bytes(9996))), 1001), "fields", id="packed stacks"),
        pytest.param(
            field(2, field(3, bytes(MAX_ENTRY_BYTES - 4))), field(2, bytes(MAX_ENTRY_BYTES + 1)), "a sample", id="a sample"
        ),
        pytest.param(
            field(4, field(4, bytes(MAX_ENTRY_BYTES - 4))), field(4, bytes(MAX_ENTRY_BYTES + 1)), "a sample", id="a location"
        ),
    ],
)
def test_limits(fits: bytes, more: bytes, what: str) -> None:
    assert within_budget(PADDING + fits)
    with pytest.raises(ProfileError, match=what) as caught:
        within_budget(PADDING + fits + more)
    assert caught.value.reason == "TooComplex"


def test_small_profiles_are_not_counted() -> None:
    small = filled(SAMPLE, UNCOUNTED_BYTES)
    assert len(small) > MAX_SAMPLES
    assert within_budget(small)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"\x0b\x0c", id="a group"),
        pytest.param(b"\x0c", id="the end of a group"),
        pytest.param(b"\x0e\0", id="wire type 6"),
        pytest.param(b"\x0f\0", id="wire type 7"),
        pytest.param(b"\x12", id="no length"),
        pytest.param(b"\x12\x01", id="a length beyond the end"),
        pytest.param(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", id="a length far beyond the end"),
        pytest.param(b"\x80" * 11 + b"\0", id="a tag without end"),
        pytest.param(b"\x48" + b"\x80" * 10 + b"\0", id="a number without end"),
        pytest.param(b"\x48" + b"\x80" * 9, id="a number that is cut off"),
        pytest.param(b"\x49" + bytes(7), id="8 bytes that are cut off"),
        pytest.param(b"\x4d" + bytes(3), id="4 bytes that are cut off"),
        pytest.param(field(2, b"\x08"), id="a number cut off within a sample"),
        pytest.param(field(2, b"\x08\x80") + b"\0\0\0", id="a number that leaves its sample"),
        pytest.param(field(4, b"\x22\x03") + b"\0\0\0", id="a line that leaves its location"),
        pytest.param(field(2, b"\x1b\x1c"), id="a group within a sample"),
    ],
)
def test_what_is_no_protobuf(broken: bytes) -> None:
    assert within_budget(PADDING)
    assert not within_budget(PADDING + broken)
    with pytest.raises(ProfileError, match="the protobuf is broken") as caught:
        parse(PADDING + broken)
    assert caught.value.reason == "NotAProfile"


@pytest.mark.parametrize(
    "fine", [b"\x49" + bytes(8), b"\x4d" + bytes(4), b"\x48" + b"\xff" * 9 + b"\x01", field(2, b"\x49" + bytes(8))]
)
def test_what_is_protobuf(fine: bytes) -> None:
    assert within_budget(PADDING + fine)


def test_a_large_page_is_still_told_from_a_profile() -> None:
    with pytest.raises(ProfileError, match="it looks like HTML") as caught:
        parse(b"<html>" + bytes(b" " * UNCOUNTED_BYTES))
    assert caught.value.reason == "NotAProfile"


def go_heap(samples: int, depth: int, locations: int) -> bytes:
    """As large as Go's heap profile of a very large program: with inlined lines, long names and a label for the size."""
    rng = random.Random(5)
    names = b"".join(field(6, b"github.com/shop/checkout/internal.(*Cart).f%d" % n) for n in range(locations))
    parts = [HEADER, field(1, b"\x08\x01\x10\x02") * 3, field(3, b"\x08\x01"), names]
    for n in range(1, locations + 1):
        lines = (
            field(4, b"\x08" + varint(rng.randrange(1, locations)) + b"\x10" + varint(500))
            for _ in range(rng.choice((1, 1, 2, 3)))
        )
        parts.append(field(4, b"\x08" + varint(n) + b"\x10\x01\x18" + varint(0x400000 + n * 64) + b"".join(lines)))
        parts.append(field(5, b"\x08" + varint(n) + b"\x10" + varint(n) + b"\x18" + varint(n) + b"\x20\x01"))
    for _ in range(samples):
        stack = numbers(1, (rng.randrange(1, locations) for _ in range(depth)), packed=True)
        values = numbers(2, (rng.randrange(1 << 24) for _ in range(4)), packed=True)
        parts.append(field(2, stack + values + field(3, b"\x08\x05\x18" + varint(65536))))
    return b"".join(parts)


@pytest.mark.parametrize(("samples", "depth", "locations"), [(17_655, 128, 30_000), (40_000, 30, 40_000)])
def test_there_is_room_for_the_largest_real_profiles(samples: int, depth: int, locations: int) -> None:
    """The largest one seen has 17,655 samples; Go's stacks have 128 frames at most."""
    body = go_heap(samples, depth, locations)
    assert within_budget(body)
    assert len(parse(body).sample) == samples


# What the worst bodies cost


@pytest.mark.parametrize("name", BODIES)
def test_large_bodies_are_refused_or_cost_little(name: str) -> None:
    body = BODIES[name](LIMIT // 8)

    def work() -> None:
        try:
            prepare(body, LIMIT, DeltaComputer(LIMIT))
        except ProfileError as error:
            assert error.reason in {"TooComplex", "NotAProfile"}

    assert cpu_seconds(work) < MOST_SECONDS


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to measure")
@pytest.mark.parametrize("name", LARGEST)
def test_the_worst_bodies_within_the_budget(name: str, which_core: str) -> None:
    """In a process of its own, which takes a difference to nothing, so that all of it is assembled anew."""
    made = subprocess.run([sys.executable, __file__, name, which_core], capture_output=True, text=True, check=True, timeout=300)
    seconds, peak = map(float, made.stdout.split())
    assert seconds < MOST_SECONDS
    assert peak < MOST_MEMORY


def measure(name: str, which: str) -> None:
    """Print the CPU seconds that the largest body of this kind takes one of the cores, and by how many bytes it grows."""
    core.new_core = core.new_core if which == "native" else OracleComputer
    make, size = BODIES[name], LARGEST[name]
    body, computer = make(size), DeltaComputer(LIMIT)
    computer.difference(HEADER)
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    seconds = cpu_seconds(prepare, body, LIMIT, computer)
    print(seconds, memory("VmHWM") - before)


def memory(what: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[what].split()[0]) * 1024


# What mutations do


def real_profile() -> bytes:
    builder = Builder()
    rng = random.Random(1)
    for n in range(200):
        stack = tuple(rng.randrange(1, 300) for _ in range(rng.randrange(1, 30)))
        builder.sample(stack, (n, n * 10, 1, 10), [("bytes", "", 64 << n % 8, "bytes"), ("worker", f"w{n % 7}", 0, "")][: n % 3])
    return builder.done().SerializeToString()


def mutated(profile: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut out, doubled or put elsewhere."""
    body = bytearray(profile)
    for _ in range(rng.choice((1, 1, 2, 5, 50))):
        at, length = rng.randrange(len(body)), rng.choice((1, 1, 2, 10, 1000))
        match rng.randrange(5):
            case 0:
                body[at] = rng.randrange(256)
            case 1:
                body[at] ^= 1 << rng.randrange(8)
            case 2:
                del body[at : at + length]
            case 3:
                body[at:at] = body[at : at + length]
            case 4:
                body[at:at] = rng.randbytes(length)
        if len(body) < 2:
            return bytes(body)
    return bytes(body)


@pytest.mark.parametrize("seed", range(8))
def test_mutations_raise_nothing_else_and_never_take_long(seed: int) -> None:
    rng, profile = random.Random(seed), real_profile()
    computer, reasons = DeltaComputer(LIMIT), set[str]()
    for _ in range(100):
        body = mutated(profile, rng) + rng.choice((b"", PADDING))

        def work(body: bytes = body) -> None:
            for state in (computer, None):
                try:
                    prepare(body, LIMIT, state)
                    reasons.add("")
                except ProfileError as error:
                    reasons.add(error.reason)

        assert cpu_seconds(work) < 2
    assert reasons <= {"", "NotAProfile", "NotCumulative", "BrokenGzip"}
    assert {"", "NotAProfile"} <= reasons


def has_group(messages: Iterable[Message]) -> bool:
    return any(unknown.wire_type == 3 for message in messages for unknown in UnknownFieldSet(message))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_counted_is_what_is_parsed(seed: int) -> None:
    """The count and protobuf agree on what is protobuf; groups aside, which Go refuses, too."""
    rng, profile = random.Random(seed), real_profile()
    for _ in range(200):
        body = mutated(profile, rng) + PADDING
        try:
            parsed = Profile.FromString(body)
        except DecodeError:
            continue
        assert within_budget(body) or has_group((parsed, *parsed.sample, *parsed.location))


if __name__ == "__main__":
    measure(*sys.argv[1:])
