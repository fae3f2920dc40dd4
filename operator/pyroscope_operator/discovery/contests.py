"""Who gets what: the same scrape is done once, for the object with the better claim, and a process has one CPU profiler."""

from __future__ import annotations

from operator import attrgetter

from pyroscope_operator.discovery.claim import Claim
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape

Changes = dict[str, Scrape | None]
"""Scrapes by key: the one that is to be done now, or None for one that is no longer to be done."""

_ORDER = attrgetter("order")


class Contests:
    """All claims. A claim that comes or goes concerns those in its own contest, and no others."""

    def __init__(self) -> None:
        self.changes: Changes = {}
        """What became different; whoever acts upon it takes it out."""
        self.touched: set[ObjectRef] = set()
        """The objects for which the outcome may be another; whoever looks at one takes it out."""
        self._claims: dict[str, tuple[Claim, ...]] = {}
        """By contest, the best one first."""

    def enter(self, claim: Claim) -> None:
        before = self._claims.get(claim.contest, ())
        self._settle(claim, before, (*before, claim))

    def withdraw(self, claim: Claim) -> None:
        before = self._claims[claim.contest]
        self._settle(claim, before, tuple(other for other in before if other is not claim))

    def winner(self, claim: Claim) -> Scrape:
        """The scrape that is done; that of the claim itself if it is the best one."""
        return self._claims[claim.contest][0].scrape

    def _settle(self, claim: Claim, before: tuple[Claim, ...], after: tuple[Claim, ...]) -> None:
        contest = claim.contest
        if after:
            after = self._claims[contest] = tuple(sorted(after, key=_ORDER)) if len(after) > 1 else after
        else:
            del self._claims[contest]
        self.touched.add(claim.scrape.source)
        if before and after and before[0] is after[0]:
            return
        if before:
            self.changes[before[0].scrape.key] = None
        if after:
            self.changes[after[0].scrape.key] = after[0].scrape
        self.touched.update(other.scrape.source for other in (*before, *after))
