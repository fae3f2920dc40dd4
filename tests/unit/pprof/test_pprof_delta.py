from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence

import pytest
from pprof_builder import ALLOCS, LIMIT, MUTEX, SECOND, START, Builder, Samples, build, field, numbers, raw, read, texts

from pyroscope_operator._proto.profile_pb2 import Profile
from pyroscope_operator.errors import ProfileError
from pyroscope_operator.pprof.budget import MAX_SAMPLES
from pyroscope_operator.pprof.delta import DeltaComputer, Difference

A, B, C = (0x10, 0x20), (0x10, 0x30), (0x40,)
LEFT, RIGHT = ("side", "left", 0, ""), ("side", "right", 0, "")
SMALL, BIG = ("bytes", "", 64, ""), ("bytes", "", 4096, "")
INT64_MAX = 2**63 - 1


def difference(*profiles: bytes) -> Difference | None:
    """What the last of several profiles gives."""
    computer = DeltaComputer(LIMIT)
    results = [computer.difference(profile) for profile in profiles]
    assert results[0] is None
    return results[-1]


def after(change: Callable[[Builder], object], samples: Samples = (((1,), (2, 2)),)) -> Profile:
    """The difference of two mutex profiles which both went through `change`."""
    made = []
    for values in ((1, 1), (2, 2)):
        builder = Builder(MUTEX)
        builder.sample((1,), values)
        change(builder)
        made.append(builder.done().SerializeToString())
    result = difference(*made)
    assert result is not None
    return Profile.FromString(result.raw)


