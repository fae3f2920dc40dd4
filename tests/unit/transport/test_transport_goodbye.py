"""Goodbyes are taken out of the bytes of HTTP/2, wherever these are cut."""

from __future__ import annotations

import pytest
from transport_servers import frame

from pyroscope_operator.transport.goodbye import Goodbyes


def goaway(last: int, error: int = 0, more: bytes = b"") -> bytes:
    return frame(7, last.to_bytes(4, "big") + error.to_bytes(4, "big") + more)


SETTINGS, DATA, PING = frame(4), frame(0, b"x" * 300, stream=3), frame(6, bytes(8))


@pytest.mark.parametrize("size", [1, 2, 8, 9, 10, 17, 100, 10_000])
@pytest.mark.parametrize(
    ("said", "is_goodbye"),
    [
        (goaway(3), True),
        (goaway((1 << 31) - 1, more=b"graceful_stop"), True),
        (goaway(1 << 31 | 5), True),  # the reserved bit says nothing
        (goaway(1), False),
        (goaway(3, error=11), False),
        (goaway(3, more=bytes(2000)), False),
        (frame(7, b"short"), False),
        (PING, False),
    ],
)
def test_wherever_it_is_cut(size: int, said: bytes, is_goodbye: bool) -> None:
    goodbyes, data = Goodbyes(), SETTINGS + said + DATA + said + PING
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    kept = b"".join(goodbyes.without(piece, 3) for piece in pieces)
    assert kept == (SETTINGS + DATA + PING if is_goodbye else data)
    assert goodbyes.said == is_goodbye
