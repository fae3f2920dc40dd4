"""Series of random cumulative profiles: what comes out has to add up, and bad input must not hurt."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from pprof_builder import ALLOCS, LIMIT, SECOND, START, Key, raw, read, samples_of

from pyroscope_operator._proto.profile_pb2 import Profile
from pyroscope_operator.errors import ProfileError
from pyroscope_operator.pprof.delta import DeltaComputer
from pyroscope_operator.pprof.prepare import prepare

REASONS = {"EmptyBody", "NotAProfile", "NotCumulative", "BodyTooLarge", "BrokenGzip"}
State = dict[Key, list[int]]


def random_key(rng: random.Random) -> Key:
    stack = tuple(
        rng.choice((rng.randrange(1, 60), rng.randrange(1, 60), -rng.randrange(1, 10))) for _ in range(rng.randrange(6))
    )
    labels = [("bytes", "", rng.choice((16, 64)), ""), ("tenant", rng.choice("abc"), 0, "")]
    return stack, tuple(sorted(rng.sample(labels, rng.randrange(3))))


def step(rng: random.Random, state: State) -> None:
    """Some counters grow, memory in use changes, and new buckets come in front of the old ones."""
    for values in state.values():
        if rng.random() < 0.3:
            values[0] += rng.randrange(3)
            values[1] += rng.randrange(2000)
        values[2], values[3] = rng.choice(((0, 0), (rng.randrange(5), rng.randrange(500))))
    old = dict(state)
    state.clear()
    for _ in range(rng.randrange(8)):
        key = random_key(rng)
        if key not in old:
            state[key] = [rng.randrange(3), rng.randrange(1000), rng.randrange(3), rng.randrange(1000)]
    state.update(old)


def series(rng: random.Random, length: int) -> Iterator[tuple[State, bytes]]:
    """Pairs of the truth and a profile that says it, with other ids and orders each time and buckets split at random."""
    state: State = {}
    for index in range(length):
        step(rng, state)
        samples = []
        for stack, values, labels in samples_of(state):
            part = [rng.randrange(value + 1) if rng.random() < 0.2 else 0 for value in values]
            rest = [value - taken for value, taken in zip(values, part, strict=True)]
            if any(part):
                samples.append((stack, part, labels))
            samples.append((stack, rest, rng.sample(labels, len(labels))))
        if rng.random() < 0.5:
            rng.shuffle(samples)
        yield {key: list(values) for key, values in state.items()}, raw(samples, time=START + index * SECOND, rng=rng)


@pytest.mark.parametrize("seed", range(25))
def test_differences_add_up(seed: int) -> None:
    rng = random.Random(seed)
    computer = DeltaComputer(LIMIT)
    states = []
    total: dict[Key, list[int]] = {}
    for state, profile in series(rng, 12):
        states.append(state)
        result = computer.difference(profile)
        if result is None:
            assert len(states) == 1
            continue
        got = read(result.raw)
        assert result.samples == len(got)
        for key, values in got.items():
            assert any(values)
            assert values[2:] == state[key][2:]
            total[key] = [a + b for a, b in zip(total.get(key, (0, 0)), values[:2], strict=True)]
        assert all(key in got for key, values in state.items() if any(values[2:]))
    first, last = states[0], states[-1]
    expected = {key: [values[i] - first.get(key, (0, 0))[i] for i in range(2)] for key, values in last.items()}
    assert {key: values for key, values in total.items() if any(values)} == {
        key: values for key, values in expected.items() if any(values)
    }


@pytest.mark.parametrize("seed", range(10))
def test_restart_is_never_negative(seed: int) -> None:
    """Two lives of a process: nothing is sent for the restart, and each life adds up on its own."""
    rng = random.Random(seed)
    computer = DeltaComputer(LIMIT)
    lives = [list(series(rng, 6)), list(series(rng, 6))]
    for life in lives:
        assert computer.difference(life[0][1]) is None
        for _, profile in life[1:]:
            result = computer.difference(profile)
            assert result is not None
            assert all(min(values[:2]) >= 0 for values in read(result.raw).values())


def hostile(rng: random.Random, data: bytes) -> bytes:
    """A profile that still parses, with some numbers exchanged for dangerous ones."""
    profile = Profile.FromString(data)
    for _ in range(rng.randrange(1, 4)):
        number = rng.choice((0, 1, 2, rng.randrange(100), rng.randrange(2**63), 2**63 - 1))
        signed = rng.choice((number, -number, -(2**63)))
        sample, location, function = (rng.choice(part) for part in (profile.sample, profile.location, profile.function))
        match rng.randrange(8):
            case 0 | 1:
                sample.value[rng.randrange(4)] = signed
            case 2:
                sample.location_id.append(rng.choice((number, location.id)))
            case 3:
                sample.label.add(key=rng.choice((signed, 1)), str=1, num=signed)
            case 4:
                location.address = number
            case 5:
                location.line.add(function_id=rng.choice((number, function.id)), line=signed, column=signed)
            case 6:
                profile.time_nanos = signed
            case _:
                profile.sample.append(sample)
    return profile.SerializeToString()


def mutated(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.5:
        return hostile(rng, data)
    body = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        position = rng.randrange(len(body))
        match rng.randrange(5):
            case 0:
                body[position] = rng.randrange(256)
            case 1:
                body[position] ^= 1 << rng.randrange(8)
            case 2:
                del body[position : position + rng.randrange(1, 20)]
            case 3:
                body[position:position] = rng.randbytes(rng.randrange(1, 12))
            case _:
                body[position:position] = body[position : position + rng.randrange(1, 60)]
        body = body or bytearray(b"\0")
    return bytes(body)


def test_mutated_profiles_raise_profile_errors_only() -> None:
    rng = random.Random(7)
    (_, first), (_, second) = list(series(rng, 6))[-2:]
    computer = DeltaComputer(LIMIT)
    computer.difference(first)
    expected = computer.difference(second)
    outcomes = {"error": 0, "fine": 0}
    for _ in range(4000):
        computer.reset()
        computer.difference(first)
        try:
            result = computer.difference(mutated(rng, second))
        except ProfileError as error:
            assert error.reason in REASONS
            outcomes["error"] += 1
            assert computer.difference(second) == expected  # the state is untouched
        else:
            outcomes["fine"] += 1
            if result is not None:  # what comes out is a profile again
                DeltaComputer(LIMIT).difference(result.raw)
    assert min(outcomes.values()) > 1000


@pytest.mark.parametrize("cumulative", [True, False])
def test_mutated_bodies_raise_profile_errors_only(cumulative: bool) -> None:
    rng = random.Random(8)
    profiles = [profile for _, profile in series(rng, 4)]
    computer = DeltaComputer(LIMIT) if cumulative else None
    for _ in range(1000):
        try:
            prepare(mutated(rng, rng.choice(profiles)), 50_000, computer)
        except ProfileError as error:
            assert error.reason in REASONS


def test_types_of_the_series() -> None:
    """The generator makes what it should: every kind of key and value occurs."""
    state = list(series(random.Random(1), 12))[-1][0]
    assert len(ALLOCS) == 4
    assert any(min(stack, default=0) < 0 for stack, _ in state)
    assert {len(labels) for _, labels in state} == {0, 1, 2}
