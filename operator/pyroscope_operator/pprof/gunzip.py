"""Gzip of profile bodies, undone within a limit and made anew."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from functools import partial

from pyroscope_operator.errors import ProfileError

_pack: Callable[[bytes], bytes]
try:
    from isal import igzip_lib
except ImportError:  # there are wheels for x86_64 and aarch64 only
    _pack = partial(gzip.compress, compresslevel=1, mtime=0)
else:
    _pack = partial(igzip_lib.compress, level=1, flag=igzip_lib.COMP_GZIP)

GZIP_MAGIC = b"\x1f\x8b"

_GZIP_WBITS = 16 + zlib.MAX_WBITS
_CHUNK_BYTES = 128 * 1024
# bgzip writes a member per 64 kB; a bound is needed because an empty member costs 20 bytes and a new decompressor.
_MAX_MEMBERS = 1024


def decompress(body: bytes, limit: int) -> bytes:
    """The raw protobuf of `body`, which may be gzip (of several members too) or raw already.

    `limit` bounds the result in bytes.  A bomb is given up as soon as it passes the
    limit, so at most about twice the limit is held for a moment (parts and whole).

    Raises `ProfileError`: BodyTooLarge, or BrokenGzip when the gzip is truncated, corrupt
    or followed by something else than zero padding.
    """
    if not body.startswith(GZIP_MAGIC):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts: list[bytes] = []
    room = limit
    position = 0
    for _ in range(_MAX_MEMBERS):
        position, room = _inflate_member(body, position, room, parts)
        if room < 0:
            raise _too_large(limit)
        if not body.startswith(GZIP_MAGIC, position):
            break
    if body.count(0, position) != len(body) - position:
        raise ProfileError("BrokenGzip", "the gzip body is followed by something else, or has too many members")
    return b"".join(parts)


def compress(raw: bytes) -> bytes:
    """`raw` as one gzip member, the same bytes for the same input (no time stamp).

    Level 1, by ISA-L where it is installed, which takes an eighth of zlib's time: profiles are
    pushed once and stored in another form, so CPU counts more than size.
    """
    return _pack(raw)


def stated_size(body: bytes) -> int:
    """The uncompressed size of `body`, gzip or raw, as it says itself: a lie, perhaps, or only that of the last member."""
    return int.from_bytes(body[-4:], "little") if body.startswith(GZIP_MAGIC) else len(body)


def is_single_member(body: bytes, raw_bytes: int) -> bool:
    """Whether gzip `body`, which `decompress` turned into `raw_bytes` bytes, is one member and nothing else.

    Go's reader refuses the padding that `decompress` forgives, so such a body must not be
    passed on as it came.  The last four bytes of a member are its uncompressed length
    (RFC 1952, ISIZE): padding moves them, and the last of several members is shorter than
    the whole, unless all others are empty (which does no harm).
    """
    return body.startswith(GZIP_MAGIC) and stated_size(body) == raw_bytes & 0xFFFFFFFF


def _inflate_member(body: bytes, position: int, room: int, parts: list[bytes]) -> tuple[int, int]:
    """Append one member's content to `parts`; the position behind the member and the room left.

    Room −1 means that the member does not fit; the position is meaningless then.  The
    input is fed in chunks because zlib copies all input behind the end of a member.
    """
    member = zlib.decompressobj(_GZIP_WBITS)
    while not member.eof:
        chunk = body[position : position + _CHUNK_BYTES]
        if not chunk:
            raise ProfileError("BrokenGzip", "the gzip body is truncated")
        try:
            part = member.decompress(chunk, room + 1)  # one byte more tells "full" from "too large"; 0 would mean no limit
        except zlib.error as error:
            raise ProfileError("BrokenGzip", "the gzip body is corrupt") from error
        parts.append(part)
        room -= len(part)
        if room < 0:
            return position, room
        position += len(chunk) - len(member.unused_data)
    return position, room


def _too_large(limit: int) -> ProfileError:
    return ProfileError("BodyTooLarge", f"the profile is larger than {limit} bytes uncompressed")
