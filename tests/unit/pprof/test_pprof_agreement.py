"""The native core and the oracle give the same bytes, or refuse for the same reason."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence

import pytest
from hostile_bodies import BODIES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pprof_builder import ALLOCS, LIMIT, MUTEX, Label, Stack, build, field, raw, varint
from pprof_fuzz import SEED, Fuzz, Pair, member, small_series

from pyroscope_operator.pprof import _native
from pyroscope_operator.pprof.budget import UNCOUNTED_BYTES

MANY = settings(max_examples=150, deadline=None, derandomize=True, database=None)
RAW = raw([((1, 2), (1, 2), (("k", "v", 3, "u"),))], MUTEX)
GROUP, END = varint(9 << 3 | 3), varint(9 << 3 | 4)

addresses = st.integers(-4, 6).filter(bool) | st.integers(1, 2**64 - 1)
stacks: st.SearchStrategy[Stack] = st.lists(addresses, max_size=4).map(tuple)
texts = st.sampled_from(["", "a", "b", "k" * 100, "bytes"])
int64s = st.integers(-(2**63), 2**63 - 1)
labels: st.SearchStrategy[Label] = st.tuples(texts, texts, st.integers(-2, 2) | int64s, texts)
counts = st.integers(0, 3) | st.integers(0, 2**40) | int64s
columns = st.sampled_from([ALLOCS, MUTEX, MUTEX[::-1], MUTEX[:1], (*MUTEX, ("x", "y")), ALLOCS + MUTEX, (("x", "y"),)])
tags = st.integers(0, 130) | st.integers(0, 2**33)
contents = st.binary(max_size=12) | st.integers(0, 2**64 - 1).map(varint)


@st.composite
def profiles(draw: st.DrawFn) -> list[bytes]:
    """Some in a row, mostly of the same stacks and columns."""
    pool = draw(st.lists(st.tuples(stacks, st.lists(labels, max_size=3)), min_size=1, max_size=5))
    usual, made = draw(columns), []
    for _ in range(draw(st.integers(1, 4))):
        types = draw(st.just(usual) | columns)
        values = st.lists(counts, min_size=len(types), max_size=len(types))
        chosen = draw(st.lists(st.tuples(st.sampled_from(pool), values), max_size=8))
        samples = [(stack, numbers, draw(st.permutations(named))) for (stack, named), numbers in chosen]
        seed = draw(st.none() | st.integers(0, 5))
        made.append(raw(samples, types, time=draw(int64s), rng=None if seed is None else random.Random(seed)))
    return made


@given(profiles())
@MANY
def test_profiles(series: list[bytes]) -> None:
    pair = Pair()
    for profile in series:
        pair.feed(profile)


@given(st.lists(st.tuples(tags, contents), max_size=6), st.integers(0, len(RAW)))
@example([(9 << 3, b"\xff" * 9 + b"\x7f")], 0)
@example([(2**32 - 8, b"\x01")], 0)
@example([(2**32, b"\x01")], 0)
@MANY
def test_fields(extra: Sequence[tuple[int, bytes]], at: int) -> None:
    """Anything that looks like fields, before, behind and within a profile."""
    odd = b"".join(varint(tag) + (varint(len(content)) if tag & 7 == 2 else b"") + content for tag, content in extra)
    for body in (odd, RAW[:at] + odd + RAW[at:], RAW + odd, RAW + field(2, odd), RAW + field(4, odd), RAW + field(11, odd)):
        Pair().feed(body)


@given(st.binary(max_size=300))
@MANY
def test_bytes(body: bytes) -> None:
    Pair().feed(body)
    Pair().feed(b"\x1f\x8b\x08\0" + body)


@pytest.mark.parametrize("depth", [1, 50, 97, 98, 99, 100, 101, 102, 5000])
@pytest.mark.parametrize("put", [lambda x: x, lambda x: field(4, x), lambda x: field(4, field(4, x)), lambda x: field(11, x)])
def test_groups(depth: int, put: object) -> None:
    """Nobody writes them, but protobuf allows them within unknown fields, so deep."""
    assert callable(put)
    inside = (b"", b"\x08\x01", b"\0\x01", b"\x02\0", b"\x03\x04", b"\x09" + bytes(8), b"\x0e", b"\x80\x80\x80\x80\x80\x01")
    for body in (GROUP * depth, *(GROUP * depth + content + END * depth for content in inside)):
        Pair().feed(RAW + put(body))


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("size", [UNCOUNTED_BYTES // 4, UNCOUNTED_BYTES + 50_000])
def test_hostile_bodies(name: str, size: int) -> None:
    body = BODIES[name](size)
    pair = Pair(LIMIT)
    pair.feed(body)
    pair.feed(gzip.compress(body, 1))


@pytest.mark.parametrize("limit", [0, 1, len(RAW) - 1, len(RAW), len(RAW) + 1, 2 * len(RAW), 2**63 - 2])
def test_gzip(limit: int) -> None:
    rng, packed = random.Random(limit), gzip.compress(RAW)
    bodies = [
        RAW,
        packed,
        packed * 2,
        packed + b"\0" * 3,
        packed + b"x",
        packed + packed[-8:],
        packed[:-8] + packed[-8:] * 2,
        packed[:-4] + b"\xff\xff\xff\x7f",
        packed[:-8] + bytes(8),
        gzip.compress(b"") + packed,
        packed + gzip.compress(b""),
        gzip.compress(b"") * 1025,
        gzip.compress(bytes(1 << 20)),
        *(packed[:length] for length in range(0, len(packed), 3)),
        *(member(rng, RAW) for _ in range(200)),
    ]
    for body in bodies:
        Pair(limit).feed(body)


def test_a_checksum_within_the_content() -> None:
    """The native core finds the end of a gzip member by its last eight bytes, if they are nowhere else."""
    inner = zlib.compress(RAW, 0, wbits=31)[-8:]
    body = zlib.compress(RAW, 0, wbits=31)
    assert Pair().feed(body)[0] == ""
    stored = raw([((1, 2), (1, 2), (("k", inner.decode("latin-1"), 3, "u"),))], MUTEX)
    assert Pair().feed(zlib.compress(stored, 0, wbits=31))[0] == ""


def test_series() -> None:
    """So many that all of what a series may do occurs."""
    rng, outcomes = random.Random(3), set[str]()
    for _ in range(100):
        pair = Pair()
        for profile in small_series(rng):
            reason, result = pair.feed(profile)
            outcomes.add(reason or type(result).__name__)
    assert outcomes == {"tuple", "NoneType"}


def test_fuzz() -> None:
    """A short one; `make fuzz` is long and begins elsewhere each time."""
    fuzz = Fuzz(1)
    for _ in range(120):
        fuzz.once()
    assert fuzz.outcomes.keys() >= {"difference", "baseline", "NotAProfile", "BrokenGzip"}
    assert fuzz.outcomes["difference"] > 100


def test_many_equal_samples_keep_their_order() -> None:
    samples = [((number % 7 + 1,), (number, number)) for number in range(1000)]
    pair = Pair()
    pair.feed(raw(samples, MUTEX))
    reason, result = pair.feed(raw(samples * 2, MUTEX))
    assert (reason, isinstance(result, tuple)) == ("", True)


def test_other_threads_go_on_meanwhile() -> None:
    """No thread is made to give way here: who does not let the others go on has ended before they look."""
    body = build([((n % 200 + 1,) * 40, (n, n)) for n in range(6000)], MUTEX).SerializeToString()
    computer, began, ended, seen = _native.Computer(SEED), threading.Event(), False, []

    def work() -> None:
        nonlocal ended
        began.set()
        for _ in range(50):
            computer.difference(body, LIMIT)
        ended = True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        began.wait()
        seen.append(ended)
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert seen == [False]


def test_what_was_not_built_is_not_needed() -> None:
    """In a process where neither the native core nor ISA-L can be imported."""
    program = """
import sys
sys.modules["pyroscope_operator.pprof._native"] = sys.modules["isal"] = None
from pyroscope_operator.pprof import core
from pyroscope_operator.pprof.delta import DeltaComputer
from pyroscope_operator.pprof.prepare import prepare
body = sys.stdin.buffer.read()
print(core.IS_NATIVE, DeltaComputer(1000).delta(body), prepare(body, 1000, None).samples)
"""
    made = subprocess.run([sys.executable, "-c", program], input=RAW, capture_output=True, check=True, timeout=60)
    assert made.stdout.split() == [b"False", b"None", b"1"]