@pytest.mark.parametrize(
    ("types", "before", "now", "expected"),
    [
        pytest.param(ALLOCS, [(A, (1, 10, 1, 10))], [(A, (3, 50, 2, 40))], {(A, ()): [2, 40, 2, 40]}, id="grown"),
        pytest.param(ALLOCS, [(A, (1, 10, 1, 10))], [(A, (1, 10, 1, 10))], {(A, ()): [0, 0, 1, 10]}, id="in use stays"),
        pytest.param(ALLOCS, [(A, (1, 10, 1, 10))], [(A, (1, 10, 0, 0))], {}, id="in use may fall to 0"),
        pytest.param(ALLOCS, [(A, (1, 10, 9, 90))], [(A, (2, 10, -1, 5))], {(A, ()): [1, 0, -1, 5]}, id="only counters count"),
        pytest.param(ALLOCS, [], [(A, (1, 10, 1, 10))], {(A, ()): [1, 10, 1, 10]}, id="new key"),
        pytest.param(ALLOCS, [(A, (0, 0, 1, 10))], [(B, (1, 10, 0, 0))], {(B, ()): [1, 10, 0, 0]}, id="zero key may go"),
        pytest.param(MUTEX, [(A, (1, 10))], [(A, (1, 10))], {}, id="nothing happened"),
        pytest.param(MUTEX, [], [], {}, id="no samples at all"),
        pytest.param(MUTEX, [(A, (1, 10)), (B, (2, 20))], [(B, (3, 21)), (A, (1, 10))], {(B, ()): [1, 1]}, id="other order"),
        pytest.param(MUTEX, [(A, (1, 10)), (A, (2, 20))], [(A, (4, 40))], {(A, ()): [1, 10]}, id="equal keys before"),
        pytest.param(MUTEX, [(A, (4, 40))], [(A, (1, 10)), (A, (4, 40))], {(A, ()): [1, 10]}, id="equal keys now"),
        pytest.param(ALLOCS, [], [(A, (1, 1, 2, 3)), (A, (1, 1, 4, 5))], {(A, ()): [2, 2, 6, 8]}, id="all columns are summed"),
        pytest.param(
            MUTEX,
            [(A, (1, 1), (LEFT,)), (A, (1, 1), (RIGHT,))],
            [(A, (1, 1), (RIGHT,)), (A, (2, 2), (LEFT,))],
            {(A, (LEFT,)): [1, 1]},
            id="labels tell samples apart",
        ),
        pytest.param(
            MUTEX,
            [(A, (1, 1), (LEFT, SMALL)), (A, (1, 1), (LEFT, BIG))],
            [(A, (1, 1), (LEFT, BIG)), (A, (9, 9), (SMALL, LEFT))],
            {(A, (SMALL, LEFT)): [8, 8]},
            id="order of labels does not matter",
        ),
        pytest.param(MUTEX, [((), (1, 1))], [((), (2, 3))], {((), ()): [1, 2]}, id="empty stack"),
        pytest.param(
            MUTEX,
            [((-1, 5), (1, 1))],
            [((-2, 5), (7, 7)), ((-1, 5), (2, 2))],
            {((-2, 5), ()): [7, 7], ((-1, 5), ()): [1, 1]},
            id="locations without address",
        ),
        pytest.param(
            [("delay", "nanoseconds"), ("wait", "nanoseconds"), ("contentions", "count")],
            [(A, (5, 5, 5))],
            [(A, (6, 6, 7))],
            {(A, ()): [1, 6, 2]},
            id="columns are found by name",
        ),
        pytest.param(
            [("alloc_space", "bytes"), ("alloc_space", "kilobytes")],
            [(A, (5, 5))],
            [(A, (6, 6))],
            {(A, ()): [1, 6]},
            id="columns are found by unit",
        ),
        pytest.param(MUTEX, [(A, (INT64_MAX - 1, 1))], [(A, (INT64_MAX, 2))], {(A, ()): [1, 1]}, id="large values"),
        pytest.param(MUTEX, [(A, (-5, 1))], [(A, (-3, 1))], {(A, ()): [2, 0]}, id="negative counter that grows"),
    ],
)
def test_difference(types: Sequence[tuple[str, str]], before: Samples, now: Samples, expected: dict[object, object]) -> None:
    result = difference(raw(before, types), raw(now, types))
    assert result is not None
    assert read(result.raw) == expected
    assert result.samples == len(expected)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(raw([(A, (2, 2))], MUTEX), raw([(A, (1, 2))], MUTEX), id="a value fell"),
        pytest.param(raw([(A, (2, 2))], MUTEX), raw([(A, (0, 0))], MUTEX), id="a value fell to 0"),
        pytest.param(raw([(A, (2, 2)), (B, (1, 0))], MUTEX), raw([(A, (9, 9))], MUTEX), id="a key is gone"),
        pytest.param(raw([(A, (2, 2)), (B, (1, 0))], MUTEX), raw([(A, (9, 9)), (C, (9, 9))], MUTEX), id="a key became another"),
        pytest.param(raw([(A, (2, 2))], MUTEX), raw([], MUTEX), id="all keys are gone"),
        pytest.param(raw([], MUTEX), raw([(A, (-1, 2))], MUTEX), id="new key below 0"),
        pytest.param(raw([(A, (-5, 0))], MUTEX), raw([(A, (INT64_MAX, 0))], MUTEX), id="difference above 64 bits"),
        pytest.param(raw([(A, (2, 2))], MUTEX), raw([(A, (3, 3))], MUTEX[::-1]), id="other order of columns"),
        pytest.param(raw([(A, (2, 2))], MUTEX), raw([(A, (3, 3, 3, 3))], ALLOCS), id="other columns"),
        pytest.param(raw([(A, (2, 2))], MUTEX), raw([(A, (3, 3))], [MUTEX[0], ("wait", "ns")]), id="another kept column"),
    ],
)
def test_restart(before: bytes, now: bytes) -> None:
    """The second profile becomes the baseline of the third, which is the same as the second."""
    computer = DeltaComputer(LIMIT)
    assert computer.difference(before) is None
    assert computer.difference(now) is None
    again = computer.difference(now)
    assert again is not None
    subtracted = [values[:2] for values in read(again.raw).values() if len(values) == 4]
    assert all(values == [0, 0] for values in subtracted)


def test_vanished_key_with_zero_counters_may_come_back() -> None:
    result = difference(raw([(A, (0, 0, 5, 5))]), raw([]), raw([(A, (1, 10, 5, 5))]))
    assert result is not None
    assert read(result.raw) == {(A, ()): [1, 10, 5, 5]}


