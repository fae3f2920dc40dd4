"""The cache of Secrets: what is read, when, how often, and who hears of it; on fake time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress

import pytest

from pyroscope_operator.engine.access import ReferenceProblem
from pyroscope_operator.engine.secrets import MAX_BYTES, Secrets
from pyroscope_operator.errors import ApiError, OperatorError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.data import DataRef

pytestmark = pytest.mark.looptime
VALUE = b"hunter2"
Answer = Mapping[str, bytes] | None | Exception


def secret(name: str = "credentials", namespace: str = "shop") -> DataRef:
    return DataRef("Secret", namespace, name)


def many(count: int) -> list[DataRef]:
    return [secret(f"s{n}") for n in range(count)]


class World:
    """A source of data that answers after `delay` seconds, and a cache over it."""

    def __init__(self, data: Mapping[DataRef, Answer] | None = None, delay: float = 0.01) -> None:
        self.data: dict[DataRef, Answer] = dict(data or {})
        self.delay = delay
        self.default: Answer = None
        self.reads: list[tuple[float, DataRef]] = []
        self.running = self.most = 0
        self.changed = asyncio.Event()
        self.metrics = Metrics()
        self.secrets = Secrets(self.changed, self.metrics, jitter=lambda: 0.0)

    async def read(self, ref: DataRef) -> Mapping[str, bytes] | None:
        self.reads.append((self.now(), ref))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.running -= 1
        answer = self.data.get(ref, self.default)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()

    def times(self, ref: DataRef | None = None) -> list[float]:
        return [round(at, 1) for at, read in self.reads if read == (ref or secret())]

    @asynccontextmanager
    async def running_(self) -> AsyncIterator[World]:
        task = asyncio.create_task(self.secrets.run(self))
        try:
            yield self
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def problem(self, ref: DataRef | None = None) -> tuple[str, str]:
        with pytest.raises(ReferenceProblem) as caught:
            self.secrets.lookup(ref or secret())
        return caught.value.reason, caught.value.message

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"pyroscope_operator_{name}", labels) or 0.0

    async def ensure(self, refs: Iterable[DataRef] | None = None) -> float:
        """Seconds that it took."""
        began = self.now()
        await self.secrets.ensure([secret()] if refs is None else refs)
        return self.now() - began


async def test_what_is_needed_is_read_once_and_told_to_nobody() -> None:
    async with World({secret(): {"token": VALUE}}).running_() as world:
        assert await world.ensure() < 0.1
        assert world.secrets.lookup(secret()) == {"token": VALUE}
        await world.ensure()
        assert len(world.reads) == 1
        assert not world.changed.is_set()
        assert (world.value("secrets", state="known"), world.value("secret_reads_total", result="ok")) == (1, 1)
        assert world.value("secret_changes_total") == 0


async def test_a_rotated_secret_is_noticed_within_half_a_minute_and_an_unchanged_one_stays_the_same() -> None:
    async with World({secret(): {"token": VALUE}, secret("b"): {"x": b"1"}}).running_() as world:
        await world.ensure([secret(), secret("b")])
        before = world.secrets.lookup(secret("b"))
        await asyncio.sleep(100)
        assert not world.changed.is_set()
        assert world.times() == pytest.approx([0, 30, 60, 90], abs=0.2)
        world.data[secret()] = {"token": b"hunter3"}
        await asyncio.sleep(31)
        assert world.changed.is_set()
        assert world.secrets.lookup(secret()) == {"token": b"hunter3"}
        assert world.secrets.lookup(secret("b")) is before
        assert world.value("secret_changes_total") == 1


async def test_reads_are_spread() -> None:
    world = World()
    shares = iter([0.0, 0.5, 1.0])
    world.secrets = Secrets(world.changed, world.metrics, jitter=lambda: next(shares, 0.0))
    world.default = {"x": b""}
    async with world.running_():
        await world.ensure(many(3))
        await asyncio.sleep(31)
        assert sorted(round(at) for at, _ in world.reads[3:]) == [24, 27, 30]


async def test_nothing_is_read_that_nobody_needs_any_more() -> None:
    async with World({secret(): {"token": VALUE}}).running_() as world:
        await world.ensure()
        await world.ensure([])
        await asyncio.sleep(100)
        assert len(world.reads) == 1
        assert world.problem()[0] == "SecretUnreadable"
        assert world.value("secrets", state="known") == 0


async def test_missing_then_there() -> None:
    async with World().running_() as world:
        await world.ensure()
        assert world.problem() == ("SecretNotFound", "Secret shop/credentials does not exist: create it")
        await asyncio.sleep(11)
        assert world.times() == pytest.approx([0, 5, 10], abs=0.2)
        assert not world.changed.is_set()
        world.data[secret()] = {"token": VALUE}
        await asyncio.sleep(5)
        assert world.changed.is_set()
        assert world.secrets.lookup(secret()) == {"token": VALUE}


async def test_thousands_that_are_missing_are_looked_for_slowly() -> None:
    async with World(delay=0.0).running_() as world:
        await world.ensure(many(4000))
        first = len(world.reads)
        await asyncio.sleep(1000)
        assert first == 4000
        assert (len(world.reads) - first) / 1000 <= 20
        assert world.most <= 10


async def test_thousands_that_are_known_are_read_at_a_bounded_rate() -> None:
    world = World(delay=0.0)
    world.default = {"x": b"1"}
    async with world.running_():
        await world.ensure(many(6000))
        await asyncio.sleep(600)
        assert (len(world.reads) - 6000) / 600 <= 101


async def test_at_start_there_is_time_for_many() -> None:
    """1,500 at 0.1 s, ten at a time, take 15 s."""
    world = World(delay=0.1)
    world.default = {"x": b"1"}
    async with world.running_():
        assert await world.ensure(many(1500)) == pytest.approx(15, abs=0.5)
        assert world.secrets.lookup(secret("s1499"))
        assert world.most == 10
        assert await world.ensure([*many(1500), *(secret(f"t{n}") for n in range(1500))]) == pytest.approx(5, abs=0.1)
        assert "not read yet" in world.problem(secret("t999"))[1]
        assert not world.changed.is_set()
        await asyncio.sleep(15)
        assert world.changed.is_set()
        assert world.secrets.lookup(secret("t999"))


async def test_who_does_not_answer_is_waited_for_once() -> None:
    world = World(delay=1000)
    async with world.running_():
        assert await world.ensure() == pytest.approx(5, abs=0.1)
        assert world.problem() == ("SecretUnreadable", "Secret shop/credentials is not read yet: there was no answer so far")
        assert await world.ensure() == 0
        await asyncio.sleep(6)
        assert world.problem() == ("SecretUnreadable", "Secret shop/credentials can't be read: no answer from the API server")
        assert world.changed.is_set()


async def test_without_a_source_nobody_waits_for_ever() -> None:
    world = World()
    assert await world.ensure() == pytest.approx(5, abs=0.1)
    assert await world.ensure([]) == 0


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ApiError(403, "x"), "answered 403: the operator's service account needs the right to get secrets in namespace shop"),
        (ApiError(500, "x"), "answered 500"),
        (ApiError(0, "x"), "no answer from the API server"),
        (OperatorError("FolderUnreadable", "Permission denied"), "Permission denied"),
        (RuntimeError(VALUE.decode()), "a bug of the operator, see its log"),
    ],
)
async def test_unreadable(error: Exception, says: str) -> None:
    async with World({secret(): error}).running_() as world:
        await world.ensure()
        reason, message = world.problem()
        assert reason == "SecretUnreadable"
        assert message.startswith("Secret shop/credentials can't be read: ")
        assert message.endswith(says)
        world.data[secret()] = {"token": VALUE}
        await asyncio.sleep(6)
        assert world.secrets.lookup(secret()) == {"token": VALUE}
        assert world.changed.is_set()


async def test_what_is_known_stays_in_use_while_the_api_server_fails(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    refs = many(20)
    world = World()
    world.default = {"token": VALUE}
    async with world.running_():
        await world.ensure(refs)
        world.default = ApiError(500, "x")
        await asyncio.sleep(200)
        assert world.secrets.lookup(refs[0]) == {"token": VALUE}
        assert not world.changed.is_set()
        assert [r.message.partition(";")[2] for r in caplog.records] == [" what is known of Secrets stays in use"]
        world.default = {"token": VALUE}
        await asyncio.sleep(20)
        assert len(caplog.records) == 2
        assert "can be read again" in caplog.text
        assert VALUE.decode() not in caplog.text
        assert not world.changed.is_set()


async def test_deleted() -> None:
    """Twice missing is gone; once is perhaps somebody who replaces it."""
    async with World({secret(): {"token": VALUE}}).running_() as world:
        await world.ensure()
        world.data[secret()] = None
        await asyncio.sleep(31)
        assert world.secrets.lookup(secret())
        world.data[secret()] = {"token": VALUE}
        await asyncio.sleep(10)
        assert not world.changed.is_set()
        world.data[secret()] = None
        await asyncio.sleep(40)
        assert world.problem()[0] == "SecretNotFound"
        assert world.changed.is_set()


async def test_reread_at_most_once_in_ten_seconds() -> None:
    async with World({secret(): {"token": VALUE}}).running_() as world:
        await world.ensure()
        world.data[secret()] = {"token": b"hunter3"}
        assert not await world.secrets.reread([secret()])
        assert len(world.reads) == 1
        await asyncio.sleep(11)
        answers = await asyncio.gather(*(world.secrets.reread([secret(), secret("unknown")]) for _ in range(5)))
        assert answers.count(True) == 1
        assert len(world.reads) == 2
        assert world.changed.is_set()
        assert world.secrets.lookup(secret()) == {"token": b"hunter3"}
        await asyncio.sleep(11)
        assert not await world.secrets.reread([secret()])
        assert len(world.reads) == 3
        await asyncio.sleep(31)
        assert len(world.reads) == 4


async def test_what_can_not_be_used_is_read_more_often_until_it_can() -> None:
    async with World({secret(): {"token": VALUE}}).running_() as world:
        await world.ensure()
        await asyncio.sleep(1)
        world.secrets.doubt([secret(), secret("unknown")])
        await asyncio.sleep(11)
        assert world.times() == pytest.approx([0, 6, 11], abs=0.2)
        world.secrets.doubt([secret()])
        world.secrets.doubt([])
        await asyncio.sleep(40)
        assert world.times()[3:] == pytest.approx([16, 46], abs=0.2)


async def test_sizes_are_bounded() -> None:
    mebibyte = b"x" * (MAX_BYTES - 1)
    world = World({secret("large"): {"k": mebibyte + b"x"}})
    world.default = {"k": mebibyte}
    async with world.running_():
        mine, other = many(9), secret("s", "other")
        await world.ensure([*mine, other, secret("large")])
        assert world.problem(secret("large")) == ("InvalidSecret", "Secret shop/large is larger than 1 MiB: make it smaller")
        refused = [ref for ref in mine if world.secrets._entries[ref].data is None]
        assert len(refused) == 1
        assert "more than 8 MiB" in world.problem(refused[0])[1]
        assert world.secrets.lookup(other)
        await world.ensure([refused[0]])
        await asyncio.sleep(6)
        assert world.secrets.lookup(refused[0])


async def test_no_value_in_a_repr() -> None:
    async with World({secret(): {"token": VALUE}}).running_() as world:
        await world.ensure()
        assert VALUE.decode() not in repr(world.secrets._entries)
