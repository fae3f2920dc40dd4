"""The URL parameters of the targets page."""

from __future__ import annotations

import pytest

from pyroscope_operator.web.query import STATES, Query, WrongQuery, parse


def test_nothing_asks_for_the_first_page_of_all() -> None:
    assert parse({}) == parse({"state": "", "namespace": "", "q": " ", "page": "", "size": ""}) == Query()
    assert not Query().filters
    assert parse({"other": "x" * 10_000}) == Query()


def test_all_parameters() -> None:
    given = {"state": "down", "namespace": "shop", "q": " a  b ", "page": "3", "size": "20"}
    assert parse(given) == Query("down", "shop", "a b", 3, 20)
    assert parse(given).filters


@pytest.mark.parametrize("state", STATES)
def test_states(state: str) -> None:
    assert parse({"state": state}).state == state


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("page", value) for value in ("0", "-1", "+1", "1.5", "x", "100001", "1" * 5000, "٣", "²", "1e3")),
        *(("size", value) for value in ("0", "201", "999999999999")),
        *(("state", value) for value in ("UP", "up,down", "<b>")),
        ("namespace", "x" * 64),
        ("q", "x" * 201),
    ],
)
def test_what_can_not_be_answered_is_named_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(WrongQuery, match=f"^{name}: ") as caught:
        parse({name: value})
    assert value not in str(caught.value) or value in {"0"}


def test_links() -> None:
    asked = parse({"state": "down", "q": "a&b=<c>", "page": "3", "size": "20"})
    assert asked.url(4) == "?state=down&q=a%26b%3D%3Cc%3E&page=4&size=20"
    assert asked.url(1) == "?state=down&q=a%26b%3D%3Cc%3E&size=20"
    assert asked.url(state="", q="") == "?size=20"
    assert (Query().url(), Query().data) == ("?", "?page=1")
    assert Query(page=3).data == "?page=3"
