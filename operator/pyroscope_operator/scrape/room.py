"""Room for the bodies that all scrapes hold at the same time.

Nobody waits for room: that would let slow senders starve the others, and scrapes that hold
some and want more could wait for each other.  When there is none left, somebody loses what
he has: of the owner (a namespace) who holds most, the scrape that holds most.  So a crowd
of large bodies pushes out itself and not the others: whoever loses belongs to an owner
with at least an equal share of the room, and has at least an equal share of that.

Waiting until the large ones want more would not do, for they may have stopped sending: a
bound on what each one may add, a share of the room among n, lets the sum grow like 1 + ln n.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pyroscope_operator.errors import FetchError


class Claim:
    """The bytes of one scrape, from its first chunk until its profile is prepared."""

    def __init__(self, room: Room, owner: str, give_up: Callable[[], None]) -> None:
        self.owner = owner
        self.size = 0
        self.pinned = False
        self._room = room
        self.give_up = give_up

    def grow(self, size: int) -> None:
        """Hold `size` bytes more. Raises FetchError MemoryFull if this scrape has to go."""
        self._room.grow(self, size)

    def pin(self) -> None:
        """From now on a thread works on it, which can't be stopped. Raises FetchError MemoryFull if it is too late."""
        self._room.pin(self)


class Room:
    """Bounds the sum of all claims, at all times, to `bound` bytes. For one event loop."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._claims: dict[Claim, None] = {}  # in the order of their beginning
        self.held = 0

    @asynccontextmanager
    async def claim(self, owner: str) -> AsyncIterator[Claim]:
        """A claim that ends with the block. The block is cut off with FetchError MemoryFull if others need the room."""
        alarm = asyncio.timeout(None)
        claim = self.enter(owner, give_up=lambda: alarm.reschedule(0))
        try:
            async with alarm:
                yield claim
        except TimeoutError as error:
            if not alarm.expired():
                raise
            raise _full() from error
        finally:
            self.leave(claim)

    def enter(self, owner: str, give_up: Callable[[], None]) -> Claim:
        """A claim without bytes; `give_up` will be called if it loses them, `leave` has to be."""
        claim = Claim(self, owner, give_up)
        self._claims[claim] = None
        return claim

    def leave(self, claim: Claim) -> None:
        """Free what `claim` holds, if it has not lost it."""
        if claim in self._claims:
            del self._claims[claim]
            self.held -= claim.size

    def grow(self, claim: Claim, size: int) -> None:
        if claim not in self._claims:
            raise _full()
        claim.size += size
        self.held += size
        while self.held > self._bound:
            loser = self._loser()
            self.leave(loser)
            if loser is claim:
                raise _full()
            loser.give_up()

    def pin(self, claim: Claim) -> None:
        if claim not in self._claims:
            raise _full()
        claim.pinned = True

    def _loser(self) -> Claim:
        """The largest claim of the largest owner; what is pinned can't be taken away."""
        loose = [claim for claim in self._claims if not claim.pinned]
        totals = Counter[str]()
        for claim in loose:
            totals[claim.owner] += claim.size
        return max(loose, key=lambda claim: (totals[claim.owner], claim.size))


def _full() -> FetchError:
    return FetchError("MemoryFull", "all bodies together are too large, and this one is among the largest (--body-memory)")
