"""Properties of the parser of answers: how they are cut does not matter, and garbage ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyroscope_operator.transport.link import Link
from pyroscope_operator.transport.reply import Reply


class Wire:
    """A connected transport, and the owner of its link."""

    def __init__(self) -> None:
        self.is_aborted = False
        self.is_released = self.is_forgotten = False
        self.is_reading = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def write(self, data: bytes) -> None: ...

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def release(self, link: Link) -> None:
        self.is_released = True

    def forget(self, link: Link) -> None:
        self.is_forgotten = True


def answered(pieces: list[bytes], *, ends: bool) -> tuple[Wire, Reply]:
    """What becomes of a GET that is answered with `pieces`; as with a real connection, nothing comes after it was ended."""
    wire: Any = Wire()
    link = Link(wire, ("x", 80), None)  # type: ignore[arg-type]  # nobody waits
    link.connection_made(wire)
    reply = link.begin()
    link.is_sent = True
    for piece in pieces:
        if not wire.is_aborted and not wire.is_released:
            link.data_received(piece)
    if ends and not wire.is_aborted and not wire.is_released:
        link.eof_received()
    if wire.is_aborted:
        link.connection_lost(None)
    return wire, reply


def read(reply: Reply) -> bytes:
    """The body of a reply that is over."""
    body = b""
    while True:
        try:
            reply.__anext__().send(None)  # type: ignore[attr-defined]
        except StopIteration as chunk:
            body += chunk.value
        except StopAsyncIteration:
            return body


def cut(data: bytes, places: list[float]) -> list[bytes]:
    marks = sorted({0, len(data), *(round(place * len(data)) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(marks) if a < b]


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


def sized(parts: list[bytes]) -> bytes:
    body = b"".join(parts)
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


FRAMINGS: dict[str, Callable[[list[bytes]], bytes]] = {
    "sized": sized,
    "chunked": lambda parts: b"Transfer-Encoding: chunked\r\n\r\n" + chunked(parts),
    "until the end": lambda parts: b"\r\n" + b"".join(parts),
}
PLACES = st.lists(st.floats(0, 1), max_size=12)
PARTS = st.lists(st.one_of(st.binary(max_size=200), st.integers(1000, 60_000).map(bytes)), max_size=5)
TOKEN = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=10).map(lambda name: f"X-{name}".encode())
VALUE = st.text("abc xyz;=,/\"'", max_size=30).map(lambda value: value.strip().encode())


@pytest.mark.parametrize("framing", FRAMINGS)
@given(
    informational=st.integers(0, 3),
    status=st.sampled_from([200, 201, 302, 404, 500]),
    headers=st.lists(st.tuples(TOKEN, VALUE), max_size=8),
    parts=PARTS,
    places=PLACES,
)
def test_how_an_answer_is_cut_does_not_matter(
    framing: str, informational: int, status: int, headers: list[tuple[bytes, bytes]], parts: list[bytes], places: list[float]
) -> None:
    head = b"HTTP/1.1 %d Words\r\n" % status + b"".join(b"%s: %s\r\n" % header for header in headers)
    data = b"HTTP/1.1 100 Continue\r\n\r\n" * informational + head + FRAMINGS[framing](parts)
    wire, reply = answered(cut(data, places), ends=framing == "until the end")
    assert reply.is_complete
    assert reply.status == status
    assert reply.headers[: len(headers)] == headers
    assert read(reply) == b"".join(parts)
    assert wire.is_released == (framing != "until the end")
    assert wire.is_released != wire.is_forgotten


@pytest.mark.parametrize("framing", ["sized", "chunked"])
@given(parts=PARTS, places=PLACES, at=st.floats(0, 1))
def test_half_an_answer_is_lost(framing: str, parts: list[bytes], places: list[float], at: float) -> None:
    data = b"HTTP/1.1 200 OK\r\n" + FRAMINGS[framing](parts)
    wire, reply = answered(cut(data[: int(at * (len(data) - 1))], places), ends=True)
    assert reply.is_lost
    assert not reply.is_complete
    assert wire.is_forgotten
    assert str(reply.failure())


@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([b"HTTP/1.1 ", b"200 OK\r\n", b"100 C\r\n\r\n", b"\r\n", b"Content-Length: 5\r\n", b"101 X\r\n\r\n"]),
            st.sampled_from(
                [b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b": ", b"\0", b"X: y\r\n", b"hello"]
            ),
        ),
        max_size=12,
    ),
    places=PLACES,
)
def test_garbage_ends(pieces: list[bytes], places: list[float]) -> None:
    """Whatever comes: the answer is there or lost once the connection ends, which is then given back or gone."""
    for split in (pieces, cut(b"".join(pieces), places)):
        wire, reply = answered(split, ends=True)
        assert reply.is_over
        assert wire.is_released != wire.is_forgotten
        assert reply._parser is None
        if reply.is_lost:
            assert str(reply.failure())
