"""Whether a profile is worth parsing: what it would take in memory and time, told before it is parsed.

A size in bytes says too little.  16 MiB of protobuf can hold four million samples or eight
million lines: parsing took up to 1.2 GB, taking the difference 2.5 GB or minutes, and no
other thread ran for seconds.  So the fields are counted first, in bytecode, with
which other threads go on, and counting stops where the budget ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyroscope_operator.errors import ProfileError

MAX_SAMPLES = 50_000
"""The largest profile seen has 17,655 and the server takes 16,000 by default."""

MAX_FIELDS = 1_000_000
"""Twice those of a Go heap profile with 17,655 samples. One takes about 100 bytes once it is parsed."""

MAX_ENTRY_BYTES = 64 * 1024
"""One sample with its stack and labels, or one location with its lines.

What is done for one of them (to sort labels, to hash a stack) is done in one go, so no
other thread runs meanwhile.  Go's stacks have up to 128 locations of 1 to 3 bytes.
"""

UNCOUNTED_BYTES = 256 * 1024
"""Profiles up to this size are not counted, for they cannot do harm: 30 MB and half a second at most."""

_BYTES_PER_FIELD = 10
"""So many bytes within a sample count as one more field: packed numbers take 8 to 16 bytes each once they are parsed."""

_FIELDS_OF_A_MAPPING = 10
"""Mappings are the largest messages, all of them are copied into every difference, and a process has some hundreds."""

_SAMPLE, _MAPPING, _LOCATION, _COMMENT = (number << 3 | 2 for number in (2, 3, 4, 13))
"""Tags in the message Profile whose contents count."""
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


class _Broken(Exception):
    """This is no protobuf."""


def within_budget(raw: bytes) -> bool:
    """True if `raw` may be parsed; False if it is no protobuf, or has groups, which no profile has.

    Takes 0.2 s for the largest number of fields.  What is within messages other than
    samples and locations is not looked at: there is nothing in there that is repeated.

    Raises `ProfileError` TooComplex.
    """
    if len(raw) <= UNCOUNTED_BYTES:
        return True
    try:
        _count(raw)
    except (_Broken, IndexError):  # IndexError: it ends within a field
        return False
    return True


def _count(raw: bytes) -> None:
    samples, room = MAX_SAMPLES, MAX_FIELDS
    for tag, start, end in _fields(raw, 0, len(raw)):
        room -= 1
        if tag == _SAMPLE:
            samples -= 1
            room -= _count_entry(raw, start, end) + (end - start) // _BYTES_PER_FIELD
        elif tag == _LOCATION:
            room -= _count_entry(raw, start, end)
        elif tag == _MAPPING:
            room -= _FIELDS_OF_A_MAPPING
        elif tag == _COMMENT:
            room -= end - start  # packed numbers
        if samples < 0:
            raise _too_complex(f"more than {MAX_SAMPLES} samples")
        if room < 0:
            raise _too_complex(f"more than {MAX_FIELDS} fields")


def _count_entry(raw: bytes, start: int, end: int) -> int:
    """The fields of a sample or location."""
    if end - start > MAX_ENTRY_BYTES:
        raise _too_complex(f"a sample or location of more than {MAX_ENTRY_BYTES} bytes")
    return sum(1 for _ in _fields(raw, start, end))


def _fields(raw: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Tag, start and end of the content of each field of a message that goes from `position` to `end`."""
    while position < end:
        tag = raw[position]
        position += 1
        if tag > 0x7F:
            tag, position = _varint(raw, position - 1)
        start, kind = position, tag & 7
        if kind == _DELIMITED:
            length = raw[position]
            start += 1
            if length > 0x7F:
                length, start = _varint(raw, position)
            position = start + length
        elif kind == _VARINT:
            while raw[position] > 0x7F:
                position += 1
                if position - start == _MAX_VARINT_BYTES:
                    raise _Broken
            position += 1
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise _Broken
        if position > end:
            raise _Broken
        yield tag, start, position


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    """The number at `position` and the position behind it."""
    number = 0
    for index, byte in enumerate(raw[position : position + _MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * index)
        if byte <= 0x7F:
            return number, position + index + 1
    raise _Broken


def _too_complex(what: str) -> ProfileError:
    return ProfileError("TooComplex", f"the profile has {what}")