def test_reset_forgets() -> None:
    computer = DeltaComputer(LIMIT)
    first, second = raw([(A, (1, 1))], MUTEX), raw([(A, (2, 2))], MUTEX)
    assert computer.difference(first) is None
    computer.reset()
    assert computer.difference(second) is None
    assert computer.difference(second) == difference(second, second)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "EmptyBody", id="empty"),
        pytest.param(b"<html>", "NotAProfile", id="html"),
        pytest.param(b"\x1f\x8bbroken", "BrokenGzip", id="broken gzip"),
        pytest.param(raw([(A, (1, 1))], MUTEX)[:-3], "NotAProfile", id="truncated"),
        pytest.param(bytes(LIMIT + 1), "BodyTooLarge", id="too large"),
        pytest.param(
            raw([(A, (1, 1))], MUTEX) + field(2, numbers(2, (1, 1), packed=True)) * MAX_SAMPLES,
            "TooComplex",
            id="too many samples",
        ),
        pytest.param(raw([(A, (1,))], [("goroutine", "count")]), "NotCumulative", id="no column to subtract"),
        pytest.param(raw([(A, (1,))], [("alloc_space", "count")]), "NotCumulative", id="wrong unit"),
        pytest.param(raw([(A, (1, 1, 1, 1, 1))], [*ALLOCS, ("x", "count")]), "NotCumulative", id="five columns"),
        pytest.param(raw([(A, (INT64_MAX, 1)), (A, (1, 1))], MUTEX), "NotAProfile", id="sum above 64 bits"),
        pytest.param(raw([(A, (-(2**63), 1)), (A, (-1, 1))], MUTEX), "NotAProfile", id="sum below 64 bits"),
    ],
)
def test_error_changes_nothing(body: bytes, reason: str) -> None:
    computer = DeltaComputer(LIMIT)
    assert computer.delta(raw([(A, (1, 1))], MUTEX)) is None
    with pytest.raises(ProfileError) as caught:
        computer.delta(body)
    assert caught.value.reason == reason
    result = computer.delta(raw([(A, (4, 5))], MUTEX))
    assert result is not None
    assert read(gzip.decompress(result)) == {(A, ()): [3, 4]}


def test_delta_takes_gzip_and_raw_and_gives_gzip() -> None:
    computer = DeltaComputer(LIMIT)
    assert computer.delta(gzip.compress(raw([(A, (1, 1))], MUTEX))) is None
    for count in (2, 3):
        now = raw([(A, (count, count))], MUTEX)
        result = computer.delta(now if count == 2 else gzip.compress(now))
        assert result is not None
        assert read(gzip.decompress(result)) == {(A, ()): [1, 1]}
    nothing = computer.delta(now)
    assert nothing is not None
    assert read(gzip.decompress(nothing)) == {}


@pytest.mark.parametrize(
    ("last", "now", "duration"),
    [
        pytest.param(START, START + 15 * SECOND, 15 * SECOND, id="forwards"),
        pytest.param(START, START, 0, id="equal"),
        pytest.param(START, START - SECOND, 0, id="backwards"),
        pytest.param(0, START, 0, id="no time before"),
        pytest.param(START, 0, 0, id="no time now"),
        pytest.param(-(2**63), INT64_MAX, 0, id="hostile"),
        pytest.param(1, INT64_MAX, INT64_MAX - 1, id="far future"),
    ],
)
def test_time(last: int, now: int, duration: int) -> None:
    """The difference is taken whatever the clock says; the duration is 0 where it is unknown."""
    result = difference(raw([(A, (1, 1))], MUTEX, time=last), raw([(A, (2, 2))], MUTEX, time=now))
    assert result is not None
    profile = Profile.FromString(result.raw)
    assert (profile.time_nanos, profile.duration_nanos) == (now, duration)
    assert read(profile) == {(A, ()): [1, 1]}


def test_duration_is_that_since_the_last_good_scrape() -> None:
    computer = DeltaComputer(LIMIT)
    computer.difference(raw([(A, (1, 1))], MUTEX, time=START))
    with pytest.raises(ProfileError):
        computer.difference(b"\x00")
    result = computer.difference(raw([(A, (1, 1))], MUTEX, time=START + 30 * SECOND))
    assert result is not None
    assert Profile.FromString(result.raw).duration_nanos == 30 * SECOND


