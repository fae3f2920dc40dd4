"""Pyroscope's limits on one profile, checked before it takes room in a queue.

A profile that the server would refuse must not travel in a batch: the answer to
such a batch doesn't tell which of its profiles failed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from pyroscope_operator.model.labels import NAME, Labels
from pyroscope_operator.model.profile import Profile

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_PROFILE_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@dataclass(frozen=True, slots=True)
class Limits:
    """The server's defaults (pkg/validation); lengths are bytes of UTF-8."""

    raw_bytes: int = 4 << 20
    samples: int = 16_000
    labels: int = 30
    label_name: int = 1024
    label_value: int = 2048


class Refusal(NamedTuple):
    """Why a profile is not worth sending: a CamelCase reason and a sentence."""

    reason: str
    message: str


def refused_profile(profile: Profile, limits: Limits) -> Refusal | None:
    """The first limit that `profile` exceeds, its labels apart."""
    if profile.raw_bytes > limits.raw_bytes:
        return Refusal("ProfileTooLarge", f"{profile.raw_bytes} bytes uncompressed, the limit is {limits.raw_bytes}")
    if profile.samples > limits.samples:
        return Refusal("TooManySamples", f"{profile.samples} samples, the limit is {limits.samples}")
    return None


def refused_labels(labels: Labels, limits: Limits) -> Refusal | None:
    """The first limit that the labels of a series exceed; they are those it would be sent with."""
    if len(labels) > limits.labels:
        return Refusal("TooManyLabels", f"{len(labels)} labels, the limit is {limits.labels}")
    if not _PROFILE_NAME.fullmatch(labels.get(NAME, "")) or "service_name" not in labels:
        return Refusal("InvalidLabels", "__name__ or service_name is missing or invalid")
    for name, value in labels.pairs:
        name_length, value_length = _length(name), _length(value)
        if name_length > limits.label_name:
            return Refusal("LabelNameTooLong", f"{name_length} bytes, the limit is {limits.label_name}")
        if value_length > limits.label_value:
            return Refusal("LabelValueTooLong", f"label {name[:64]}: {value_length} bytes, the limit is {limits.label_value}")
        if value_length < 0 or not LABEL_NAME.fullmatch(name):
            return Refusal("InvalidLabels", "a label's name has characters that are not allowed, or its value is no Unicode text")
    return None


def _length(text: str) -> int:
    """Bytes of UTF-8, or −1 if it can't be encoded (a lone surrogate)."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1
