"""How the profiles of each PyroscopeScrape fare, for its status.

Trouble is kept per series, and a series is in trouble until a profile of it is taken:
so a profile type that is refused for ever is told steadily, instead of by turns with the
others that are taken.  A failing endpoint is the trouble of all who wait for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef

PUSH_FAILING = "PushFailing"
QUEUE_FULL = "QueueFull"

MAX_TROUBLES = 1000
"""Series in trouble that are kept for each source; beyond that the oldest trouble is forgotten."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the last profile of a series was not taken."""

    reason: str
    """PushFailing or QueueFull."""
    message: str
    """The cause of it: endpoint, reason and a few words."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Times are unix seconds."""

    last_push: float | None = None
    """When a profile was last taken."""
    waiting: str | None = None
    """Why profiles wait: the endpoint fails. None as soon as a profile of the source was taken."""
    troubles: tuple[tuple[Labels, Trouble], ...] = ()
    """Series (as the scrape labels them) whose last profile was not taken, those in trouble the longest first."""
    dropped: int = 0
    """Profiles that will never arrive, since the start of the operator."""


class _Account:
    """What a `Delivery` is made of."""

    def __init__(self) -> None:
        self.last_push: float | None = None
        self.waiting: str | None = None
        self.troubles: dict[Labels, Trouble] = {}
        self.dropped = 0

    def snapshot(self) -> Delivery:
        return Delivery(self.last_push, self.waiting, tuple(self.troubles.items()), self.dropped)


class DeliveryBook:
    """A `Delivery` per source. Its size is bounded by `MAX_TROUBLES` and by calling `forget` with those that exist."""

    def __init__(self) -> None:
        self._accounts: dict[ObjectRef, _Account] = {}

    def record_sent(self, source: ObjectRef, series: Iterable[Labels], when: float) -> None:
        """A profile of each of these series was taken."""
        account = self._account(source)
        account.last_push, account.waiting = when, None
        if account.troubles:
            for labels in series:
                account.troubles.pop(labels, None)

    def record_waiting(self, source: ObjectRef, message: str) -> None:
        """Profiles of `source` wait for an endpoint that fails."""
        self._account(source).waiting = message

    def record_trouble(self, source: ObjectRef, series: Labels, trouble: Trouble, *, dropped: bool) -> None:
        """A profile of `series` was not taken; `dropped`: and never will be."""
        account = self._account(source)
        account.dropped += dropped
        account.troubles[series] = trouble
        if len(account.troubles) > MAX_TROUBLES:
            del account.troubles[next(iter(account.troubles))]

    def forget(self, keep: Collection[ObjectRef]) -> None:
        """Forgets all sources but those in `keep`."""
        for source in self._accounts.keys() - set(keep):
            del self._accounts[source]

    def get(self, source: ObjectRef) -> Delivery:
        """What is known of `source`; all empty if nothing is."""
        account = self._accounts.get(source)
        return account.snapshot() if account else Delivery()

    def _account(self, source: ObjectRef) -> _Account:
        return self._accounts.setdefault(source, _Account())
