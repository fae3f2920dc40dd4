"""Cutting off from outside what a task does.

What asyncio.timeout does, for two more purposes and at a third of its price: the error is our own, and need not be
one of time. Errors are made where they are raised: one that is kept keeps its traceback, whose frames keep it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from pyroscope_operator.errors import ScrapeError


class Cut:
    """Ends a block of the task that begins it with an error, when `off` is called. Base of context managers."""

    __slots__ = ("_before", "_is_off", "_task", "_why")

    def __init__(self, why: Callable[[], ScrapeError]) -> None:
        """`why` makes the error."""
        self._why = why
        self._is_off = False
        self._task: asyncio.Task[object] | None = None
        self._before = 0

    def off(self) -> None:
        """End the block."""
        if not self._is_off and self._task is not None:
            self._is_off = True
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task else 0

    def _end(self, kind: type[BaseException] | None) -> None:
        task, self._task = self._task, None
        if self._is_off and task is not None and task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise self._why()


class TimeLimit(Cut):
    """A block that may take `seconds`."""

    __slots__ = ("_seconds", "_timer")

    def __init__(self, seconds: float, why: Callable[[], ScrapeError]) -> None:
        super().__init__(why)
        self._seconds = seconds

    def __enter__(self) -> None:
        self._begin()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self.off)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._timer.cancel()
        self._end(kind)
