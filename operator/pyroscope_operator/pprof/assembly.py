"""A new profile made of some samples of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pyroscope_operator._proto.profile_pb2 import Profile, Sample, ValueType


class Row(NamedTuple):
    """A sample and the values that take the place of its own."""

    sample: Sample
    values: list[int]


def assemble(source: Profile, rows: Iterable[Row], duration_nanos: int) -> Profile:
    """A profile of `rows`, whose samples belong to `source`, a checked profile.

    Locations, functions and strings that are no longer used are left out; ids stay.  All
    mappings and everything said about the profile as a whole are kept.  Fields that our
    proto does not know are dropped, since they might hold indexes of the old string table.
    """
    strings = _Strings(source.string_table)
    result = Profile(time_nanos=source.time_nanos, duration_nanos=duration_nanos, period=source.period)
    _copy_header(source, result, strings)
    _copy_mappings(source, result, strings)
    _add_samples(rows, result, strings)
    used = {location_id for sample in result.sample for location_id in sample.location_id}
    result.location.extend(location for location in source.location if location.id in used)
    _copy_functions(source, result, strings)
    result.string_table.extend(strings.table)
    result.DiscardUnknownFields()
    return result


class _Strings:
    """The new string table, filled in the order of use; "" stays at 0."""

    def __init__(self, old: Sequence[bytes]) -> None:
        self._old = old
        self._moved = {0: 0}
        self.table = [b""]

    def move(self, index: int) -> int:
        """The new index of the string that had `index` in the old table."""
        moved = self._moved.get(index)
        if moved is None:
            moved = self._moved[index] = len(self.table)
            self.table.append(self._old[index])
        return moved


def _copy_header(source: Profile, result: Profile, strings: _Strings) -> None:
    for value_type in source.sample_type:
        result.sample_type.append(_moved_type(value_type, strings))
    # Always set, even if empty: the server dereferences it.
    result.period_type.CopyFrom(_moved_type(source.period_type, strings))
    result.comment.extend(map(strings.move, source.comment))
    result.drop_frames = strings.move(source.drop_frames)
    result.keep_frames = strings.move(source.keep_frames)
    result.default_sample_type = strings.move(source.default_sample_type)
    result.doc_url = strings.move(source.doc_url)


def _moved_type(value_type: ValueType, strings: _Strings) -> ValueType:
    return ValueType(type=strings.move(value_type.type), unit=strings.move(value_type.unit))


def _copy_mappings(source: Profile, result: Profile, strings: _Strings) -> None:
    result.mapping.extend(source.mapping)
    for mapping in result.mapping:
        mapping.filename = strings.move(mapping.filename)
        mapping.build_id = strings.move(mapping.build_id)


def _add_samples(rows: Iterable[Row], result: Profile, strings: _Strings) -> None:
    for sample, values in rows:
        added = result.sample.add(location_id=sample.location_id, value=values)
        for label in sample.label:
            added.label.add(
                key=strings.move(label.key),
                str=strings.move(label.str),
                num=label.num,
                num_unit=strings.move(label.num_unit),
            )


def _copy_functions(source: Profile, result: Profile, strings: _Strings) -> None:
    """Copy the functions that the locations of `result` name."""
    used = {line.function_id for location in result.location for line in location.line}
    result.function.extend(function for function in source.function if function.id in used)
    for function in result.function:
        function.name = strings.move(function.name)
        function.system_name = strings.move(function.system_name)
        function.filename = strings.move(function.filename)
