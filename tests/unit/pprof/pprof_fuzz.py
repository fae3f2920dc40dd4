"""Bodies that try to tell the native core from the oracle, or to break it.

`make fuzz`, or: python tests/unit/pprof/pprof_fuzz.py --seconds 600 --seed 1 [FOLDER], where the folder
has bodies to begin with, which are tried as they are, too; --write FOLDER puts some there.
"""

from __future__ import annotations

import argparse
import gzip
import random
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hostile_bodies import BODIES
from pprof_builder import ALLOCS, MUTEX, Builder, field, varint

from pyroscope_operator._proto.profile_pb2 import Profile
from pyroscope_operator.errors import ProfileError
from pyroscope_operator.pprof import _native
from pyroscope_operator.pprof.oracle import OracleComputer, inspect

LIMIT = 1 << 20
SEED = bytes(range(16))
NUMBERS = (0, 1, 2, 3, 5, 127, 128, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
NESTED = {1, 2, 3, 4, 5, 11}
"""Fields that are messages, in a profile or in those."""
FREE_TEXT = {"NotAProfile", "BrokenGzip"}
"""Reasons whose messages name the first problem that was found, which depends on the order of checks."""

Outcome = tuple[str, object]


def outcome(work: Callable[[], object]) -> Outcome:
    """What comes out, or why nothing does. Any other error is a bug."""
    try:
        return "", work()
    except ProfileError as error:
        return error.reason, "" if error.reason in FREE_TEXT else error.message


class Pair:
    """One series in both cores."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self.oracle, self.native = OracleComputer(SEED), _native.Computer(SEED)

    def reset(self) -> None:
        self.oracle.reset()
        self.native.reset()

    def feed(self, body: bytes) -> Outcome:
        """What the cores make of `body`, which has to be the same to the byte."""
        expected = outcome(lambda: self.oracle.difference(body, self._limit))
        assert outcome(lambda: self.native.difference(body, self._limit)) == expected
        assert outcome(lambda: _native.inspect(body, self._limit)) == outcome(lambda: inspect(body, self._limit))
        return expected


def small_series(rng: random.Random) -> list[bytes]:
    """Three profiles of a process, raw, in which counters grow and a sample is new."""
    made = []
    types = rng.choice((ALLOCS, MUTEX, (("contentions", "count"), ("x", "y"), ("delay", "nanoseconds"))))
    stacks = [tuple(rng.choice((1, -1)) * rng.randrange(1, 9) for _ in range(rng.randrange(5))) for _ in range(6)]
    labels = [(), (("bytes", "", 64, ""),), (("k", "v" * rng.choice((1, 100)), 0, ""), ("bytes", "", 16, "bytes"))]
    picked = [rng.choice(labels) for _ in stacks]
    for life in range(1, 4):
        builder = Builder(types, random.Random(life) if rng.random() < 0.5 else None)
        for number, stack in enumerate(stacks[: 3 + life]):
            builder.sample(stack, [(number + column) * life for column in range(len(types))], picked[number])
        profile = builder.done()
        profile.comment.append(1)
        profile.time_nanos += life
        made.append(profile.SerializeToString())
    return made


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each field of a message that upb wrote; numbers as their varint."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        start = position
        if tag & 7 == 2:
            length, start = _varint(message, position)
            position = start + length
        else:
            _, position = _varint(message, position)
        yield tag, message[start:position]


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, position


def overlong(rng: random.Random, number: int, most: int = 10) -> bytes:
    """A varint with more bytes than it needs, or rather more than it may have."""
    made = bytearray(varint(number))
    while len(made) < most + 1 and rng.random() < 0.7:
        made[-1] |= 0x80
        made.append(rng.choice((0, 0, 0, 1, 0x7F)))
    return bytes(made)


def strange(rng: random.Random) -> bytes:  # noqa: PLR0911
    """A field that no profile has, or not like that."""
    number = rng.choice((*range(16), 100, 2**29 - 1, 2**29))
    match rng.randrange(7):
        case 0:
            return varint(number << 3 | 1) + rng.randbytes(8)
        case 1:
            return varint(number << 3 | 5) + rng.randbytes(4)
        case 2:
            depth = rng.choice((1, 2, 98, 99, 100, 101))
            inside = rng.choice((b"", varint(9 << 3) + b"\x05", field(9, b"abc")))
            return varint(number << 3 | 3) * depth + inside + varint(number << 3 | 4) * rng.choice((depth, depth, depth - 1))
        case 3:
            return varint(number << 3) + overlong(rng, rng.choice(NUMBERS))
        case 4:
            return field(number, rng.randbytes(rng.randrange(12)))
        case 5:
            return overlong(rng, number << 3 | rng.randrange(8), 5) + rng.randbytes(3)
        case _:
            return varint(number << 3 | 2) + overlong(rng, rng.randrange(6), 5) + bytes(rng.randrange(6))


def reshaped(rng: random.Random, message: bytes, depth: int = 0) -> bytes:
    """A message with one field in it changed, anywhere below."""
    try:
        parts = list(fields(message))
    except IndexError:  # not made by upb
        return bitten(rng, message)
    if not parts:
        return strange(rng)
    at = rng.randrange(len(parts))
    tag, content = parts[at]
    coded = [_coded(tag, content) for tag, content in parts]
    if tag & 7 == 2 and depth < 2 and tag >> 3 in NESTED and rng.random() < 0.7:
        coded[at] = field(tag >> 3, reshaped(rng, content, depth + 1))
        return b"".join(coded)
    match rng.randrange(7):
        case 0:
            del coded[at]
        case 1:
            coded.insert(rng.randrange(len(coded)), coded[at])
        case 2:
            other = rng.randrange(len(coded))
            coded[at], coded[other] = coded[other], coded[at]
        case 3:
            coded.insert(at, strange(rng))
        case 4:
            coded[at] = varint(tag & ~7) + varint(rng.choice(NUMBERS))
        case 5:
            coded[at] = _coded(rng.randrange(1, 16) << 3 | tag & 7, content)
        case _:
            numbers = b"".join(varint(rng.choice(NUMBERS)) for _ in range(rng.randrange(5)))
            coded[at] = field(tag >> 3, rng.choice((numbers, bitten(rng, content))))
    return b"".join(coded)


def _coded(tag: int, content: bytes) -> bytes:
    return varint(tag) + (varint(len(content)) if tag & 7 == 2 else b"") + content


def bitten(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut out, put in or doubled."""
    body = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(body))
        match rng.randrange(4):
            case 0:
                body[at] = rng.randrange(256)
            case 1:
                del body[at : at + rng.randrange(1, 20)]
            case 2:
                body[at:at] = rng.randbytes(rng.randrange(1, 12))
            case _:
                body[at:at] = body[at : at + rng.randrange(1, 60)]
        body = body or bytearray(b"\0")
    return bytes(body)


