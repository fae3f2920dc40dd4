"""Times, sizes and numbers as people read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import EPOCH

from pyroscope_operator.web import words
from pyroscope_operator.web.query import MAX_SIZE, NAMES, STATES, Query
from pyroscope_operator.web.targets import MAX_WAITING

PAGE = (Path(__file__).parents[3] / "docs/targets.md").read_text()


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (words.span(-3), "0 s"),
        (words.span(59.9), "59 s"),
        (words.span(60), "1 min"),
        (words.span(7_199), "1 h"),
        (words.span(1e6), "11 d"),
        (words.ago(None, EPOCH), "never"),
        (words.ago(EPOCH - 5, EPOCH), "5 s ago"),
        (words.ahead(EPOCH + 90, EPOCH), "in 1 min"),
        (words.ahead(EPOCH, EPOCH), "due"),
        (words.clock(EPOCH + 1, EPOCH), "08:00:01"),
        (words.clock(EPOCH - 86_400, EPOCH), "2027-01-14 08:00:00"),
        (words.stamp(EPOCH), "2027-01-15T08:00:00Z"),
        (words.took(0.0123), "12 ms"),
        (words.took(14.016), "14.02 s"),
        (words.size(0), "0 B"),
        (words.size(999), "999 B"),
        (words.size(12_345), "12.3 kB"),
        (words.size(123_456), "123 kB"),
        (words.size(10**15), "1000.0 TB"),
        (words.count(1_234_567), "1,234,567"),
        (words.count(1, "object"), "1 object"),
        (words.count(0, "object"), "0 objects"),
        (words.count(2, "write does", "writes do"), "2 writes do"),
        (words.cut("abc", 3), "abc"),
        (words.cut("abcd", 3), "ab…"),
    ],
)
def test_words(told: Any, wanted: str) -> None:
    assert told == wanted


def test_the_documentation_names_all_parameters() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(NAMES)
    assert all(f"`{state}`" in rows[0] for state in STATES)
    assert f"1 to {MAX_SIZE}; default {Query().size}" in rows[-1]
    assert f"more than {MAX_WAITING} wait" in PAGE
