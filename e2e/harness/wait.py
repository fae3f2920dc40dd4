"""Wait on conditions instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Hopeless(Exception):
    """Waiting longer can't help."""


def eventually(probe: Callable[[], T], what: str, timeout: float = 60.0, pause: float = 0.1) -> T:
    """The first truthy answer of `probe`; its AssertionErrors count as "not yet".

    Raises AssertionError that says what was awaited and what was seen last.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            answer = probe()
            seen = repr(answer)
        except AssertionError as error:
            answer, seen = None, str(error)
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}; last seen: {seen[:2000]}")
        time.sleep(pause)