def mutated(rng: random.Random, raw: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        raw = reshaped(rng, raw) if rng.random() < 0.8 else bitten(rng, raw)
    return raw


def member(rng: random.Random, raw: bytes) -> bytes:
    """One gzip member, with all that a header may have."""
    packer = zlib.compressobj(rng.randrange(10), wbits=-15, strategy=rng.choice((0, 0, 2, 3, 4)))
    deflated = packer.compress(raw) + packer.flush()
    flags = rng.choice((0, 0, 0, 1, rng.randrange(32)))
    header = b"\x1f\x8b\x08" + bytes((flags,)) + rng.randbytes(4) + b"\0\xff"
    if flags & 4:
        header += b"\x03\0abc"
    header += b"name\0" * bool(flags & 8) + b"comment\0" * bool(flags & 16)
    if flags & 2:
        header += (zlib.crc32(header) & 0xFFFF if rng.random() < 0.7 else 7).to_bytes(2, "little")
    return header + deflated + zlib.crc32(raw).to_bytes(4, "little") + len(raw).to_bytes(4, "little")


def packed(rng: random.Random, raw: bytes) -> bytes:  # noqa: PLR0911
    """`raw` as a target may send it."""
    match rng.randrange(16):
        case number if number > 7:
            return raw
        case 0 | 1 | 2:
            return member(rng, raw)
        case 3:
            return gzip.compress(raw, 1)
        case 4:
            cut = rng.randrange(len(raw) + 1)
            return member(rng, raw[:cut]) + member(rng, raw[cut:])
        case 5:
            return member(rng, raw) + rng.choice((b"", bytes(9), b"\0x", raw[:3], b"\x1f\x8b", member(rng, raw)))
        case 6:
            return bitten(rng, member(rng, raw))
        case _:
            whole = member(rng, raw)
            return whole[: rng.randrange(len(whole) + 1)] + rng.choice((b"", whole[-8:]))


class Fuzz:
    """Tries bodies until it is told to stop."""

    def __init__(self, seed: int, series: Sequence[Sequence[bytes]] = ()) -> None:
        """`series` are raw profiles to begin with, besides small ones that are made."""
        self._rng = random.Random(seed)
        self._given = list(series)
        self.outcomes: Counter[str] = Counter()

    def once(self) -> None:
        rng = self._rng
        series = rng.choice(self._given) if self._given and rng.random() < 0.2 else small_series(rng)
        pair = Pair()
        for raw in series:
            pair.feed(raw)
        for _ in range(20):
            body = packed(rng, mutated(rng, rng.choice((*series, series[-1], series[-1]))))
            try:
                reason, result = pair.feed(body)
            except BaseException:
                Path("fuzz-failure.bin").write_bytes(body)
                raise
            self.outcomes[reason or ("baseline" if result is None else "difference")] += 1
            if not reason:
                pair.feed(series[-2])
                pair.feed(series[-1])

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.once()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--write", type=Path)
    parser.add_argument("folder", nargs="?", type=Path)
    options = parser.parse_args()
    if options.write:
        write(options.write)
        return
    bodies = [file.read_bytes() for file in sorted(options.folder.iterdir())] if options.folder else []
    pair = Pair()
    for body in (*bodies, *(make(1 << 17) for make in BODIES.values())):
        pair.feed(body)
        pair.feed(body)
    profiles = [[raw, raw] for raw in map(_raw, bodies) if raw]
    print(f"seed {options.seed}: {len(bodies)} bodies given, {len(profiles)} of them profiles", flush=True)
    fuzz = Fuzz(options.seed, profiles)
    fuzz.run(options.seconds)
    print(f"{fuzz.outcomes.total()} bodies, the same in both cores: {dict(fuzz.outcomes)}")


def write(folder: Path) -> None:
    """Bodies for the coverage-guided fuzzer to begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    for number in range(30):
        raw = rng.choice(small_series(rng))
        (folder / f"seed-{number}").write_bytes(raw if number % 3 else member(rng, raw))


def _raw(body: bytes) -> bytes:
    """The profile of a body, as upb writes it; empty if it is none."""
    try:
        inspect(body, LIMIT)
        raw = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        return Profile.FromString(raw).SerializeToString()
    except (ProfileError, OSError):
        return b""


if __name__ == "__main__":
    main()
