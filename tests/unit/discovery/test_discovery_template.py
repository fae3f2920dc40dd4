from __future__ import annotations

import pytest

from pyroscope_operator.discovery.template import expanded, parsed
from pyroscope_operator.model.pattern import compiled, utf8


def expand(template: str, regex: str = "(?P<name>[^-]+)-(.*?)(x)?", value: str = "é-b") -> str:
    made = compiled(regex)
    match = made.search(utf8(value))
    assert match is not None
    return b"".join(expanded(parsed(template), match, made)).decode()


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain é", "plain é"),
        ("$1", "é"),
        ("${1}", "é"),
        ("$0", "é-b"),
        ("$2$1", "bé"),
        ("${2}:${1}", "b:é"),
        ("$2-$1", "b-é"),
        ("$name", "é"),
        ("${name}s", "és"),
        ("$names", ""),
        ("$1x", ""),  # the longest name is taken: a group called 1x
        ("$1_", ""),
        ("$1é", ""),
        ("$3", ""),  # took no part
        ("$4", ""),  # does not exist
        ("$01", ""),  # a name, not a number
        ("$1234567890", ""),
        ("$$", "$"),
        ("$$1", "$1"),
        ("$$$1", "$é"),
        ("$", "$"),
        ("a$", "a$"),
        ("$-$1", "$-é"),
        ("${", "${"),
        ("${}", "${}"),
        ("${1", "${1"),
        ("${1-}", "${1-}"),
        ("$ 1", "$ 1"),
        ("$²", "$²"),
        (r"\1", r"\1"),
    ],
)
def test_expanded(template: str, text: str) -> None:
    assert expand(template) == text


def test_names_that_look_like_numbers() -> None:
    assert expand("$01|$1", "(?P<01>.)(?P<1>.)", "ab") == "a|a"
    assert expand("${1234567890}", "(.)(?P<1234567890>.)", "ab") == "b"
