"""Each reason that status can give is in docs/status.md, and an e2e test brings it about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module

import pytest
from reasons import ROOT, reasons

REASONS = sorted(reasons())

UNREACHED: Mapping[str, str] = {
    "Discovered/InternalError": "a bug of ours: no input is known that leads to one; test_discovery_changes.py makes one",
    "write:Accepted/InternalError": "the same; test_engine_writes.py makes one",
    "failures/InternalError": "the same; test_scrape_scraper.py makes one",
    "failures/Overloaded": "how long a thread is at work depends on the machine; test_scrape_workers.py holds them up",
}
"""Reasons that nothing from outside brings about surely, and why. Anything else has to be reached in e2e."""

PAGE = (ROOT / "docs/status.md").read_text()
SCRAPE, _, WRITE = PAGE.partition("## PyroscopeWrite")


def rows(text: str) -> Iterator[list[str]]:
    """The cells of its tables; a condition stands for the rows below it, too."""
    above = ""
    for line in text.splitlines():
        if line.startswith("|"):
            first, *rest = (cell.strip() for cell in line.strip("|").split("|"))
            above = first or above
            yield [above, *rest]


def words(text: str) -> set[str]:
    return set(re.findall(r"\b[A-Z]\w+", text))


def told(reason: str) -> set[str]:
    """The words of the page where this reason has to be."""
    kind, text = reason.removeprefix("write:").split("/")[0], WRITE if reason.startswith("write:") else SCRAPE
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("|"))
    if kind == "failures":
        return {word for row in rows(text) for word in words(row[0]) if len(row) == 2}
    return words(prose) | {word for row in rows(text) if row[0] == kind for word in words(row[1])}


def reached() -> Iterator[str]:
    """What the marks of all e2e tests say, those of the cases of a table included."""
    for path in sorted((ROOT / "e2e").glob("test_*.py")):
        module = import_module(f"e2e.{path.stem}")
        for name, function in vars(module).items():
            if name.startswith("test_"):
                yield from _marked(getattr(function, "pytestmark", ()))


def _marked(marks: object) -> Iterator[str]:
    for mark in marks if isinstance(marks, list | tuple) else ():
        if mark.name == "reaches":
            yield from mark.args
        elif mark.name == "parametrize":
            for case in mark.args[1]:
                yield from _marked(getattr(case, "marks", ()))


REACHED = set(reached())


def test_the_code_is_read() -> None:
    """A scan that finds nothing would be content with everything."""
    some = {"Accepted/WriteNotFound", "Discovered/PortNotFound", "Scraping/TargetsDown", "Delivering/QueueFull"}
    assert some | {"failures/Unauthorized", "failures/TokenRefused", "write:Accepted/TooManyEndpoints"} <= set(REASONS)
    assert len(REASONS) > 70


@pytest.mark.parametrize("reason", REASONS)
def test_is_explained(reason: str) -> None:
    assert reason.rpartition("/")[2] in told(reason), f"{reason} is not in docs/status.md"


@pytest.mark.parametrize("reason", REASONS)
def test_is_reached(reason: str) -> None:
    if reason in UNREACHED:
        assert reason not in REACHED, f"{reason} is reached: take it off the list"
    else:
        assert reason in REACHED, f"no e2e test has the mark reaches({reason!r})"


def test_what_is_said_to_be_reached_or_not_exists() -> None:
    made = {reason.rpartition("/")[2] for reason in REASONS}
    assert not UNREACHED.keys() - set(REASONS)
    assert not {reason for reason in REACHED if reason.rpartition("/")[2] not in made}


def test_nothing_else_is_explained() -> None:
    """Of what the page says is a reason, all is one."""
    made = {reason.rpartition("/")[2] for reason in REASONS}
    stated = {word for row in rows(PAGE) for word in re.findall(r"(?:True|False|Unknown)/(\w+)", row[1])}
    stated |= {word for row in rows(SCRAPE) if len(row) == 2 for word in words(row[0])}
    assert stated
    assert not stated - made
