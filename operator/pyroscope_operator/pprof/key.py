"""What makes two samples the same one: their stack and their labels."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct

from pyroscope_operator._proto.profile_pb2 import Function, Label, Location, Profile, Sample

KEY_BYTES = 16
"""128 bits: with 10^6 keys the chance of any collision is about 10^-27."""

_U32 = Struct("<I")
_U64 = Struct("<Q")
_LABEL_NUM = Struct("<q")
_LINE = Struct("<3q")
_SHORT_TEXT = 64
"""Bytes of a string up to which it stands for itself."""


class SampleKeys:
    """Makes keys that mean the same in every profile of one process.

    Ids and string indexes shift from scrape to scrape (Go prepends new buckets), so a key
    is made of content only: the addresses of the locations in order, and the labels in
    any order.  The mapping is left out.  A location without an address (profilers that
    only know symbols) is told by all that its lines say.

    Keys are hashed because a stack of 20 addresses as a tuple takes over four times the
    memory of a hash.  The hash is seeded, so that no target can make stacks that
    collide; its input is free of ambiguity (everything of variable size has its length in
    front).
    """

    def __init__(self, profile: Profile, seed: bytes) -> None:
        """`profile` has been checked; `seed` is at most 64 bytes and the same for all profiles to be compared."""
        self._seed = seed
        self._strings = profile.string_table
        self._long_texts: dict[int, bytes] = {}
        self._functions = _functions_without_address(profile)
        self._frames = {location.id: self._frame(location) for location in profile.location}
        self._labels: dict[tuple[int, int, int, int], bytes] = {}

    def of(self, sample: Sample) -> bytes:
        """The key of a sample of the profile, `KEY_BYTES` long."""
        ids = sample.location_id
        stack = b"".join(map(self._frames.__getitem__, ids))
        labels = b"".join(sorted(map(self._label, sample.label))) if sample.label else b""
        return self._hash((_U32.pack(len(ids)), stack, labels))

    def _frame(self, location: Location) -> bytes:
        """8 bytes of address, or 8 zero bytes and the hash of the lines."""
        frame = _U64.pack(location.address)
        if location.address:
            return frame
        return frame + self._hash(self._lines(location))

    def _lines(self, location: Location) -> Iterable[bytes]:
        for line in location.line:
            function = self._functions[line.function_id]
            yield _LINE.pack(line.line, line.column, function.start_line)
            yield from map(self._text, (function.name, function.system_name, function.filename))

    def _label(self, label: Label) -> bytes:
        indexes = (label.key, label.str, label.num, label.num_unit)
        found = self._labels.get(indexes)
        if found is None:
            key, text, unit = map(self._text, (label.key, label.str, label.num_unit))
            found = self._labels[indexes] = key + text + _LABEL_NUM.pack(label.num) + unit
        return found

    def _text(self, index: int) -> bytes:
        """The length of a string, and the string or, if it is long, its hash.

        A long string is read and hashed once, not for each label that has it: a hundred
        thousand labels with a string of 10 MB would be 1 TB to hash.
        """
        found = self._long_texts.get(index)
        if found is None:
            text = self._strings[index]
            found = _U32.pack(len(text)) + text
            if len(text) > _SHORT_TEXT:
                found = self._long_texts[index] = _U32.pack(len(text)) + self._hash((text,))
        return found

    def _hash(self, parts: Iterable[bytes]) -> bytes:
        return blake2b(b"".join(parts), digest_size=KEY_BYTES, key=self._seed).digest()


def _functions_without_address(profile: Profile) -> dict[int, Function]:
    """The functions, by id, of the locations that have no address: no others are needed."""
    used = {line.function_id for location in profile.location if not location.address for line in location.line}
    return {function.id: function for function in profile.function if function.id in used}
