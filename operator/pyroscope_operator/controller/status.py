"""Writes the status of the objects: server-side apply, compared before sending; and an Event when it flips."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyroscope_operator.api.kinds import SCRAPE, WRITE, Kind
from pyroscope_operator.controller.events import EventRecorder, flips
from pyroscope_operator.controller.kube import Kube
from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.report import report, settled
from pyroscope_operator.engine.store import ScrapeObject, WriteObject
from pyroscope_operator.engine.write_conditions import WriteObservation
from pyroscope_operator.errors import ApiError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_SETTLE_SECONDS = 60.0
"""After a start, so long at most the status of before is left until everything was scraped and something pushed or refused."""
_REFRESH_SECONDS = 300.0
"""Times and figures alone are written this often: each write wakes every watcher of the object."""

_AT_ONCE = 20
"""Objects that are looked at before others on the event loop have their turn."""

_ABOUT_ONE_OBJECT = frozenset({400, 403, 404, 409, 413, 422})
"""HTTP statuses that say nothing of the next object."""
_GONE = frozenset({404, 409})
"""Those that mean: deleted, or made anew, meanwhile."""


_Key = tuple[Kind, ObjectRef]


def _key(found: ScrapeObject | WriteObject) -> _Key:
    return found.kind, found.ref


@dataclass(frozen=True, slots=True)
class _Written:
    """The status that the API server has, as far as we know, and when it was sent."""

    uid: str
    status: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of an object when its status was last computed; it holds for so long, in Unix seconds."""

    uid: str
    gist: tuple[object, ...]
    since: float
    until: float

    def holds(self, uid: str, gist: tuple[object, ...], now: float) -> bool:
        return self.since <= now < self.until and self.uid == uid and self.gist == gist


class StatusWriter:
    """The one task that writes status. Clock in Unix seconds."""

    def __init__(
        self,
        kube: Kube,
        engine: Engine,
        metrics: Metrics,
        events: EventRecorder,
        *,
        interval: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kube = kube
        self._events = events
        self._engine = engine
        self._metrics = metrics
        self._interval = interval
        """Seconds between two writes of one object, at least."""
        self._clock = clock
        self._written: dict[_Key, _Written] = {}
        self._looks: dict[_Key, _Look] = {}
        self._refusals: dict[_Key, int] = {}
        """HTTP status of the last refusal that was about one object and is not over."""
        self._failing = False
        self._started = clock()

    async def run(self) -> None:
        """Write what has changed, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.write_due()
            except ApiError as error:
                # The next object would meet the same error; nothing is lost, status is computed anew.
                if not self._failing:
                    _LOG.warning("can't write status: %s", error)
                self._failing = True

    async def write_due(self) -> None:
        """One look at all objects. Raises ApiError when the API server can't be reached."""
        store, engine = self._engine.store, self._engine
        self._forget()
        writes = engine.write_observations()
        # Writes first, as they were seen at this moment: what is written takes time.
        keys: list[_Key] = [*((WRITE, ref) for ref in writes), *((SCRAPE, ref) for ref in store.objects)]
        for number, (kind, ref) in enumerate(keys, 1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            found = store.of_kind(kind).get(ref)
            seen = engine.observation(ref) if kind is SCRAPE else writes[ref]
            if found is None or seen is None:
                continue
            try:
                await self._write(found, seen)
            except ApiError:
                raise
            except Exception:  # a bug on one object must not end the status of all
                self._metrics.status_writes.labels("InternalError").inc()
                _LOG.exception("status not written", extra={"object": str(ref)})
                self._written[kind, ref] = _Written(found.uid, self._last(found).status, self._clock())

    def _forget(self) -> None:
        """Objects that are no more."""
        for key in [(kind, ref) for kind, ref in self._written if ref not in self._engine.store.of_kind(kind)]:
            del self._written[key]
            self._refusals.pop(key, None)
        for key in [(kind, ref) for kind, ref in self._looks if ref not in self._engine.store.of_kind(kind)]:
            del self._looks[key]

    async def _write(self, found: ScrapeObject | WriteObject, seen: Observation | WriteObservation) -> None:
        now, before = self._clock(), self._last(found)
        if 0 <= now - before.at < self._interval or self._settling(found, seen, now):
            return
        key, gist, look = _key(found), seen.gist, self._looks.get(_key(found))
        if look is not None and look.holds(found.uid, gist, now):
            return
        fresh = report(seen, before.status, now).manifest()
        age = now - max(before.at, self._started)
        rest = _REFRESH_SECONDS - age if age >= 0 else 0.0
        if settled(before.status, fresh) and (fresh == before.status or rest > 0):
            self._looks[key] = _Look(found.uid, gist, now, now + (rest if rest > 0 else _REFRESH_SECONDS))
            return
        try:
            await self._kube.apply_status(found.kind, found.ref, found.uid, fresh)
        except ApiError as error:
            self._refused(found, error, _Written(found.uid, before.status, now))
            return
        self._metrics.status_writes.labels("ok").inc()
        self._failing = False
        self._written[key] = _Written(found.uid, fresh, now)
        self._looks[key] = _Look(found.uid, gist, now, now + _REFRESH_SECONDS)
        self._refusals.pop(key, None)
        await self._events.record(found.kind, found.ref, found.uid, flips(before.status, fresh))

    def _refused(self, found: ScrapeObject | WriteObject, error: ApiError, written: _Written) -> None:
        """One object must not keep the others from their status: it waits out its interval. Raises what concerns all."""
        self._metrics.status_writes.labels(error.reason).inc()
        if error.status not in _ABOUT_ONE_OBJECT:
            raise error
        self._written[_key(found)] = written
        if error.status not in _GONE and error.status != self._refusals.get(_key(found)):
            self._refusals[_key(found)] = error.status
            _LOG.warning("can't write status: %s", error, extra={"object": str(found.ref)})

    def _settling(self, found: ScrapeObject | WriteObject, seen: Observation | WriteObservation, now: float) -> bool:
        """Whether a restart is all that is new: Ready must not flip because of it."""
        if _key(found) in self._written or not 0 <= now - self._started < _SETTLE_SECONDS:
            return False
        return found.status.get("observedGeneration") == seen.generation and seen.pending

    def _last(self, found: ScrapeObject | WriteObject) -> _Written:
        written = self._written.get(_key(found))
        if written is None or written.uid != found.uid:
            return _Written(found.uid, found.status, 0.0)
        return written
