"""Long work in short steps, so that whoever drives it can do something else in between."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""A step ends at each `yield`; the result is what the generator returns."""


def at_once(steps: Steps[T]) -> T:
    """Do all steps; returns the result."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
