"""What unquoted words mean. Every row was what kubectl 1.36 made of it; the e2e tests ask it again."""

from __future__ import annotations

import math

import pytest
from words import WORDS

from pyroscope_operator.manifest.scalar import Scalar, resolve


@pytest.mark.parametrize(("word", "value"), WORDS.items(), ids=repr)
def test_words(word: str, value: Scalar) -> None:
    found = resolve(word)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("word", [".inf", "-.INF", "+.Inf", ".nan", ".NaN"])
def test_numbers_that_json_does_not_have(word: str) -> None:
    found = resolve(word)
    assert isinstance(found, float)
    assert not math.isfinite(found)


@pytest.mark.parametrize("word", ["9" * 5000, "-" + "9" * 5000, "0x" + "f" * 5000, "0" + "7" * 5000, "1e" + "9" * 5000])
def test_numbers_of_any_length_are_no_trouble(word: str) -> None:
    assert resolve(word) == word
