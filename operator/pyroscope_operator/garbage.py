"""What Python's garbage collector looks at, and how often.

It looks for cycles, and for that it visits every object there is: with a thousand targets it held up
the event loop for 200 ms, again and again, to find next to nothing.  So what has survived
one full collection is not looked at again (`gc.freeze`); it still goes when nothing refers to
it any more.  A cycle among such objects would stay: when they are twice as many as they
were, all are looked at once more.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_THRESHOLDS = (5_000, 5, 5)
"""Some fifty scrapes that begin at the same tick make thousands of objects, which all go by themselves."""
_GROWTH = 2
_START_SECONDS = 60.0
"""Then the loops and their connections are there."""


class Frozen:
    """Freezes what survives; a callback of the collector."""

    def __init__(self) -> None:
        self._settled = 0
        """How many there were when all had been looked at."""

    def settle(self) -> None:
        """Collect and freeze all that is there."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._settled = gc.get_freeze_count()

    def __call__(self, phase: str, info: Mapping[str, Any]) -> None:
        if phase != "stop" or info["generation"] != 2:
            return
        gc.freeze()
        count = gc.get_freeze_count()
        if count > _GROWTH * self._settled:
            self._settled = count
            gc.unfreeze()  # the next full collection looks at all of them


@contextmanager
def frozen() -> Iterator[None]:
    """As long as this is open, what has survived a collection is left alone by those after it."""
    before, freezer = gc.get_threshold(), Frozen()
    freezer.settle()
    gc.set_threshold(*_THRESHOLDS)
    gc.callbacks.append(freezer)
    # Unseen: to look at all that came with the start would hold up the event loop for 50 ms.
    started = asyncio.get_running_loop().call_later(_START_SECONDS, gc.freeze)
    try:
        yield
    finally:
        started.cancel()
        gc.callbacks.remove(freezer)
        gc.set_threshold(*before)
        gc.unfreeze()
