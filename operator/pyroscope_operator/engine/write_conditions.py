"""The conditions of a PyroscopeWrite. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pyroscope_operator.engine.conditions import Aspect
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.push.delivery import PUSH_FAILING, QUEUE_FULL
from pyroscope_operator.push.writer import WriterSnapshot


@dataclass(frozen=True)
class WriteObservation:
    """All that is known of one write at one moment."""

    generation: int
    verdict: Verdict
    endpoints: Sequence[WriterSnapshot] = ()
    """Those that are written to; none if it was never accepted."""

    @property
    def gist(self) -> tuple[object, ...]:
        """What its status is made of, times and figures aside: as long as it is equal, there is no news."""
        return self.generation, self.verdict, [_gist(one) for one in self.endpoints]

    @cached_property
    def failing(self) -> list[WriterSnapshot]:
        """The endpoints that take nothing, or not enough."""
        return [one for one in self.endpoints if one.failing_since is not None or one.overflowing]

    @property
    def pending(self) -> bool:
        """Whether something is still to be tried for the first time: what was said before may say more."""
        return any(one.last_success is None and one.failing_since is None for one in self.endpoints)


def _gist(one: WriterSnapshot) -> tuple[object, ...]:
    error = None if one.failing_since is None else (one.last_error_reason, one.last_error_message)
    return one.key, one.failing_since, one.overflowing, one.last_success is None, error


def write_aspects(seen: WriteObservation) -> dict[str, Aspect]:
    """The conditions by type, the summary first."""
    accepted = Aspect("True" if seen.verdict.accepted else "False", seen.verdict.reason, seen.verdict.message)
    delivering = _delivering(seen)
    ready = next((aspect for aspect in (accepted, delivering) if aspect.status == "False"), None)
    return {
        "Ready": ready or Aspect("True", delivering.reason, delivering.message),
        "Accepted": accepted,
        "Delivering": delivering,
    }


def _delivering(seen: WriteObservation) -> Aspect:
    if not seen.endpoints:
        return Aspect("Unknown", "NotAccepted", "nothing is written for an object that was never accepted")
    if seen.failing:
        first = next((one for one in seen.failing if one.overflowing), seen.failing[0])
        why = f"{first.last_error_reason}: {first.last_error_message}" if first.failing_since is not None else "it is slow"
        lost = "; its queue is full, the oldest profiles are lost" if first.overflowing else ""
        text = f"endpoints failing: {len(seen.failing)} of {len(seen.endpoints)}; {first.key.endpoint}: {why}{lost}"
        return Aspect("False", QUEUE_FULL if first.overflowing else PUSH_FAILING, text)
    if any(one.last_success is not None for one in seen.endpoints):
        return Aspect("True", "Delivered", "profiles arrive")
    return Aspect("Unknown", "NothingPushed", "no profile has been pushed yet")
