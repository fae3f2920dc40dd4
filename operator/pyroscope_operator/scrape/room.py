"""Room in memory for what targets send, shared by all scrapes: bodies, and the baselines of cumulative profiles.

Nobody waits for room: that would let slow senders starve the others, and scrapes that hold
some and want more could wait for each other.  When there is none left, somebody loses what
he has: of the owner (a namespace) who holds most, the scrape that holds most.  So a crowd
of large bodies pushes out itself and not the others: whoever loses belongs to an owner
with at least an equal share of the room, and has at least an equal share of that.

To let only those lose who want more would not do, for the large ones may have stopped
sending: if each may hold a share of the room among n, the sum grows like 1 + ln n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from pyroscope_operator.errors import FetchError
from pyroscope_operator.scrape.cut import Cut


class Claim:
    """The bytes of one scrape. Made by a room."""

    __slots__ = ("_room", "give_up", "over", "owner", "pinned", "size")

    def __init__(self, room: Room, owner: str, give_up: Callable[[], None]) -> None:
        self.owner = owner
        self.size = 0
        self.pinned = False
        self.over = False
        """It was lost or left."""
        self.give_up = give_up
        self._room = room

    def grow(self, size: int) -> None:
        """Hold `size` bytes more. Raises FetchError MemoryFull if this scrape has to go."""
        self._room.resize(self, self.size + size)

    def resize(self, size: int) -> None:
        """Hold `size` bytes. Raises FetchError MemoryFull if this scrape has to go."""
        self._room.resize(self, size)

    def pin(self) -> None:
        """From now on a thread works on it, which can't be stopped. Raises FetchError MemoryFull if it is too late."""
        self._room.pin(self)

    def leave(self) -> None:
        """Free what it holds, if it has not lost it."""
        self._room.leave(self)


@dataclass(slots=True)
class _Holding:
    """What an owner has and can lose."""

    size: int = 0
    claims: dict[Claim, None] = field(default_factory=dict)  # in the order of their beginning


class Room:
    """Bounds the sum of all claims, at all times, to `bound` bytes. For one event loop."""

    def __init__(self, bound: int, setting: str) -> None:
        """`setting` is the flag that sets the bound, for messages."""
        self.held = 0
        self._bound = bound
        self._setting = setting
        self._holdings: dict[str, _Holding] = {}

    def claim(self, owner: str) -> Stay:
        """A claim that ends with the block. The block is cut off with FetchError MemoryFull if others need the room."""
        return Stay(self, owner)

    def enter(self, owner: str, give_up: Callable[[], None]) -> Claim:
        """A claim without bytes; `give_up` will be called if others make it lose them, `leave` has to be."""
        claim = Claim(self, owner, give_up)
        self._holdings.setdefault(owner, _Holding()).claims[claim] = None
        return claim

    def resize(self, claim: Claim, size: int) -> None:
        """See `Claim.resize`; not for what is pinned."""
        if claim.over:
            raise self.full()
        more, claim.size = size - claim.size, size
        self._holdings[claim.owner].size += more
        self.held += more
        while self.held > self._bound:
            loser = self._loser()
            loser.leave()
            if loser is claim:
                raise self.full()
            loser.give_up()

    def pin(self, claim: Claim) -> None:
        """See `Claim.pin`."""
        if claim.over:
            raise self.full()
        if not claim.pinned:
            self._take_out(claim)
            claim.pinned = True

    def leave(self, claim: Claim) -> None:
        """See `Claim.leave`."""
        if claim.over:
            return
        if not claim.pinned:
            self._take_out(claim)
        self.held -= claim.size
        claim.over = True

    def full(self) -> FetchError:
        return FetchError("MemoryFull", f"no room was left, and this one took more than the others ({self._setting})")

    def _loser(self) -> Claim:
        """The largest claim of the largest owner."""
        largest = max(self._holdings.values(), key=lambda holding: holding.size)
        return max(largest.claims, key=lambda claim: claim.size)

    def _take_out(self, claim: Claim) -> None:
        """From now on nobody can make it lose."""
        holding = self._holdings[claim.owner]
        holding.size -= claim.size
        del holding.claims[claim]
        if not holding.claims:
            del self._holdings[claim.owner]


class Stay(Cut):
    """The block of `Room.claim`."""

    __slots__ = ("_claim", "_owner", "_room")

    def __init__(self, room: Room, owner: str) -> None:
        super().__init__(room.full)
        self._room = room
        self._owner = owner

    def __enter__(self) -> Claim:
        self._begin()
        self._claim = self._room.enter(self._owner, self.off)
        return self._claim

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._claim.leave()
        del self._claim  # which knows this one
        self._end(kind)
