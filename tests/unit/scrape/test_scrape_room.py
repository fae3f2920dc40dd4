"""The bound on all bodies together, and who has to go when it is reached."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from pyroscope_operator.errors import FetchError
from pyroscope_operator.scrape.room import Claim, Room

BOUND = 1000


class Crowd:
    """Claims in one room, and what has become of them."""

    def __init__(self, bound: int = BOUND) -> None:
        self.room = Room(bound, "--body-memory")
        self.lost: list[str] = []
        self.claims: dict[str, Claim] = {}

    def enter(self, name: str, size: int = 0, owner: str = "") -> None:
        self.claims[name] = self.room.enter(owner or name, lambda: self.lost.append(name))
        if size:
            self.grow(name, size)

    def grow(self, name: str, size: int) -> None:
        try:
            self.claims[name].grow(size)
        except FetchError as error:
            assert error.reason == "MemoryFull"
            self.lost.append(name)


def test_what_fits_is_nobodys_loss() -> None:
    crowd = Crowd()
    crowd.enter("a", BOUND - 1)
    crowd.enter("b", 1)
    assert (crowd.lost, crowd.room.held) == ([], BOUND)
    crowd.claims["a"].leave()
    assert crowd.room.held == 1
    crowd.claims["a"].leave()
    assert crowd.room.held == 1, "leaving twice frees once"


def test_the_largest_has_to_go_whoever_wants_more() -> None:
    crowd = Crowd()
    crowd.enter("large", 700)
    crowd.enter("small", 200)
    crowd.grow("small", 200)
    assert (crowd.lost, crowd.room.held) == (["large"], 400)
    crowd.grow("large", 1)
    assert (crowd.lost, crowd.room.held) == (["large", "large"], 400), "what is lost stays lost"


def test_who_wants_too_much_has_to_go_itself() -> None:
    crowd = Crowd()
    crowd.enter("small", 200)
    crowd.enter("large", 801)
    assert (crowd.lost, crowd.room.held) == (["large"], 200)


def test_as_many_go_as_need_to() -> None:
    crowd = Crowd()
    for name in "abcd":
        crowd.enter(name, 250)
    crowd.claims["a"].pin()
    crowd.enter("e", 249)
    assert (crowd.lost, crowd.room.held) == (["b"], 999)
    crowd.grow("e", 2)
    assert (crowd.lost, crowd.room.held) == (["b", "e"], 750)


def test_the_largest_owner_has_to_go_first() -> None:
    """Ten pods of one namespace are worth no more than one of another."""
    crowd = Crowd()
    for n in range(10):
        crowd.enter(f"hostile-{n}", 60, owner="hostile")
    crowd.enter("shop", 500, owner="shop")
    assert crowd.lost == ["hostile-0", "hostile-1"]
    crowd.enter("tool", 100, owner="tool")
    assert crowd.lost == ["hostile-0", "hostile-1", "shop"], "now the shop has more"


def test_what_is_worked_on_stays_and_counts() -> None:
    crowd = Crowd()
    crowd.enter("working", 900)
    crowd.claims["working"].pin()
    crowd.enter("reading", 50)
    crowd.enter("next", 51)
    assert (crowd.lost, crowd.room.held) == (["next"], 950)


def test_no_work_begins_on_what_is_lost() -> None:
    crowd = Crowd()
    crowd.enter("large", 900)
    crowd.enter("small", 101)
    assert crowd.lost == ["large"]
    with pytest.raises(FetchError) as caught:
        crowd.claims["large"].pin()
    assert caught.value.reason == "MemoryFull"


class Mob:
    """Scrapes that begin, grow, stop sending, are worked on and end in a random order."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.room = Room(BOUND, "--body-memory")
        self.live: dict[int, Claim] = {}
        self.before: dict[int, tuple[str, int]] = {}
        """Owner and size of each that was not worked on, when the last one had grown."""
        self.lost: list[int] = []

    def step(self, number: int) -> None:
        match self._rng.choices(("begin", "grow", "work", "end"), (3, 10, 0.2, 1))[0]:
            case "begin":
                self.live[number] = self.room.enter(self._rng.choice("abcd"), lambda: self.lost.append(number))
            case "grow" if self.live:
                self._grow(*self._rng.choice(list(self.live.items())))
            case "work" if self.live and sum(claim.pinned for claim in self.live.values()) < 2:
                self._rng.choice(list(self.live.values())).pin()
            case "end" if self.live:
                self.live.pop(self._rng.choice(list(self.live))).leave()

    def _grow(self, number: int, claim: Claim) -> None:
        if claim.pinned:
            return
        size = self._rng.choice((1, 10, 100, 400))
        self.before = {n: (c.owner, c.size + size * (c is claim)) for n, c in self.live.items() if not c.pinned}
        try:
            claim.grow(size)
        except FetchError:
            self.lost.append(number)

    def bury(self, number: int) -> tuple[float, float]:
        """What the owner of a lost one had, in equal shares of the owners; what it had itself, in equal shares of the owner's."""
        totals, heads = Counter[str](), Counter[str]()
        for owner, size in self.before.values():
            totals[owner] += size
            heads[owner] += 1
        owner, size = self.before.pop(number)
        self.live.pop(number).leave()
        return totals[owner] / (totals.total() / len(totals)), size / (totals[owner] / heads[owner])


@pytest.mark.parametrize("seed", range(20))
def test_the_sum_never_exceeds_the_bound_and_no_small_one_loses(seed: int) -> None:
    """Who loses belongs to an owner with at least an equal share, and has at least an equal share of that."""
    mob, losses = Mob(seed), 0
    for number in range(2000):
        mob.step(number)
        assert mob.room.held == sum(claim.size for n, claim in mob.live.items() if n not in mob.lost) <= BOUND
        for lost in mob.lost:
            assert min(mob.bury(lost)) > 0.999999
            losses += 1
        mob.lost.clear()
    assert losses > 50


# Within the event loop


async def test_a_claim_that_is_lost_cuts_off_its_block() -> None:
    room, slow = Room(BOUND, "--body-memory"), asyncio.Event()

    async def silent() -> None:
        with room.claim("hostile") as claim:
            claim.grow(900)
            slow.set()
            await asyncio.sleep(1e6)

    task = asyncio.create_task(silent())
    await slow.wait()
    with room.claim("shop") as claim:
        claim.grow(200)
        assert room.held == 200
        with pytest.raises(FetchError) as caught:
            await task
    assert caught.value.reason == "MemoryFull"
    assert room.held == 0


async def test_a_claim_ends_with_its_block_however_that_ends() -> None:
    room = Room(BOUND, "--body-memory")

    async def ends(error: BaseException | None) -> None:
        with room.claim("shop") as claim:
            claim.grow(100)
            if error:
                raise error

    await ends(None)
    for error in (ValueError(), TimeoutError(), FetchError("Timeout", "")):
        with pytest.raises(type(error)):
            await ends(error)
    with pytest.raises(FetchError, match="MemoryFull"), room.claim("shop") as claim:
        claim.grow(BOUND + 1)
    assert room.held == 0


async def test_cancelling_is_no_loss() -> None:
    room = Room(BOUND, "--body-memory")

    async def forever() -> None:
        with room.claim("shop") as claim:
            claim.grow(100)
            await asyncio.sleep(1e6)

    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert room.held == 0
