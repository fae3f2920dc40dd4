"""Targets whose series have too many labels."""

from __future__ import annotations

from pyroscope_operator.discovery.targets import Drop, Found
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Target


def within(limit: int | None, found: Found) -> Found:
    """`found` without the targets that have a series with more labels than `limit`; they are dropped."""
    if limit is None:
        return found
    counted = [(target, labels_sent(target)) for target in found.targets]
    if all(count <= limit for _, count in counted):
        return found
    drops = tuple(_drop(target, count, limit) for target, count in counted if count > limit)
    return Found(tuple(target for target, count in counted if count <= limit), found.drops + drops)


def labels_sent(target: Target) -> int:
    """Labels of its series that has most: with `__name__`, and `__delta__` where it is sent; without those that a write adds."""
    return max((len(target.labels) + 1 + profile.is_delta_label for profile in target.profiles), default=0)


def _drop(target: Target, count: int, limit: int) -> Drop:
    message = (
        f"its series would have {count} labels, spec.labelLimit is {limit}: "
        "name fewer podTargetLabels, drop labels by a relabeling, or raise it"
    )
    return Drop(ObjectRef(target.namespace, target.pod or target.address), "LimitExceeded", message)
