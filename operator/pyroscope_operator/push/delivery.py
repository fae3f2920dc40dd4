"""How the profiles of each PyroscopeScrape fare, for its status."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from pyroscope_operator.model.ref import ObjectRef

PUSH_FAILING = "PushFailing"
QUEUE_FULL = "QueueFull"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Times are unix seconds."""

    last_push: float | None = None
    """When a profile was last taken."""
    failures: int = 0
    """Failures since then."""
    reason: str | None = None
    """Of the last failure, whether or not it is over: PushFailing or QueueFull."""
    message: str | None = None
    """The cause of it: endpoint, reason and a few words."""
    failed_at: float | None = None
    dropped: int = 0
    """Profiles that will never arrive, since the start of the operator."""


class DeliveryBook:
    """A `Delivery` per source. Its size is bounded by calling `forget` with those that exist."""

    def __init__(self) -> None:
        self._book: dict[ObjectRef, Delivery] = {}

    def record_sent(self, source: ObjectRef, when: float) -> None:
        """A profile of `source` was taken."""
        self._book[source] = replace(self.get(source), last_push=when, failures=0)

    def record_failed(self, source: ObjectRef, reason: str, message: str, when: float, *, dropped: bool) -> None:
        """A profile of `source` was not taken; `dropped`: and never will be."""
        old = self.get(source)
        self._book[source] = replace(
            old, failures=old.failures + 1, reason=reason, message=message, failed_at=when, dropped=old.dropped + dropped
        )

    def forget(self, keep: Collection[ObjectRef]) -> None:
        """Forgets all sources but those in `keep`."""
        for source in self._book.keys() - set(keep):
            del self._book[source]

    def get(self, source: ObjectRef) -> Delivery:
        """What is known of `source`; all empty if nothing is."""
        return self._book.get(source) or Delivery()
