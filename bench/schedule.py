"""Arrivals at the target server against the pinned schedule: slot n starts at offset + n · interval, in unix time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyroscope_operator.model.target import STATIC, Target
from pyroscope_operator.scrape.slots import Slots

_EARLY = 0.25
"""Part of the interval by which an arrival may come before its slot and still be that slot's."""


@dataclass(frozen=True)
class Series:
    """What was asked for of one path of one target."""

    offset: float
    interval: float
    at: Sequence[float]
    """Unix seconds, in order."""


@dataclass(frozen=True)
class Punctuality:
    """Lateness in seconds, of all slots that began in a window."""

    slots: int
    missed: int
    """Slots in which nothing came."""
    doubled: int
    """Arrivals in a slot that had one already."""
    p50: float
    p99: float
    longest: float
    earliest: float
    """The least; negative for one that came before its slot."""


def static(address: str) -> Target:
    """A static target, `host:port`, as far as its schedule goes."""
    return Target(pod_uid=STATIC, namespace="", pod="", container="", scheme="http", address=address)


def pinned(target: Target, interval: float) -> float:
    """Where slot 0 of a target begins, as the operator has it. `interval` is a multiple of the operator's ticks."""
    return Slots(interval, target.offset(interval)).start_of(0)


def punctuality(series: Iterable[Series], begin: float, end: float) -> Punctuality:
    """Of the slots that start in [begin, end). Arrivals up to half an interval after the end should be there, too."""
    late: list[float] = []
    slots = doubled = 0
    for one in series:
        first, beyond = (math.ceil((moment - one.offset) / one.interval) for moment in (begin, end))
        seen: set[int] = set()
        for at in one.at:
            slot, lateness = _slot(at, one)
            if first <= slot < beyond:
                doubled += slot in seen
                seen.add(slot)
                late.append(lateness)
        slots += beyond - first
    late.sort()
    return Punctuality(
        slots=slots,
        missed=slots - (len(late) - doubled),
        doubled=doubled,
        p50=quantile(late, 0.5),
        p99=quantile(late, 0.99),
        longest=late[-1] if late else 0.0,
        earliest=late[0] if late else 0.0,
    )


def _slot(at: float, series: Series) -> tuple[int, float]:
    """Number of the slot that an arrival is for, and how late it is."""
    since = at - series.offset
    slot = math.floor(since / series.interval + _EARLY)
    return slot, since - slot * series.interval


def quantile(ordered: Sequence[float], part: float) -> float:
    """The value that at least this part of them doesn't exceed; 0 without any."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else 0.0
