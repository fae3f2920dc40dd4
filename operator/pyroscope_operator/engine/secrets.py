"""What is known of the Secrets and ConfigMaps that objects refer to.

Each one is read anew every half minute, so that a rotated Secret is in use within a
minute; what is missing or can't be read is looked for more often.  Nothing is listed or
watched.  A change makes the reconciler run, and what did not change stays the very same
mapping, by which users notice that there is nothing to do.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from pyroscope_operator.engine.access import INVALID_SECRET, SECRET_NOT_FOUND, SECRET_UNREADABLE, ReferenceProblem
from pyroscope_operator.errors import ApiError, OperatorError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.data import DataRef

_LOG = logging.getLogger(__name__)
PERIOD = 30.0
"""Seconds after which what is known is read anew, at most."""
_SPREAD = 0.2
"""Share of a period by which reads are earlier, at random: not all at the same time."""
_RETRY_SECONDS = 5.0
"""After which what is missing, or could not be read, is tried again."""
_EARLY = 0.01
_READ_SECONDS = 10.0
"""For one read."""
_READERS = 10
"""Reads at the same time."""
_KNOWN_PER_SECOND = 100
"""Reads of what is known: above 3,000 Secrets the period grows."""
_LOST_PER_SECOND = 20
"""Reads of what is missing or could not be read: there may be thousands."""
_PATIENCE = 5.0
"""Seconds for which a reconcile waits for what it needs."""
_FIRST_PATIENCE = 60.0
"""The same for the first one, as long as answers keep coming: nothing is scraped yet that could be held up."""
_REREAD_SECONDS = 10.0
"""Least time between two reads of a Secret because a target did not accept it."""
MAX_BYTES = 1024 * 1024
"""Of one Secret: the API server has the same limit."""
MAX_NAMESPACE_BYTES = 8 * MAX_BYTES
"""Of all of a namespace, so that nobody takes the memory of others."""


class DataSource(Protocol):
    """Reads Secrets and ConfigMaps: from the API server, or from folders."""

    async def read(self, ref: DataRef) -> Mapping[str, bytes] | None:
        """Its data; None where it does not exist. Raises OperatorError when nobody can tell."""


@dataclass(slots=True)
class _Entry:
    """One Secret or ConfigMap. Either `data` or `problem` is set."""

    data: Mapping[str, bytes] | None = field(default=None, repr=False)
    problem: ReferenceProblem | None = None
    size: int = 0
    due: float = 0.0
    """When it is read next, in the event loop's time."""
    asked: float = float("-inf")
    """When the last read began."""
    reads: int = 0
    """How many have ended, well or not."""
    awaited: bool = True
    """A reconcile waits for it, which need not be told of the change."""
    gone: bool = False
    """It was missing the last time, though known before."""
    failing: bool = False


