"""Whether bytes are a profile that everybody behind us can read.

Strict where google/pprof's `CheckValid` is strict, and about dangling references, which
the server would silently repair by dropping samples.  Passes over plain sets are made
instead of a look at every reference, as attribute access is what costs time here; no set
grows beyond what the profile really has, however many references do not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from google.protobuf.message import DecodeError

from pyroscope_operator._proto.profile_pb2 import Function, Location, Mapping, Profile
from pyroscope_operator.errors import ProfileError
from pyroscope_operator.pprof.budget import within_budget
from pyroscope_operator.pprof.gunzip import GZIP_MAGIC

_SNIFFED_BYTES = 512
_NOT_IN_TEXT = bytes(set(range(0x20)) - set(b"\t\n\f\r\x1b")) + b"\x7f"


def parse(raw: bytes) -> Profile:
    """The profile in `raw` (protobuf, not gzip), with all its references checked.

    What holds for the result: `string_table[0]` is empty; at least one sample type; as
    many values per sample as sample types; ids of mappings, locations and functions are
    unique and not 0; every location, function and (if not 0) mapping id and every string
    index that is used exists.

    Raises `ProfileError`: EmptyBody, NotAProfile or TooComplex; the message never quotes the body.
    """
    if not raw:
        raise ProfileError("EmptyBody", "the target sent an empty body")
    if not within_budget(raw):
        raise _not_a_profile(raw, "the protobuf is broken")
    profile = Profile()
    try:
        profile.ParseFromString(raw)
    except DecodeError as error:
        raise _not_a_profile(raw, "the protobuf is broken") from error
    problem = _problem(profile)
    if problem:
        raise _not_a_profile(raw, problem)
    return profile


def _problem(profile: Profile) -> str:
    """What is wrong first, or an empty string. Cheap checks come first."""
    checks: tuple[Callable[[Profile], str], ...] = (_problem_of_values, _problem_of_ids, _problem_of_strings)
    return next(filter(None, (check(profile) for check in checks)), "")


def _problem_of_values(profile: Profile) -> str:
    columns = len(profile.sample_type)
    if not columns:
        return "there are no sample types"
    if not profile.string_table or profile.string_table[0]:
        return "the string table does not start with the empty string"
    if any(len(sample.value) != columns for sample in profile.sample):
        return "a sample has not one value per sample type"
    return ""


def _problem_of_ids(profile: Profile) -> str:
    mappings, locations, functions = _ids(profile.mapping), _ids(profile.location), _ids(profile.function)
    if mappings is None or locations is None or functions is None:
        return "an id of a mapping, location or function is 0 or used twice"
    if not all(locations.issuperset(sample.location_id) for sample in profile.sample):
        return "a sample names an unknown location"
    if not functions.issuperset(line.function_id for location in profile.location for line in location.line):
        return "a location names an unknown function"
    mappings.add(0)
    if not mappings.issuperset(location.mapping_id for location in profile.location):
        return "a location names an unknown mapping"
    return ""


def _ids(entries: Sequence[Mapping] | Sequence[Location] | Sequence[Function]) -> set[int] | None:
    """The ids of `entries`; None if one is 0 or occurs twice."""
    ids = {entry.id for entry in entries}
    return ids if len(ids) == len(entries) and 0 not in ids else None


def _problem_of_strings(profile: Profile) -> str:
    count, used = len(profile.string_table), set[int]()
    for group in _string_indexes(profile):
        used.update(group)
        if len(used) > count:
            break
    if min(used) < 0 or max(used) >= count:
        return "a string index is out of range"
    return ""


def _string_indexes(profile: Profile) -> Iterator[Sequence[int]]:
    """All string indexes of the profile, in groups; at least one (0 where a field is absent)."""
    yield profile.drop_frames, profile.keep_frames, profile.default_sample_type, profile.doc_url
    yield profile.comment
    for value_type in (*profile.sample_type, profile.period_type):
        yield value_type.type, value_type.unit
    for mapping in profile.mapping:
        yield mapping.filename, mapping.build_id
    for function in profile.function:
        yield function.name, function.system_name, function.filename
    for sample in profile.sample:
        for label in sample.label:
            yield label.key, label.str, label.num_unit


def _not_a_profile(raw: bytes, problem: str) -> ProfileError:
    return ProfileError("NotAProfile", f"the body is no pprof profile: {_looks_like(raw) or problem}")


def _looks_like(raw: bytes) -> str:
    """What a body that is no profile seems to be instead; empty if it is binary."""
    if raw.startswith(GZIP_MAGIC):
        return "it is gzip within gzip"
    head = raw[:_SNIFFED_BYTES]
    if len(head.translate(None, _NOT_IN_TEXT)) != len(head):
        return ""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"<":
        return "it looks like HTML or XML"
    if start in {b"{", b"["}:
        return "it looks like JSON"
    return "it looks like plain text (a path with debug=1 serves text)"
