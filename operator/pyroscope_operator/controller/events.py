"""Kubernetes Events: what `kubectl describe` tells of the moments at which an object turned bad or good again."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pyroscope_operator.api import API_VERSION
from pyroscope_operator.api.kinds import Kind
from pyroscope_operator.controller.kube import Kube
from pyroscope_operator.errors import ApiError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

_LOG = logging.getLogger(__name__)

TOLD = ("Accepted", "Delivering")
"""Conditions whose flips are worth an Event.  The others follow pods, which come and go all day."""

_COMPONENT = "pyroscope-operator"
_MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Flip:
    """A condition that has become False, or True after it was False."""

    kind: Literal["Normal", "Warning"]
    condition: str
    reason: str
    message: str

    def manifest(self, kind: Kind, ref: ObjectRef, uid: str, identity: str, now: float) -> dict[str, Any]:
        """The Event about an object, told by the process `identity`; `now` in Unix seconds."""
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": ref.namespace, "name": f"{ref.name[:220].rstrip('.-')}.{uuid.uuid4().hex}"},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": kind.name,
                "namespace": ref.namespace,
                "name": ref.name,
                "uid": uid,
            },
            "type": self.kind,
            "action": self.condition,
            "reason": self.reason,
            "message": self.message[:_MAX_MESSAGE],
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "source": {"component": _COMPONENT},
            "reportingComponent": _COMPONENT,
            "reportingInstance": identity,
        }


class EventRecorder:
    """Creates Events, best effort: the status says the same.  Clock in Unix seconds."""

    def __init__(self, kube: Kube, metrics: Metrics, identity: str, clock: Callable[[], float] = time.time) -> None:
        """`identity` is this process, as its Events name it."""
        self._kube = kube
        self._metrics = metrics
        self._identity = identity
        self._clock = clock
        self._failing = False

    async def record(self, kind: Kind, ref: ObjectRef, uid: str, flips: Iterable[Flip]) -> None:
        """Create an Event for each of `flips`.  A failure is counted, and logged when it is the first in a row."""
        for flip in flips:
            try:
                await self._kube.create_event(flip.manifest(kind, ref, uid, self._identity, self._clock()))
            except ApiError as error:
                self._metrics.events.labels(error.reason).inc()
                if not self._failing:
                    _LOG.warning("can't create an Event: %s", error, extra={"object": str(ref)})
                self._failing = True
                return
            self._metrics.events.labels("ok").inc()
            self._failing = False


def flips(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Flip]:
    """What has flipped between two statuses (as JSON) of an object.

    Unknown is no state of its own here: bad after Unknown is news, good after it is what
    everybody expects.
    """
    was, now = _conditions(before), _conditions(after)
    for kind in TOLD:
        old, new = was.get(kind, {}).get("status"), now.get(kind, {})
        if new.get("status") == "False" and old != "False":
            yield Flip("Warning", kind, new["reason"], new["message"])
        elif new.get("status") == "True" and old == "False":
            yield Flip("Normal", kind, new["reason"], new["message"])


def _conditions(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {condition["type"]: condition for condition in status.get("conditions") or () if "type" in condition}
