"""Which targets of an object are scraped, where it wants a share of them or may not have all.

Each target has a score, made of the object and the target's own identity: it is the same in every
process and does not depend on the other targets.  A share takes the scores below it; a number
takes the lowest scores.  So a target that comes or goes changes the choice by one other at most.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from operator import attrgetter
from typing import NamedTuple

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery.claim import Claim
from pyroscope_operator.discovery.targets import Drop
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Target

NOT_SAMPLED = "NotSampled"
_SCORES = 1 << 64
_NO_LIMIT = sys.maxsize
_OWN = "spec.targetLimit"
_OPERATORS = "the operator's limit for one object (setting targetLimit)"

Order = tuple[int, str, str, str, int]
"""The score first; the rest makes it total."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A target that was found. It is itself only: one that was found anew is another."""

    target: Target
    order: Order
    """Those with the lowest are chosen."""
    claims: tuple[Claim, ...]
    """What the object wants of it, if it is chosen."""

    @property
    def ref(self) -> ObjectRef:
        """Its pod; a static target is called by its address."""
        return ObjectRef(self.target.namespace, self.target.pod or self.target.address)


class Moves(NamedTuple):
    """What became different in a choice."""

    joined: Sequence[Candidate]
    left: Sequence[Candidate]


class Choice:
    """The candidates of one object, and which of them are chosen: sampling first, then the limit.

    A change costs the logarithm of their number.
    """

    def __init__(self, source: ObjectRef, spec: PyroscopeScrapeSpec, cap: int | None) -> None:
        """`cap`: targets that the operator allows an object; the lower limit wins."""
        sampling, own, operators = spec.sampling, spec.target_limit or _NO_LIMIT, cap or _NO_LIMIT
        self._source = source
        self._percent = sampling and sampling.percent
        self._below = _SCORES * (self._percent or 100) // 100
        self._sampled = (sampling and sampling.max_targets) or _NO_LIMIT
        self._limit, self._limit_is = (own, _OWN) if own <= operators else (operators, _OPERATORS)
        self._most = min(self._sampled, self._limit)
        self._ranked: list[Candidate] = []
        """Those whose score is in the share, by their order."""

    def order(self, target: Target, number: int) -> Order:
        """Of a target that is the `number`-th of its pod or of the static ones."""
        digest = blake2b(f"{self._source}\0{target.key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big"), target.key, target.namespace, target.pod, number

    def may(self, order: Order) -> bool:
        """Whether it is ever chosen, whatever the others are."""
        return order[0] < self._below

    def chosen(self) -> list[Candidate]:
        return self._ranked[: self._most]

    def replace(self, gone: Iterable[Candidate], new: Iterable[Candidate]) -> Moves:
        """Take candidates out, and others in."""
        moved: dict[Candidate, bool] = {}
        for candidate in gone:
            _note(moved, self._remove(candidate))
        for candidate in new:
            _note(moved, self._add(candidate))
        return Moves([one for one, joins in moved.items() if joins], [one for one, joins in moved.items() if not joins])

    def has(self, candidate: Candidate) -> bool:
        """Whether it is chosen."""
        return self.may(candidate.order) and self._is_among(self._most, candidate)

    def drop(self, candidate: Candidate) -> Drop:
        """Why a candidate is not chosen."""
        found = len(self._ranked)
        if not self.may(candidate.order):
            return Drop(candidate.ref, NOT_SAMPLED, f"not sampled: spec.sampling.percent is {self._percent}")
        if not self._is_among(self._sampled, candidate):
            message = f"not sampled: spec.sampling.maxTargets is {self._sampled}, {found} targets were found"
            return Drop(candidate.ref, NOT_SAMPLED, message)
        fix = "raise it" if self._limit_is == _OWN else "ask the administrator"
        return Drop(
            candidate.ref,
            "LimitExceeded",
            f"above {self._limit_is}: {self._limit} of {min(found, self._sampled)} targets are scraped: "
            f"select fewer pods, set a lower spec.sampling, or {fix}",
        )

    def _is_among(self, number: int, candidate: Candidate) -> bool:
        return number >= len(self._ranked) or candidate.order < self._ranked[number].order

    def _add(self, candidate: Candidate) -> Iterator[tuple[Candidate, bool]]:
        if not self.may(candidate.order):
            return
        insort(self._ranked, candidate, key=_ORDER)
        if self._is_among(self._most, candidate):
            yield candidate, True
            if len(self._ranked) > self._most:
                yield self._ranked[self._most], False

    def _remove(self, candidate: Candidate) -> Iterator[tuple[Candidate, bool]]:
        if not self.may(candidate.order):
            return
        was_chosen = self._is_among(self._most, candidate)
        del self._ranked[bisect_left(self._ranked, candidate.order, key=_ORDER)]
        if was_chosen:
            yield candidate, False
            if len(self._ranked) >= self._most:
                yield self._ranked[self._most - 1], True


_ORDER = attrgetter("order")


def _note(moved: dict[Candidate, bool], moves: Iterable[tuple[Candidate, bool]]) -> None:
    """One that joins and leaves again has not moved."""
    for candidate, joins in moves:
        if moved.pop(candidate, None) is None:
            moved[candidate] = joins
