"""Writes the status of the objects: server-side apply, compared before sending; and an Event when it flips."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyroscope_operator.controller.events import EventRecorder, flips
from pyroscope_operator.controller.kube import Kube
from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.report import report, settled
from pyroscope_operator.engine.store import ScrapeObject
from pyroscope_operator.errors import ApiError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import Delivery

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_SETTLE_SECONDS = 60.0
"""After a start, so long at most the status of before is left until everything was scraped and something pushed or refused."""
_REFRESH_SECONDS = 300.0
"""Times alone are written this often: each write wakes every watcher of the object."""

_ABOUT_ONE_OBJECT = frozenset({400, 403, 404, 409, 413, 422})
"""HTTP statuses that say nothing of the next object."""
_GONE = frozenset({404, 409})
"""Those that mean: deleted, or made anew, meanwhile."""


@dataclass(frozen=True, slots=True)
class _Written:
    """The status that the API server has, as far as we know, and when it was sent."""

    uid: str
    status: Mapping[str, Any]
    at: float


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
        self._written: dict[ObjectRef, _Written] = {}
        self._refusals: dict[ObjectRef, int] = {}
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
        observations = self._engine.observations()
        for gone in self._written.keys() - observations.keys():
            del self._written[gone]
            self._refusals.pop(gone, None)
        for ref, seen in observations.items():
            found = self._engine.store.objects.get(ref)
            if found is None:
                continue
            try:
                await self._write(found, seen)
            except ApiError:
                raise
            except Exception:  # a bug on one object must not end the status of all
                self._metrics.status_writes.labels("InternalError").inc()
                _LOG.exception("status not written", extra={"object": str(ref)})
                self._written[ref] = _Written(found.uid, self._last(found).status, self._clock())

    async def _write(self, found: ScrapeObject, seen: Observation) -> None:
        now, before = self._clock(), self._last(found)
        if 0 <= now - before.at < self._interval or self._settling(found, seen, now):
            return
        fresh = report(seen, before.status, now).manifest()
        if settled(before.status, fresh) and (fresh == before.status or 0 <= now - before.at < _REFRESH_SECONDS):
            return
        try:
            await self._kube.apply_status(found.ref, found.uid, fresh)
        except ApiError as error:
            self._refused(found, error, _Written(found.uid, before.status, now))
            return
        self._metrics.status_writes.labels("ok").inc()
        self._failing = False
        self._written[found.ref] = _Written(found.uid, fresh, now)
        self._refusals.pop(found.ref, None)
        await self._events.record(found.ref, found.uid, flips(before.status, fresh))

    def _refused(self, found: ScrapeObject, error: ApiError, written: _Written) -> None:
        """One object must not keep the others from their status: it waits out its interval. Raises what concerns all."""
        self._metrics.status_writes.labels(error.reason).inc()
        if error.status not in _ABOUT_ONE_OBJECT:
            raise error
        self._written[found.ref] = written
        if error.status not in _GONE and error.status != self._refusals.get(found.ref):
            self._refusals[found.ref] = error.status
            _LOG.warning("can't write status: %s", error, extra={"object": str(found.ref)})

    def _settling(self, found: ScrapeObject, seen: Observation, now: float) -> bool:
        """Whether a restart is all that is new: Ready must not flip because of it."""
        if found.ref in self._written or not 0 <= now - self._started < _SETTLE_SECONDS:
            return False
        untried = any(state.health.up is None for state in seen.loops)
        unsent = bool(seen.loops) and seen.delivery == Delivery()
        return found.status.get("observedGeneration") == seen.generation and (untried or unsent)

    def _last(self, found: ScrapeObject) -> _Written:
        written = self._written.get(found.ref)
        if written is None or written.uid != found.uid:
            return _Written(found.uid, found.status, 0.0)
        return written
