"""A connection that carries one request at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from pyroscope_operator.transport.reply import MAX_HELD, Reply

if TYPE_CHECKING:
    from pyroscope_operator.transport.lean import LeanTransport


class Link(asyncio.Protocol):
    """Busy with one request, or idle; what comes when nothing was asked for ends it."""

    __slots__ = ("_loop", "_owner", "_reply", "_transport", "idle_since", "is_blocked", "is_sent", "origin")

    def __init__(self, owner: LeanTransport, origin: tuple[str, int], loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self.origin = origin
        self.idle_since = 0.0
        self.is_blocked = False
        """No more can be written for now."""
        self.is_sent = False
        """The whole request was written."""

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def begin(self) -> Reply:
        """The answer to the request that is now written."""
        self.is_sent = False
        self._reply = Reply(self._loop, self.abort, self._read_on)
        return self._reply

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._end(None)

    def close(self) -> None:
        """In order; for one that is idle."""
        if self._transport is not None:
            self._transport.close()

    def _read_on(self) -> None:
        if self._reply is not None and self.is_open:
            self._reply.is_paused = False
            cast(asyncio.Transport, self._transport).resume_reading()

    def _end(self, error: Exception | None) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.end(error)
            reply.part()

    # For the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self.abort()
            return
        reply.feed(data)
        if reply.is_over:
            self._over(reply)
        elif reply.held > MAX_HELD and not reply.is_paused and self.is_open:
            reply.is_paused = True
            cast(asyncio.Transport, self._transport).pause_reading()

    def _over(self, reply: Reply) -> None:
        self._read_on_if(reply)
        self._reply = None
        reply.part()
        if reply.is_lost or reply.is_closing or reply.has_surplus or not self.is_sent or not self.is_open:
            self.abort()
        else:
            self._owner.release(self)

    def _read_on_if(self, reply: Reply) -> None:
        if reply.is_paused:
            self._read_on()

    def pause_writing(self) -> None:
        self.is_blocked = True

    def resume_writing(self) -> None:
        self.is_blocked = False
        if self._reply is not None:
            self._reply.wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._owner.forget(self)
        self._end(error)
