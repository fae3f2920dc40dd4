"""Servers that end an HTTP/2 connection in order: "no more requests, but here is your answer". Pure.

They say so in a GOAWAY frame, which mostly comes before the answer (Go's servers do it with every answer that
has `Connection: close`, as kube-apiserver's with 401).  h2 takes a connection for closed then and refuses the
answer, so it must not see such a frame.  Any other GOAWAY is passed on.
"""

from __future__ import annotations

_HEAD = 9
"""Bytes before a frame's payload: length (3), type, flags, stream (4)."""
_GOAWAY = 7
_LONGEST = 1024
"""Bytes of a GOAWAY's payload; longer ones are passed on."""
_ID = (1 << 31) - 1


class Goodbyes:
    """Takes them out of the bytes of one connection."""

    def __init__(self) -> None:
        self.said = False
        """There was one: the connection is good for the present exchange only."""
        self._held = b""
        self._passing = 0

    def without(self, data: bytes, stream: int) -> bytes:
        """`data`, which may begin and end anywhere, less the goodbyes that leave `stream` alone.

        The beginning of a frame is held back until it is known what it is.
        """
        data, at, kept = self._held + data, 0, bytearray()
        self._held = b""
        while at < len(data):
            if not self._passing:
                frame = self._goaway(data, at)
                if frame is None:
                    self._held = data[at:]
                    break
                if frame and self._is_goodbye(frame, stream):
                    self.said = True
                    at += len(frame)
                    continue
                self._passing = _HEAD + int.from_bytes(data[at : at + 3], "big")
            size = min(self._passing, len(data) - at)
            kept += data[at : at + size]
            self._passing -= size
            at += size
        return bytes(kept)

    @staticmethod
    def _goaway(data: bytes, at: int) -> bytes | None:
        """The whole frame if it is a GOAWAY of a usual size; empty: it is another one; None: not enough is there to tell."""
        if len(data) < at + _HEAD:
            return None
        length = int.from_bytes(data[at : at + 3], "big")
        if data[at + 3] != _GOAWAY or not 8 <= length <= _LONGEST:
            return b""
        frame = data[at : at + _HEAD + length]
        return frame if len(frame) == _HEAD + length else None

    @staticmethod
    def _is_goodbye(frame: bytes, stream: int) -> bool:
        """Without an error, and `stream` is still answered."""
        last, error = frame[_HEAD : _HEAD + 4], frame[_HEAD + 4 : _HEAD + 8]
        return not any(error) and int.from_bytes(last, "big") & _ID >= stream
