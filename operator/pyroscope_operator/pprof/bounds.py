"""Whether a profile is worth parsing: what it would take in memory and time, told from the outside.

A size in bytes says too little.  16 MiB of protobuf can hold four million samples, or eight
million sample types of two bytes each: parsing makes over 400 MB of them without letting
any other thread run for a quarter of a second, and looking at them took up to 90 seconds.
"""

from __future__ import annotations

from typing import NoReturn

from pyroscope_operator.errors import ProfileError

MAX_SAMPLES = 100_000
"""The largest profile seen has 17,655 and the server takes 16,000 by default."""

MAX_FIELDS = 1_000_000
"""Three times those of a Go heap profile with 16,000 samples; a field takes about 55 bytes once it is parsed."""

MAX_ENTRY_BYTES = 256 * 1024
"""One sample with its stack and labels, or one location with its lines: 10,000 labels fit."""

_SMALL = 256 * 1024
"""What is below can't do harm."""
_BYTES_PER_FIELD = 8
"""Packed numbers of a sample: so many bytes take the memory of one field."""

_SAMPLE, _LOCATION, _COMMENTS = 0x12, 0x22, 0x6A
"""Tags of the message Profile: the entries that have entries of their own, and packed numbers."""


def check_bounds(raw: bytes) -> None:
    """Refuse what would be too expensive to parse, before it is parsed.

    Costs 0.2 µs per field up to `MAX_FIELDS`, in bytecode, so other threads go on.  Says
    nothing about protobuf that is broken: parsing does.

    Raises `ProfileError` BodyTooLarge.
    """
    if len(raw) > _SMALL:
        try:
            _walk(raw)
        except IndexError:
            return  # truncated


def _walk(raw: bytes) -> None:
    position, end, room, samples = 0, len(raw), MAX_FIELDS, MAX_SAMPLES
    while position < end:
        tag, length, position = _field(raw, position)
        room -= 1
        if tag in {_SAMPLE, _LOCATION}:
            samples -= tag == _SAMPLE
            if length > MAX_ENTRY_BYTES:
                _refuse(f"a sample or location of more than {MAX_ENTRY_BYTES} bytes")
            room = _walk_entry(raw, position, position + length, room)
        elif tag == _COMMENTS:
            room -= length // _BYTES_PER_FIELD
        if samples < 0:
            _refuse(f"more than {MAX_SAMPLES} samples")
        if room < 0:
            _refuse(f"more than {MAX_FIELDS} fields")
        position += length


def _walk_entry(raw: bytes, position: int, end: int, room: int) -> int:
    """The room that a sample or location leaves; what is in its labels or lines counts by size."""
    while position < end and room >= 0:
        _, length, position = _field(raw, position)
        room -= 1 + length // _BYTES_PER_FIELD
        position += length
    return room


def _field(raw: bytes, position: int) -> tuple[int, int, int]:
    """Tag, length and position of the content of the field at `position`; a number is all in front, with length 0."""
    tag = raw[position]
    if tag > 0x7F:
        tag, position = _varint(raw, position)
    else:
        position += 1
    match tag & 7:
        case 2:
            length = raw[position]
            if length > 0x7F:
                length, position = _varint(raw, position)
            else:
                position += 1
            return tag, length, position
        case 0:
            while raw[position] > 0x7F:
                position += 1
            return tag, 0, position + 1
        case 1:
            return tag, 8, position
        case 5:
            return tag, 4, position
    return tag, 0, position  # groups, which are obsolete, and what is no protobuf


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, of which no more than 10 bytes count, and the position behind it."""
    number = 0
    for index, byte in enumerate(raw[position : position + 10]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, position + index + 1
    raise IndexError(position)


def _refuse(what: str) -> NoReturn:
    raise ProfileError("BodyTooLarge", f"the profile has {what}")
