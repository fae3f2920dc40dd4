"""How the profiles of each PyroscopeScrape fare, for its status.

Trouble is kept per series, and a series is in trouble until a profile of it is taken:
so a profile type that is refused for ever is told steadily, instead of by turns with the
others that are taken.  A failing endpoint is the trouble of all who wait for it, and
so is a write that was never accepted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.endpoint import EndpointKey

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
    """Why profiles wait: an endpoint fails. None as soon as a profile of the source was taken there."""
    troubles: tuple[tuple[Labels, Trouble], ...] = ()
    """Series (as the scrape labels them) whose last profile was not taken; by endpoint, those in trouble the longest first."""
    dropped: int = 0
    """Profiles that will never arrive, since the start of the operator."""


class _Account:
    """How the profiles of one source fare at one endpoint."""

    def __init__(self) -> None:
        self.last_push: float | None = None
        self.waiting: str | None = None
        self.troubles: dict[Labels, Trouble] = {}
        self.dropped = 0

    @property
    def loses(self) -> bool:
        return any(trouble.reason == QUEUE_FULL for trouble in self.troubles.values())


_Accounts = dict[EndpointKey, _Account]


class DeliveryBook:
    """A `Delivery` per source, kept for each endpoint: success at one doesn't hide that another one fails.

    Its size is bounded by `MAX_TROUBLES`, by calling `forget` with the sources that exist, and
    `close` for each endpoint that is no more.
    """

    def __init__(self) -> None:
        self._accounts: dict[ObjectRef, _Accounts] = {}

    def record_sent(self, source: ObjectRef, endpoint: EndpointKey, series: Iterable[Labels], when: float) -> None:
        """A profile of each of these series was taken."""
        account = self._account(source, endpoint)
        account.last_push, account.waiting = when, None
        if account.troubles:
            for labels in series:
                account.troubles.pop(labels, None)

    def record_waiting(self, source: ObjectRef, endpoint: EndpointKey, message: str) -> None:
        """Profiles of `source` wait for an endpoint that fails."""
        self._account(source, endpoint).waiting = message

    def record_trouble(
        self, source: ObjectRef, endpoint: EndpointKey, series: Labels, trouble: Trouble, *, dropped: bool
    ) -> None:
        """A profile of `series` was not taken; `dropped`: and never will be."""
        account = self._account(source, endpoint)
        account.dropped += dropped
        account.troubles[series] = trouble
        if len(account.troubles) > MAX_TROUBLES:
            del account.troubles[next(iter(account.troubles))]

    def forget(self, keep: Collection[ObjectRef]) -> None:
        """Forgets all sources but those in `keep`."""
        for source in self._accounts.keys() - set(keep):
            del self._accounts[source]

    def close(self, endpoint: EndpointKey) -> None:
        """Forgets an endpoint: its troubles end with it."""
        for accounts in self._accounts.values():
            accounts.pop(endpoint, None)

    def get(self, source: ObjectRef, writes: Collection[ObjectRef] | None = None) -> Delivery:
        """What is known of `source` at the endpoints of these writes, of all for None; all empty if nothing is."""
        known = self._accounts.get(source, {})
        return _together([known[key] for key in sorted(known) if writes is None or key.write in writes])

    def _account(self, source: ObjectRef, endpoint: EndpointKey) -> _Account:
        return self._accounts.setdefault(source, {}).setdefault(endpoint, _Account())


def _together(accounts: Sequence[_Account]) -> Delivery:
    """One `Delivery` of several; what waits where profiles are lost, too, is told first."""
    waiting = sorted((account for account in accounts if account.waiting is not None), key=lambda account: not account.loses)
    more = f"; endpoints that fail: {len(waiting)}" if len(waiting) > 1 else ""
    return Delivery(
        last_push=max((account.last_push for account in accounts if account.last_push is not None), default=None),
        waiting=f"{waiting[0].waiting}{more}" if waiting else None,
        troubles=tuple(pair for account in accounts for pair in account.troubles.items()),
        dropped=sum(account.dropped for account in accounts),
    )
