"""The difference of two cumulative profiles.

Go's allocs, heap, mutex and block profiles count since the process started; what is
sent is what happened between two scrapes.  This is the reference in plain Python, which the
native core has to agree with, and which takes its place where it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct

from pyroscope_operator._proto.profile_pb2 import Profile
from pyroscope_operator.errors import ProfileError
from pyroscope_operator.pprof.assembly import Row, assemble
from pyroscope_operator.pprof.check import parse
from pyroscope_operator.pprof.gunzip import decompress, is_single_member
from pyroscope_operator.pprof.key import SampleKeys

SUBTRACTED = frozenset(
    {(b"alloc_objects", b"count"), (b"alloc_space", b"bytes"), (b"contentions", b"count"), (b"delay", b"nanoseconds")}
)
"""Type and unit of the columns that are cumulative. All others, `inuse_*` above all, keep their values."""

MAX_COLUMNS = 4
"""Go's heap profile has 4 columns, and no cumulative profile that is known has more."""

_KEY_BYTES = 200
"""What a key of the state takes in memory with its counters: 167 bytes with one column, 196 with four."""

_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What of one scrape the next one needs.

    `types` are type and unit of all columns.  `counters` holds for each key that has a
    value other than 0 its subtracted columns, as packed int64.  Bytes to bytes: about
    130 bytes per key where tuples of ints take 200, and nothing for the garbage collector.
    """

    types: tuple[tuple[bytes, bytes], ...]
    time_nanos: int
    counters: Mapping[bytes, bytes]


class OracleComputer:
    """The core of a `DeltaComputer`, which tells what the methods do."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._last: _Snapshot | None = None

    @property
    def size(self) -> int:
        return len(self._last.counters) * _KEY_BYTES if self._last else 0

    def reset(self) -> None:
        self._last = None

    def difference(self, body: bytes, limit: int) -> tuple[bytes, int] | None:
        profile = parse(decompress(body, limit))
        types = _types(profile)
        columns = _subtracted_columns(types)
        rows = _merged_rows(profile, self._seed)
        current = _Snapshot(types, profile.time_nanos, _counters(rows, columns))
        result = _difference(profile, rows, columns, current, self._last)
        self._last = current  # not before everything that may fail has gone well
        return result


def inspect(body: bytes, limit: int) -> tuple[int, int, bool, bool]:
    """See `pprof.core.Inspect`."""
    raw = decompress(body, limit)
    profile = parse(raw)
    return len(raw), len(profile.sample), profile.HasField("period_type"), is_single_member(body, len(raw))


def _types(profile: Profile) -> tuple[tuple[bytes, bytes], ...]:
    strings = profile.string_table
    return tuple((strings[value_type.type], strings[value_type.unit]) for value_type in profile.sample_type)


def _subtracted_columns(types: Sequence[tuple[bytes, bytes]]) -> tuple[int, ...]:
    """The indexes of the columns to subtract, at least one."""
    if len(types) > MAX_COLUMNS:
        raise ProfileError("NotCumulative", f"the profile has {len(types)} sample types, more than {MAX_COLUMNS}")
    columns = tuple(index for index, value_type in enumerate(types) if value_type in SUBTRACTED)
    if not columns:
        raise ProfileError("NotCumulative", "the profile has no cumulative sample type that is known")
    return columns


def _merged_rows(profile: Profile, seed: bytes) -> dict[bytes, Row]:
    """Key to first sample and summed values, in the order of the profile."""
    key_of = SampleKeys(profile, seed).of
    rows: dict[bytes, Row] = {}
    for sample in profile.sample:
        key = key_of(sample)
        same = rows.get(key)
        rows[key] = Row(sample, sample.value[:]) if same is None else Row(same.sample, _sum(same.values, sample.value))
    return rows


def _sum(left: Sequence[int], right: Sequence[int]) -> list[int]:
    total = [a + b for a, b in zip(left, right, strict=True)]
    if max(total) > _INT64_MAX or min(total) < -_INT64_MAX - 1:
        raise ProfileError("NotAProfile", "the values of equal samples add up to more than 64 bits")
    return total


def _counters(rows: Mapping[bytes, Row], columns: Sequence[int]) -> dict[bytes, bytes]:
    pack = Struct(f"<{len(columns)}q").pack
    zero = pack(*(0 for _ in columns))
    packed = ((key, pack(*(row.values[column] for column in columns))) for key, row in rows.items())
    return {key: counters for key, counters in packed if counters != zero}


def _difference(
    profile: Profile, rows: Mapping[bytes, Row], columns: Sequence[int], current: _Snapshot, last: _Snapshot | None
) -> tuple[bytes, int] | None:
    if last is None or last.types != current.types:
        return None
    if not last.counters.keys() <= rows.keys():
        return None
    changed = _changed_rows(rows, columns, last.counters)
    if changed is None:
        return None
    result = assemble(profile, changed, _duration(last.time_nanos, current.time_nanos))
    return result.SerializeToString(), len(changed)


def _changed_rows(rows: Mapping[bytes, Row], columns: Sequence[int], last: Mapping[bytes, bytes]) -> list[Row] | None:
    """The rows that are not zero after subtraction, or None if a subtracted column fell."""
    unpack = Struct(f"<{len(columns)}q").unpack
    changed: list[Row] = []
    for key, (sample, values) in rows.items():
        before = last.get(key)
        left = list(values)
        for column, value in zip(columns, unpack(before) if before else (0,) * len(columns), strict=True):
            left[column] -= value
            if not 0 <= left[column] <= _INT64_MAX:  # above: only after a negative counter
                return None
        if any(left):
            changed.append(Row(sample, left))
    return changed


def _duration(last: int, current: int) -> int:
    """Nanoseconds between two profile times; 0 (unknown) if a time is missing or the clock went backwards.

    The counters decide what happened, not the clock: a step of the target's clock costs
    the duration, never the profile.
    """
    return min(max(current - last, 0), _INT64_MAX) if last > 0 else 0