class Secrets:
    """A cache with a bounded age, of what is referred to and nothing else. `run` does all the reading."""

    def __init__(
        self, changed: asyncio.Event, metrics: Metrics, *, period: float = PERIOD, jitter: Callable[[], float] = random.random
    ) -> None:
        """`changed` is set when anything is different from what `lookup` said before; `period` in seconds."""
        self.edition = 0
        """Another one for each change of what `lookup` says."""
        self._changed = changed
        self._metrics = metrics
        self._period = period
        self._jitter = jitter
        self._entries: dict[DataRef, _Entry] = {}
        self._unread: set[DataRef] = set()
        self._urgent: deque[DataRef] = deque()
        self._later: list[tuple[float, DataRef]] = []
        """A heap; pairs whose time is not that of their entry are out of date."""
        self._states: Counter[bool] = Counter()
        """How many entries have data, and how many have not."""
        self._doubted: set[DataRef] = set()
        self._bytes: Counter[str] = Counter()
        """By namespace."""
        self._failing = 0
        self._answered = float("-inf")
        self._first = True
        self._work = asyncio.Event()
        self._news = asyncio.Event()
        self._readers = asyncio.Semaphore(_READERS)

    async def ensure(self, refs: Iterable[DataRef]) -> None:
        """These are all that is needed; returns when each of them was read once, or could not be.

        That takes 5 s at most, and at start a minute if so many are needed.
        """
        needed = set(refs)
        for ref in self._entries.keys() - needed:
            self._forget(ref)
        new = sorted(needed - self._entries.keys())
        for ref in new:
            self._entries[ref] = _Entry(problem=_not_read(ref))
            self._states[False] += 1
        self._unread.update(new)
        self._hasten(new)
        self._count()
        try:
            await self._until_read()
        finally:
            self._first = self._first and not new
            self._unread.clear()  # whoever comes next does not wait for them again
            for ref in new:
                self._entries[ref].awaited = False

    async def _until_read(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        longest = _FIRST_PATIENCE if self._first else _PATIENCE
        while self._unread:
            deadline = min(started + longest, max(started, self._answered) + _PATIENCE)
            if not await self._news_until(deadline):
                return

    def lookup(self, ref: DataRef) -> Mapping[str, bytes]:
        """The data as last read. Raises ReferenceProblem."""
        entry = self._entries.get(ref)
        if entry is not None and entry.data is not None:
            return entry.data
        problem = (entry and entry.problem) or _not_read(ref)
        raise ReferenceProblem(problem.reason, problem.message)  # a new one: each raise makes its traceback longer

    async def reread(self, refs: Iterable[DataRef]) -> bool:
        """Read these now, unless it was just done; tells whether any has changed."""
        hastened = self.hasten(refs)
        before = {ref: (self._entries[ref].data, self._entries[ref].reads) for ref in hastened}
        deadline = asyncio.get_running_loop().time() + _READ_SECONDS
        while any(ref in self._entries and self._entries[ref].reads == reads for ref, (_, reads) in before.items()):
            if not await self._news_until(deadline):
                break
        return any(ref in self._entries and self._entries[ref].data is not data for ref, (data, _) in before.items())

    def hasten(self, refs: Iterable[DataRef]) -> list[DataRef]:
        """Have these read soon, each once in 10 s at most; a change makes the reconciler run. Returns which ones are read."""
        now = asyncio.get_running_loop().time()
        chosen = [ref for ref in refs if ref in self._entries and now - self._entries[ref].asked >= _REREAD_SECONDS]
        self._hasten(chosen)
        return chosen

    def _hasten(self, refs: Iterable[DataRef]) -> None:
        for ref in refs:
            entry = self._entries[ref]
            entry.due, entry.asked = 0.0, asyncio.get_running_loop().time()
            self._urgent.append(ref)
        self._work.set()

    def doubt(self, refs: Iterable[DataRef]) -> None:
        """These, and no others, can't be used as they are: they are read as often as what is missing."""
        before, self._doubted = self._doubted, self._entries.keys() & set(refs)
        for ref in sorted(self._doubted - before):
            entry = self._entries[ref]
            if entry.due:  # else it is being read, or soon
                self._plan(ref, entry)

    async def _news_until(self, deadline: float) -> bool:
        """True as soon as a read has ended; False at `deadline`."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def run(self, source: DataSource) -> None:
        """Read from `source` what is needed, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._readers.acquire()
                ref = await self._next()
                group.create_task(self._read_one(source, ref), name=f"read {ref}")

    async def _next(self) -> DataRef:
        """Wait for the next one that is to be read."""
        while True:
            self._work.clear()
            while self._urgent:
                ref = self._urgent.popleft()
                if ref in self._entries:
                    return ref
            while self._later and not self._is_current(*self._later[0]):
                heapq.heappop(self._later)
            now, due = asyncio.get_running_loop().time(), self._later[0][0] if self._later else None
            if due is not None and due <= now + _EARLY:  # a timer may fire a little early
                return heapq.heappop(self._later)[1]
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._work.wait()

    def _is_current(self, due: float, ref: DataRef) -> bool:
        return ref in self._entries and self._entries[ref].due == due

    async def _read_one(self, source: DataSource, ref: DataRef) -> None:
        entry = self._entries[ref]
        entry.due, entry.asked = 0.0, asyncio.get_running_loop().time()
        try:
            await self._read(source, ref, entry)
        except Exception:  # a bug must not end the task that all objects share
            _LOG.exception("reading of %s failed", ref)
            self._failed(ref, entry, _unreadable(ref, OperatorError("InternalError", "a bug of the operator, see its log")))
        finally:
            self._readers.release()
        if self._entries.get(ref) is entry:
            self._schedule(ref, entry)
        self._news.set()
        self._news = asyncio.Event()

    async def _read(self, source: DataSource, ref: DataRef, entry: _Entry) -> None:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                data = await source.read(ref)
        except TimeoutError:
            self._failed(ref, entry, _unreadable(ref, ApiError(0, "")))
        except OperatorError as error:
            self._failed(ref, entry, _unreadable(ref, error))
        else:
            self._answered = asyncio.get_running_loop().time()
            self._metrics.secret_reads.labels("missing" if data is None else "ok").inc()
            self._works(entry)
            if self._entries.get(ref) is not entry:  # nobody needs it any more
                return
            if data is None:
                self._missing(ref, entry)
            else:
                self._found(ref, entry, data)

    def _found(self, ref: DataRef, entry: _Entry, data: Mapping[str, bytes]) -> None:
        entry.gone = False
        size = sum(len(key) + len(value) for key, value in data.items())
        if size > MAX_BYTES:
            self._put(ref, entry, None, ReferenceProblem(INVALID_SECRET, f"{ref} is larger than 1 MiB: make it smaller"))
        elif self._bytes[ref.namespace] - entry.size + size > MAX_NAMESPACE_BYTES:
            problem = f"{ref} has no room: objects in its namespace refer to more than 8 MiB of Secrets and ConfigMaps"
            self._put(ref, entry, None, ReferenceProblem(INVALID_SECRET, problem))
        elif data != entry.data:
            self._put(ref, entry, dict(data), None, size)

    def _missing(self, ref: DataRef, entry: _Entry) -> None:
        """What was known is given up when it is missing twice: some tools replace a Secret by deleting it first."""
        if entry.data is not None and not entry.gone:
            entry.gone = True
            return
        self._put(ref, entry, None, ReferenceProblem(SECRET_NOT_FOUND, f"{ref} does not exist: create it"))

    def _failed(self, ref: DataRef, entry: _Entry, problem: ReferenceProblem) -> None:
        """What is known stays in use."""
        self._metrics.secret_reads.labels("failed").inc()
        if self._entries.get(ref) is not entry:
            return
        if not entry.failing:
            entry.failing = True
            self._failing += 1
            if self._failing == 1:
                _LOG.warning("%s; what is known of Secrets stays in use", problem.message)
        if entry.data is None:
            self._put(ref, entry, None, problem)

    def _works(self, entry: _Entry) -> None:
        if entry.failing:
            entry.failing = False
            self._failing -= 1
            if not self._failing:
                _LOG.info("all Secrets can be read again")

    def _put(
        self, ref: DataRef, entry: _Entry, data: Mapping[str, bytes] | None, problem: ReferenceProblem | None, size: int = 0
    ) -> None:
        """Take over what is known now, and tell of it if it is something else."""
        same = data == entry.data and (problem and problem.message) == (entry.problem and entry.problem.message)
        if same:
            return
        self._states[entry.data is not None] -= 1
        self._states[data is not None] += 1
        self._bytes[ref.namespace] += size - entry.size
        if entry.reads:
            self._metrics.secret_changes.inc()
        entry.data, entry.problem, entry.size = data, problem, size
        self.edition += 1
        self._count()
        if not entry.awaited:
            self._changed.set()

    def _schedule(self, ref: DataRef, entry: _Entry) -> None:
        entry.reads += 1
        self._unread.discard(ref)
        self._plan(ref, entry)

    def _plan(self, ref: DataRef, entry: _Entry) -> None:
        """Say when it is read next."""
        if entry.data is not None and not entry.gone and not entry.failing and ref not in self._doubted:
            delay = max(self._period, self._states[True] / _KNOWN_PER_SECOND)
        else:
            delay = max(min(_RETRY_SECONDS, self._period), self._lost() / _LOST_PER_SECOND)
        entry.due = asyncio.get_running_loop().time() + delay * (1 - _SPREAD * self._jitter())
        heapq.heappush(self._later, (entry.due, ref))
        self._work.set()

    def _lost(self) -> int:
        return max(self._states[False], self._failing) + len(self._doubted)

    def _forget(self, ref: DataRef) -> None:
        entry = self._entries.pop(ref)
        self._works(entry)
        self._unread.discard(ref)
        self._doubted.discard(ref)
        self._states[entry.data is not None] -= 1
        self._bytes[ref.namespace] -= entry.size
        if not self._bytes[ref.namespace]:
            del self._bytes[ref.namespace]

    def _count(self) -> None:
        self._metrics.secrets.labels("known").set(self._states[True])
        self._metrics.secrets.labels("unknown").set(self._states[False])


def _not_read(ref: DataRef) -> ReferenceProblem:
    return ReferenceProblem(SECRET_UNREADABLE, f"{ref} is not read yet: there was no answer so far")


def _unreadable(ref: DataRef, error: OperatorError) -> ReferenceProblem:
    if not isinstance(error, ApiError):
        return ReferenceProblem(SECRET_UNREADABLE, f"{ref} can't be read: {error.message}")
    if not error.status:
        return ReferenceProblem(SECRET_UNREADABLE, f"{ref} can't be read: no answer from the API server")
    fix = ""
    if error.status == 403:
        fix = f": the operator's service account needs the right to get {ref.kind.lower()}s in namespace {ref.namespace}"
    return ReferenceProblem(SECRET_UNREADABLE, f"{ref} can't be read: the API server answered {error.status}{fix}")
