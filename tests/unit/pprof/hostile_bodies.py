"""Bodies that are small in bytes and large in everything else: what a hostile target would send.

Each function fills about `size` bytes.  A profile of one sample type is broken only where
its name says so; the others hold to the end of all checks, which is what costs most.
"""

from __future__ import annotations

from collections.abc import Callable

from pprof_builder import field, varint

STRINGS = (b"", b"contentions", b"count", b"delay", b"nanoseconds", b"k")
"""Indexes 1 to 5 are used below."""
HEADER = field(1, b"\x08\x01\x10\x02") + b"".join(field(6, text) for text in STRINGS)
"""One cumulative sample type and the string table."""
PLACE = field(5, b"\x08\x01\x10\x05") + field(4, b"\x08\x01\x18\x01\x22\x02\x08\x01")
"""Function 1, and location 1 at address 1 in it."""
ENTRY = 65_000
"""Bytes of the largest sample or location that passes."""
SAMPLE = field(2, b"\x10\x01")
"""The smallest valid sample: a value, no stack."""


def filled(part: bytes, size: int) -> bytes:
    """`part` over and over."""
    return part * (size // len(part))


def counted(make: Callable[[int], bytes], size: int) -> bytes:
    """Parts that differ by a number, from 1 on."""
    parts, left, number = [], size, 0
    while left > 0:
        number += 1
        parts.append(make(number))
        left -= len(parts[-1])
    return b"".join(parts)


def empty_samples_broken(size: int) -> bytes:
    return HEADER + filled(b"\x12\0", size)


def same_samples(size: int) -> bytes:
    return HEADER + filled(SAMPLE, size)


def different_samples(size: int) -> bytes:
    """Told apart by a label that is a number."""
    return HEADER + counted(lambda n: field(2, b"\x10\x01" + field(3, b"\x08\x05\x18" + varint(n))), size)


def samples_with_stacks(size: int) -> bytes:
    """Three addresses of a thousand each, all different."""
    places = b"".join(field(4, b"\x08" + varint(n) + b"\x18" + varint(n)) for n in range(1, 1001))

    def sample(n: int) -> bytes:
        ids = varint(n % 1000 + 1) + varint(n // 1000 % 1000 + 1) + varint(n // 10**6 + 1)
        return field(2, field(1, ids) + b"\x10\x01")

    return HEADER + places + counted(sample, size)


def empty_labels_in_a_sample(size: int) -> bytes:
    return HEADER + field(2, b"\x10\x01" + filled(b"\x1a\0", size))


def labels_in_a_sample(size: int) -> bytes:
    return HEADER + field(2, b"\x10\x01" + counted(lambda n: field(3, b"\x08\x05\x18" + varint(n)), size))


def thousands_of_labels_in_samples(size: int) -> bytes:
    labels = b"".join(field(3, b"\x08\x05\x18" + varint(n)) for n in range(10_000))
    return HEADER + filled(field(2, b"\x10\x01" + labels), size)


def labels_with_a_long_key(size: int) -> bytes:
    """A string of a third of the body, in the key of all labels of all samples."""
    long = field(6, b"x" * (size // 3))
    return HEADER + long + counted(lambda n: field(2, b"\x10\x01" + field(3, b"\x08\x06\x18" + varint(n))), size - len(long))


def same_label_with_a_long_key(size: int) -> bytes:
    """As one label in all samples."""
    long = field(6, b"x" * (size // 3))
    return HEADER + long + filled(field(2, b"\x10\x01" + field(3, b"\x08\x06")), size - len(long))


def lines_in_a_location(size: int) -> bytes:
    return (
        HEADER + field(5, b"\x08\x01") + field(4, b"\x08\x01" + filled(b"\x22\x02\x08\x01", size)) + field(2, b"\x08\x01\x10\x01")
    )


def empty_lines_broken(size: int) -> bytes:
    return HEADER + field(4, b"\x08\x01" + filled(b"\x22\0", size))


def lines_with_a_long_name(size: int) -> bytes:
    """A function whose name is a third of the body, in locations without address."""
    long = field(6, b"x" * (size // 3))
    places = counted(lambda n: field(4, b"\x08" + varint(n) + b"\x22\x02\x08\x01"), size - len(long))
    return HEADER + long + field(5, b"\x08\x01\x10\x06") + places + field(2, b"\x08\x01\x10\x01")


def stack_of_one(size: int) -> bytes:
    """One sample, one byte per location."""
    return HEADER + PLACE + field(2, field(1, filled(b"\x01", size)) + b"\x10\x01")


def stack_unpacked(size: int) -> bytes:
    return HEADER + PLACE + field(2, filled(b"\x08\x01", size) + b"\x10\x01")


def stack_without_addresses(size: int) -> bytes:
    place = field(5, b"\x08\x01") + field(4, b"\x08\x01\x22\x02\x08\x01")
    return HEADER + place + field(2, field(1, filled(b"\x01", size)) + b"\x10\x01")


def unknown_stacks_broken(size: int) -> bytes:
    """Ids that no location has, all different."""
    return HEADER + field(2, field(1, counted(varint, size)) + b"\x10\x01")


def stacks_over_and_over(size: int) -> bytes:
    """Sixteen samples of long stacks."""
    sample = field(2, field(1, filled(b"\x01", size // 16)) + b"\x10\x01")
    return HEADER + PLACE + sample * 16


def values_in_a_sample_broken(size: int) -> bytes:
    return HEADER + field(2, field(2, bytes(size)))


def sample_types(size: int) -> bytes:
    """As many values as types."""
    return b"\x32\0" + filled(b"\x0a\0", size * 2 // 3) + field(2, field(2, bytes(1 + size * 2 // 3 // 2)[1:]))


def strings(size: int) -> bytes:
    return HEADER + filled(b"\x32\0", size)


def different_strings(size: int) -> bytes:
    return HEADER + counted(lambda n: field(6, varint(n)), size)


def comments(size: int) -> bytes:
    return HEADER + field(13, bytes(size))


def comments_unpacked(size: int) -> bytes:
    return HEADER + filled(b"\x68\0", size)


def unknown_comments_broken(size: int) -> bytes:
    """Indexes beyond the string table, all different."""
    return HEADER + field(13, counted(varint, size))


def empty_mappings_broken(size: int) -> bytes:
    return HEADER + filled(b"\x1a\0", size)


def mappings(size: int) -> bytes:
    return HEADER + counted(lambda n: field(3, b"\x08" + varint(n)), size)


def locations(size: int) -> bytes:
    return HEADER + counted(lambda n: field(4, b"\x08" + varint(n) + b"\x18\x01"), size)


def locations_without_address(size: int) -> bytes:
    return HEADER + counted(lambda n: field(4, b"\x08" + varint(n)), size)


def functions(size: int) -> bytes:
    return HEADER + counted(lambda n: field(5, b"\x08" + varint(n)), size)


def used_functions(size: int) -> bytes:
    """Each with a location and a sample of its own."""

    def part(n: int) -> bytes:
        number = varint(n)
        place = field(4, b"\x08" + number + field(4, b"\x08" + number))
        return field(5, b"\x08" + number) + place + field(2, b"\x08" + number + b"\x10\x01")

    return HEADER + counted(part, size)


def functions_without_names_broken(size: int) -> bytes:
    """Three string indexes beyond the table in each, all different."""

    def function(n: int) -> bytes:
        return field(5, b"\x08" + varint(n) + b"".join(bytes([8 * f]) + varint(3 * n + f) for f in (2, 3, 4)))

    return HEADER + counted(function, size)


def unknown_fields(size: int) -> bytes:
    return HEADER + SAMPLE + filled(b"\xf8\x01\0", size)


def unknown_fields_in_samples(size: int) -> bytes:
    return HEADER + field(2, b"\x10\x01" + filled(b"\x78\0", size))


def times(size: int) -> bytes:
    """A field that is there only once, over and over."""
    return HEADER + SAMPLE + filled(b"\x48\x01", size)


def period_types(size: int) -> bytes:
    return HEADER + SAMPLE + filled(b"\x5a\x02\x08\x01", size)


def zeros_in_a_label(size: int) -> bytes:
    return HEADER + field(2, b"\x10\x01" + field(3, filled(b"\x08\x05", size)))


def long_string(size: int) -> bytes:
    return HEADER + SAMPLE + field(6, bytes(size))


def samples(inside: bytes, size: int) -> bytes:
    """Samples full of this, none of them above the limit for one."""
    return filled(field(2, inside + b"\x10\x01"), size)


def many_empty_labels(size: int) -> bytes:
    return HEADER + samples(filled(b"\x1a\0", ENTRY), size)


def many_labels(size: int) -> bytes:
    """All different."""
    return HEADER + counted(
        lambda n: field(2, b"\x10\x01" + b"".join(field(3, b"\x08\x05\x18" + varint(7000 * n + i)) for i in range(7000))), size
    )


def many_lines(size: int) -> bytes:
    lines = filled(b"\x22\x02\x08\x01", ENTRY)
    return HEADER + field(5, b"\x08\x01") + SAMPLE + counted(lambda n: field(4, b"\x08" + varint(n) + lines), size)


def many_stacks(size: int) -> bytes:
    return HEADER + PLACE + samples(field(1, filled(b"\x01", ENTRY)), size)


def many_stacks_without_addresses(size: int) -> bytes:
    place = field(5, b"\x08\x01") + field(4, b"\x08\x01\x22\x02\x08\x01")
    return HEADER + place + samples(field(1, filled(b"\x01", ENTRY)), size)


def many_stacks_unpacked(size: int) -> bytes:
    return HEADER + PLACE + samples(filled(b"\x08\x01", ENTRY), size)


def many_unknown_stacks_broken(size: int) -> bytes:
    return HEADER + counted(
        lambda n: field(2, b"\x10\x01" + field(1, b"".join(varint(2**21 + 15000 * n + i) for i in range(15000)))), size
    )


def labels_with_a_long_key_each(size: int) -> bytes:
    """As `labels_with_a_long_key`, the labels in few samples."""
    long = field(6, b"x" * (size // 3))
    return (
        HEADER
        + long
        + counted(
            lambda n: field(2, b"\x10\x01" + b"".join(field(3, b"\x08\x06\x18" + varint(7000 * n + i)) for i in range(7000))),
            size - len(long),
        )
    )


BODIES: dict[str, Callable[[int], bytes]] = {
    made.__name__: made
    for made in (
        empty_samples_broken,
        same_samples,
        different_samples,
        samples_with_stacks,
        empty_labels_in_a_sample,
        labels_in_a_sample,
        thousands_of_labels_in_samples,
        labels_with_a_long_key,
        same_label_with_a_long_key,
        lines_in_a_location,
        empty_lines_broken,
        lines_with_a_long_name,
        stack_of_one,
        stack_unpacked,
        stack_without_addresses,
        unknown_stacks_broken,
        stacks_over_and_over,
        values_in_a_sample_broken,
        sample_types,
        strings,
        different_strings,
        comments,
        comments_unpacked,
        unknown_comments_broken,
        empty_mappings_broken,
        mappings,
        locations,
        locations_without_address,
        functions,
        used_functions,
        functions_without_names_broken,
        unknown_fields,
        unknown_fields_in_samples,
        times,
        period_types,
        zeros_in_a_label,
        long_string,
        many_empty_labels,
        many_labels,
        many_lines,
        many_stacks,
        many_stacks_without_addresses,
        many_stacks_unpacked,
        many_unknown_stacks_broken,
        labels_with_a_long_key_each,
    )
}
