"""What an object wants of a target, and how it ranks among those who want the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import STATIC, Scrape, Target

Rank = tuple[bool, str, ObjectRef, bool, str, str, int]


class Claim(NamedTuple):
    """A scrape that an object wants. Of those in one contest the lowest by `order` gets it."""

    rank: Rank
    """That of the object for this target: one in the pod's own namespace, then the older one, then by name."""
    number: int
    """The place of the profile type in the object."""
    scrape: Scrape

    @property
    def order(self) -> tuple[Rank, int]:
        """Total: neither the order of objects nor that of pods has an effect, so a restart decides as before."""
        return self.rank, self.number

    @property
    def contest(self) -> str:
        """What only one can have: this very scrape, or the one CPU profiler of a process.

        One is enough: scrapes of one key have one address, and all of them use the profiler, or none.
        """
        scrape = self.scrape
        return f"cpu {scrape.target.address}" if scrape.profile.uses_cpu_profiler else scrape.key


def claims(wanted: Wanted, target: Target, number: int, body_limit: int) -> Iterator[Claim]:
    """What the object wants of a target, which is its `number`-th of this pod or of its static ones.

    `body_limit` in bytes is the operator's cap: the lower one wins.
    """
    spec, static = wanted.spec, target.pod_uid == STATIC
    rank = (target.namespace != wanted.ref.namespace, wanted.created, wanted.ref, static, target.namespace, target.pod, number)
    for place, profile in enumerate(target.profiles):
        scrape = Scrape(
            source=wanted.ref,
            target=target,
            profile=profile,
            interval=spec.interval_seconds,
            timeout=spec.timeout_seconds + (profile.seconds or 0),
            body_limit=min(body_limit, spec.body_limit(body_limit)),
            params=target.params,
            follow_redirects=spec.follow_redirects,
            access=wanted.access,
            forward_to=spec.writes(wanted.ref.namespace),
        )
        yield Claim(rank, place, scrape)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A scrape that is left to another one with the better claim."""

    scrape: Scrape
    winner: Scrape

    @property
    def message(self) -> str:
        mine, theirs = self.scrape, self.winner
        where = mine.target.pod or mine.target.address
        if mine.key == theirs.key:
            return f"{mine.profile.type} of {where} is scraped by {theirs.source}"
        return (
            f"{mine.profile.type} of {where} would run beside {theirs.profile.type} of {theirs.source}: "
            "a process takes one CPU profile at a time"
        )
