from __future__ import annotations

import itertools
import random

import pytest
from pprof_builder import MUTEX, Builder, Samples, build

from pyroscope_operator.pprof.key import KEY_BYTES, SampleKeys

SEED = bytes(16)
A, B, NUM = ("a", "x", 0, ""), ("b", "y", 0, ""), ("bytes", "", 64, "")


def keys(samples: Samples, rng: random.Random | None = None) -> list[bytes]:
    profile = build(samples, MUTEX, rng=rng)
    of = SampleKeys(profile, SEED).of
    return [of(sample) for sample in profile.sample]


DIFFERENT: Samples = [
    ((), (0, 0)),
    ((1,), (0, 0)),
    ((2,), (0, 0)),
    ((1, 2), (0, 0)),
    ((2, 1), (0, 0)),
    ((1, 1), (0, 0)),
    ((2**64 - 1,), (0, 0)),
    ((-1,), (0, 0)),
    ((-2,), (0, 0)),
    ((-1, 1), (0, 0)),
    ((1, -1), (0, 0)),
    ((1,), (0, 0), (A,)),
    ((1,), (0, 0), (A, A)),
    ((1,), (0, 0), (A, B)),
    ((1,), (0, 0), (("a", "", 0, ""), ("x", "", 0, ""))),
    ((1,), (0, 0), (("ax", "", 0, ""),)),
    ((1,), (0, 0), (("", "ax", 0, ""),)),
    ((1,), (0, 0), (NUM,)),
    ((1,), (0, 0), (("bytes", "", 65, ""),)),
    ((1,), (0, 0), (("bytes", "", -64, ""),)),
    ((1,), (0, 0), (("bytes", "", 64, "bytes"),)),
    ((1,), (0, 0), (("k" * 100, "", 0, ""),)),
    ((1,), (0, 0), (("k" * 101, "", 0, ""),)),
    ((1,), (0, 0), (("k" * 99 + "l", "", 0, ""),)),
    ((1,), (0, 0), (("", "k" * 100, 0, ""),)),
]


def test_different_samples_have_different_keys() -> None:
    made = keys(DIFFERENT)
    assert {len(key) for key in made} == {KEY_BYTES}
    for left, right in itertools.combinations(range(len(made)), 2):
        assert made[left] != made[right], (DIFFERENT[left], DIFFERENT[right])


@pytest.mark.parametrize("seed", range(5))
def test_keys_do_not_depend_on_ids_order_or_string_table(seed: int) -> None:
    rng = random.Random(seed)
    order = rng.sample(range(len(DIFFERENT)), len(DIFFERENT))
    shuffled = keys([DIFFERENT[index] for index in order], rng)
    assert shuffled == [keys(DIFFERENT)[index] for index in order]


def test_order_of_labels_does_not_matter() -> None:
    first, second = keys([((1,), (0, 0), (A, B, NUM)), ((1,), (0, 0), (NUM, B, A))])
    assert first == second


def test_mapping_does_not_matter() -> None:
    builder = Builder(MUTEX)
    builder.sample((1, -2), (0, 0))
    builder.sample((1, -2), (0, 0))
    profile = builder.done()
    before = SampleKeys(profile, SEED).of(profile.sample[0])
    for location in profile.location:
        location.mapping_id = 0
    assert SampleKeys(profile, SEED).of(profile.sample[0]) == before


def test_other_seed_other_keys() -> None:
    profile = build(DIFFERENT, MUTEX)
    assert SampleKeys(profile, SEED).of(profile.sample[1]) != SampleKeys(profile, b"1" * 16).of(profile.sample[1])


@pytest.mark.parametrize("name", ["name", "system_name", "filename", "start_line"])
def test_location_without_address_is_told_by_its_functions(name: str) -> None:
    profile = build([((-1,), (0, 0))], MUTEX)
    before = SampleKeys(profile, SEED).of(profile.sample[0])
    setattr(profile.function[0], name, 1)
    assert SampleKeys(profile, SEED).of(profile.sample[0]) != before


@pytest.mark.parametrize("name", ["line", "column"])
def test_location_without_address_is_told_by_its_lines(name: str) -> None:
    profile = build([((-1,), (0, 0))], MUTEX)
    before = SampleKeys(profile, SEED).of(profile.sample[0])
    setattr(profile.location[0].line[0], name, 1000)
    assert SampleKeys(profile, SEED).of(profile.sample[0]) != before


def test_lines_do_not_matter_with_an_address() -> None:
    profile = build([((1,), (0, 0))], MUTEX)
    before = SampleKeys(profile, SEED).of(profile.sample[0])
    profile.location[0].line[0].line = 1000
    assert SampleKeys(profile, SEED).of(profile.sample[0]) == before
