"""What all profiles of a series have in common, worked out once for each endpoint."""

from __future__ import annotations

from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.push.batch import Entry, encode, encode_labels, with_external
from pyroscope_operator.push.shape import Limits, Refusal, refused_labels, refused_profile

KEEP = 600.0
"""Seconds after its last profile for which a series is remembered, at least; twice that at most."""
MAX_SERIES = 20_000
"""Series that are remembered, at most twice that: a kilobyte each."""


class Encoder:
    """Makes entries for one endpoint, or says why that is pointless.

    Series are remembered in two generations.  Who is used moves to the young one, so what
    is no longer scraped goes with the old one.
    """

    def __init__(self, external: Labels, limits: Limits) -> None:
        """`external` labels are added as `with_external` says."""
        self.external = external
        self._limits = limits
        self._young: dict[Labels, bytes | Refusal] = {}
        self._old: dict[Labels, bytes | Refusal] = {}
        self._turned_at = 0.0

    def __len__(self) -> int:
        """Series that are remembered."""
        return len(self._young) + len(self._old)

    def encode(self, profile: Profile, now: float) -> Entry | Refusal:
        """`profile` as an entry with a new id, queued at the monotonic time `now`; or the first limit that it exceeds."""
        if refused := refused_profile(profile, self._limits):
            return refused
        known = self._young.get(profile.labels) or self._remember(profile.labels, now)
        return known if isinstance(known, Refusal) else encode(profile, known, now)

    def _remember(self, labels: Labels, now: float) -> bytes | Refusal:
        if now - self._turned_at > KEEP or len(self._young) >= MAX_SERIES:
            self._old, self._young, self._turned_at = self._young, {}, now
        self._young[labels] = known = self._old.pop(labels, None) or self._encode_labels(labels)
        return known

    def _encode_labels(self, labels: Labels) -> bytes | Refusal:
        together = with_external(labels, self.external)
        return refused_labels(together, self._limits) or encode_labels(together)
