"""Regular expressions as Prometheus means them. That they are, e2e/test_relabel.py proves; this says what matters."""

from __future__ import annotations

import time

import pytest

from pyroscope_operator.model import pattern
from pyroscope_operator.model.pattern import Pattern, PatternError, compiled, utf8


@pytest.mark.parametrize(
    ("text", "value", "matches"),
    [
        ("web", "web", True),
        ("web", "web-0", False),
        ("a|ab", "ab", True),
        ("", "", True),
        ("", "x", False),
        (".*", "a\nb", True),
        ("(?-s:.*)", "a\nb", False),
        ("a$", "a\n", False),
        ("(?i)WEB", "web", True),
        (".", "é", True),
        (".", "😀", True),
        ("[^a]", "漢", True),
        (r"\w", "é", False),
        (r"\pL", "é", True),
        ("(?P<x>a)", "a", True),
        ("a)|(b", "axx", True),  # in Prometheus, too: anchors and group are put around the text
        (r"\Q\C\E", r"\C", True),
        (r"\\C", r"\C", True),
        (r"(?P<n>a)\(?P<n>", "a(P<n>", True),
        (r"a\{123456789}", "a{123456789}", True),
    ],
)
def test_matches(text: str, value: str, matches: bool) -> None:
    assert compiled(text).matches(utf8(value)) is matches


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(", "a ) is missing"),
        ("a)", "a ) has no ("),
        ("[a", "a ] is missing"),
        ("a**", "behind each other"),
        ("*", "behind nothing"),
        ("a{1001}", "1000 times"),
        ("(?=a)", "no look-around"),
        (r"\1", "escape sequences"),
        (r"\pX", "character classes"),
        ("(?P<n>a)(?P<n>b)", "the same name"),
        ("(?<n>a)|(?P<n>b)", "the same name"),
        ("a{123456789}", "1000 times"),
        ("a{1,123456789}", "1000 times"),
        ("(?P<n-m>a)", "letters, digits and _"),
        ("(?P<é>a)", "letters, digits and _"),
        (r"a\C", r"\C is not supported"),
        (r"\\\C", r"\C is not supported"),
        (r"\pL{1000}", "too large"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(PatternError) as refused:
        compiled(text)
    assert reason in refused.value.reason


@pytest.mark.parametrize("text", ["hunter2(", "[hunter2", "hunter2**", r"(?P<hunter2é>a)", r"\hunter2", "(?hunter2)"])
def test_no_word_on_what_the_pattern_is(text: str) -> None:
    with pytest.raises(PatternError) as refused:
        Pattern(text)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_groups() -> None:
    made = compiled("(?P<host>[^:]+)(:([0-9]+))?")
    match = made.search(b"db:80")
    assert match is not None
    assert [made.group(match, group) for group in (0, 1, 2, 3, 4, "host", "port")] == [
        b"db:80",
        b"db",
        b":80",
        b"80",
        None,
        b"db",
        None,
    ]
    match = made.search(b"db")
    assert match is not None
    assert [made.group(match, group) for group in (0, 1, 2, 3)] == [b"db", b"db", None, None]
    assert made.search(b"") is None


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("(.*)", "abc", [(0, 3)]),
        ("(.*)", "", [(0, 0)]),
        ("zz)|(?:b)|(zz", "abcb", [(1, 2), (3, 4)]),
        ("zz)|(?:b*)|(zz", "abbc", [(0, 0), (1, 3), (4, 4)]),
        ("x", "abc", []),
    ],
)
def test_occurrences(text: str, value: str, found: list[tuple[int, int]]) -> None:
    assert [(match.start(), match.end()) for match in compiled(text).occurrences(value.encode())] == found


def test_surrogates_are_what_go_makes_of_them() -> None:
    assert utf8("a\ud800b") == "a\ufffdb".encode()
    assert utf8("\ud83d\ude00") == "😀".encode()
    assert compiled(".").matches(utf8("\udfff"))


def test_what_is_compiled_is_shared_and_bounded() -> None:
    assert compiled("a+shared") is compiled("a+shared")
    for number in range(pattern.CACHED + 10):
        compiled(f"bounded-{number}")
    assert compiled.cache_info().currsize == pattern.CACHED


@pytest.mark.parametrize("text", ["(a*)*" * 300, "(((.?){0,10}){0,10}){0,10}", "(.*a){100}", "([^a].*|a.*b|.*c){100}"])
def test_work_is_paid_for(text: str) -> None:
    """A step of the program is about a nanosecond at worst: 20 are allowed here, as machines differ."""
    made, value = compiled(text), b"ab" * 500
    started = time.process_time()
    made.matches(value)
    assert time.process_time() - started < 20e-9 * made.cost * len(value)