def test_header_is_kept() -> None:
    def change(builder: Builder) -> None:
        profile = builder.profile
        profile.comment.extend(map(builder.string, ("first", "second", "first")))
        profile.drop_frames, profile.keep_frames = builder.string("drop.*"), builder.string("keep.*")
        profile.default_sample_type, profile.doc_url = builder.string("delay"), builder.string("https://example.com")
        profile.mapping.add(id=777, memory_limit=5, file_offset=6, build_id=builder.string("abc"), has_functions=True)

    profile = after(change)
    strings = texts(profile)
    assert [strings[index] for index in profile.comment] == ["first", "second", "first"]
    names = (profile.drop_frames, profile.keep_frames, profile.default_sample_type, profile.doc_url)
    assert [strings[index] for index in names] == ["drop.*", "keep.*", "delay", "https://example.com"]
    assert [(strings[value_type.type], strings[value_type.unit]) for value_type in profile.sample_type] == list(MUTEX)
    assert (strings[profile.period_type.type], strings[profile.period_type.unit]) == ("space", "bytes")
    assert profile.period == 512 * 1024
    assert [strings[mapping.filename] for mapping in profile.mapping] == ["/bin/app", ""]
    unused = profile.mapping[1]
    assert (unused.id, unused.memory_limit, unused.file_offset, unused.has_functions) == (777, 5, 6, True)
    assert strings[unused.build_id] == "abc"


def test_period_type_is_always_set() -> None:
    """The server dereferences it."""
    profile = after(lambda builder: builder.profile.ClearField("period_type"))
    assert profile.HasField("period_type")


def test_unused_parts_are_left_out() -> None:
    before, now = build([(A, (1, 1)), (C, (5, 5))], MUTEX), build([(A, (2, 2)), (C, (5, 5))], MUTEX)
    result = difference(before.SerializeToString(), now.SerializeToString())
    assert result is not None
    profile = Profile.FromString(result.raw)
    assert {location.address for location in profile.location} == set(A)
    assert len(profile.function) == len(A)
    assert texts(profile).count("") == 1
    assert sorted(texts(profile)) == sorted(
        ["", "contentions", "count", "delay", "nanoseconds", "space", "bytes", "/bin/app", "main.f16", "main.f32", "/src/main.go"]
    )
    kept = {location.id: location for location in now.location}
    assert all(location == kept[location.id] for location in profile.location)


def test_unknown_fields_are_dropped() -> None:
    unknown = field(999, b"abc")
    profile = after(lambda builder: [part.MergeFromString(unknown) for part in (builder.profile, builder.profile.location[0])])
    assert unknown not in profile.SerializeToString()


def test_wire_formats_mean_the_same() -> None:
    """The baseline is packed, the next profile not, as Go does it for up to two numbers."""
    now = build([(A, (300, 2**40))], MUTEX)
    ids = list(now.sample[0].location_id)
    now.ClearField("sample")
    unpacked = now.SerializeToString() + field(2, numbers(1, ids, packed=False) + numbers(2, (300, 2**40), packed=False))
    result = difference(raw([(A, (100, 2**39))], MUTEX), unpacked)
    assert result is not None
    assert read(result.raw) == {(A, ()): [200, 2**39]}


@pytest.mark.parametrize("what", ["", "line", "column", "name", "system_name", "filename", "start_line"])
def test_locations_without_address_are_told_apart_by_all_that_their_lines_say(what: str) -> None:
    profiles = []
    for count in (1, 2):
        builder = Builder(MUTEX)
        for stack in ((-1,), (-2,)):
            builder.sample(stack, (count, count))
        profile = builder.done()
        one, other = profile.location
        other.line[0].line, other.line[0].column = one.line[0].line, one.line[0].column
        first, second = profile.function
        second.name, second.system_name, second.filename = first.name, first.system_name, first.filename
        if what:
            setattr(other.line[0] if what in {"line", "column"} else second, what, 3)
        profiles.append(profile.SerializeToString())
    result = difference(*profiles)
    assert result is not None
    assert result.samples == (2 if what else 1)
