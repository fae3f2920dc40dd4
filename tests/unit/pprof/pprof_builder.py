"""Profiles from plain values and back, written without the code under test."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from pyroscope_operator._proto.profile_pb2 import Profile

ALLOCS = (("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes"))
MUTEX = (("contentions", "count"), ("delay", "nanoseconds"))

Label = tuple[str, str, int, str]
"""Key, string, number, unit."""
Stack = tuple[int, ...]
"""Addresses from the leaf on; a negative one is a location without address, told by its line −address."""
Key = tuple[Stack, tuple[Label, ...]]
Samples = Sequence[tuple[Stack, Sequence[int]] | tuple[Stack, Sequence[int], Sequence[Label]]]

LIMIT = 1 << 24
SECOND = 10**9
START = 1_700_000_000 * SECOND


class Builder:
    """Builds one profile. With `rng` ids, string indexes and the order of tables are shuffled."""

    def __init__(self, types: Sequence[tuple[str, str]] = ALLOCS, rng: random.Random | None = None) -> None:
        self.profile = Profile(time_nanos=START, period=512 * 1024)
        self._rng = rng
        self._ids = iter(rng.sample(range(1, 1 << 40), 10_000) if rng else range(1, 10_000))
        self._strings = {"": 0}
        self._locations: dict[int, int] = {}
        if rng:
            for noise in rng.sample(range(1000), 5):
                self.string(f"noise{noise}")
        for type_, unit in types:
            self.profile.sample_type.add(type=self.string(type_), unit=self.string(unit))
        self.profile.period_type.type = self.string("space")
        self.profile.period_type.unit = self.string("bytes")
        self._mapping = next(self._ids)
        self.profile.mapping.add(id=self._mapping, memory_start=0x400000, filename=self.string("/bin/app"))

    def string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def location(self, address: int) -> int:
        if address not in self._locations:
            self._locations[address] = location_id = next(self._ids)
            function_id, name = next(self._ids), self.string(f"main.f{abs(address)}")
            self.profile.function.add(id=function_id, name=name, system_name=name, filename=self.string("/src/main.go"))
            location = self.profile.location.add(id=location_id, mapping_id=self._mapping, address=max(address, 0))
            location.line.add(function_id=function_id, line=abs(address) % 2**63)
        return self._locations[address]

    def sample(self, stack: Stack, values: Sequence[int], labels: Sequence[Label] = ()) -> None:
        sample = self.profile.sample.add(location_id=[self.location(address) for address in stack], value=values)
        for key, text, num, unit in labels:
            sample.label.add(key=self.string(key), str=self.string(text), num=num, num_unit=self.string(unit))

    def done(self) -> Profile:
        self.profile.string_table.extend(text.encode() for text in self._strings)
        if self._rng:
            for table in (self.profile.location, self.profile.function):
                entries = list(table)
                self._rng.shuffle(entries)
                del table[:]
                table.extend(entries)
        return self.profile


def build(
    samples: Samples,
    types: Sequence[tuple[str, str]] = ALLOCS,
    *,
    time: int = START,
    rng: random.Random | None = None,
) -> Profile:
    builder = Builder(types, rng)
    for sample in samples:
        builder.sample(*sample)
    profile = builder.done()
    profile.time_nanos = time
    return profile


def raw(
    samples: Samples, types: Sequence[tuple[str, str]] = ALLOCS, *, time: int = START, rng: random.Random | None = None
) -> bytes:
    return build(samples, types, time=time, rng=rng).SerializeToString()


def texts(profile: Profile) -> list[str]:
    """The string table as text."""
    return [text.decode() for text in profile.string_table]


def read(data: bytes | Profile) -> dict[Key, list[int]]:
    """Values by stack and sorted labels; fails if a key occurs twice or a reference does not hold."""
    profile = data if isinstance(data, Profile) else Profile.FromString(data)
    strings = texts(profile)
    addresses = {location.id: location.address or -location.line[0].line for location in profile.location}
    result: dict[Key, list[int]] = {}
    for sample in profile.sample:
        labels = tuple(
            sorted((strings[label.key], strings[label.str], label.num, strings[label.num_unit]) for label in sample.label)
        )
        key = (tuple(addresses[location_id] for location_id in sample.location_id), labels)
        assert key not in result
        result[key] = list(sample.value)
    return result


def samples_of(state: Mapping[Key, Sequence[int]]) -> Samples:
    return [(stack, values, labels) for (stack, labels), values in state.items()]


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field on the wire."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def numbers(number: int, values: Iterable[int], *, packed: bool) -> bytes:
    """A repeated integer field on the wire."""
    if packed:
        return field(number, b"".join(map(varint, values)))
    return b"".join(varint(number << 3) + varint(value) for value in values)
