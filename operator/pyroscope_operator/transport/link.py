"""A connection that carries one request at a time."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from pyroscope_operator.transport.reply import MAX_HELD, Reply


class Owner(Protocol):
    """Who is told what becomes of a connection."""

    def release(self, link: Link) -> None:
        """It is idle, and may carry another request."""

    def forget(self, link: Link) -> None:
        """It has ended."""


class Link(asyncio.Protocol):
    """Busy with one request, or idle; what comes when nothing was asked for ends it."""

    __slots__ = ("_loop", "_owner", "_reply", "_transport", "idle_since", "is_blocked", "is_sent", "origin")

    def __init__(self, owner: Owner, origin: tuple[str, int], loop: asyncio.AbstractEventLoop) -> None:
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
        """The answer to the request that is now written; lost already, if the connection is."""
        self.is_sent = False
        reply = Reply(self._loop, self.abort, self._read_on)
        if self.is_open:
            self._reply = reply
        else:
            reply.lose(None)
            reply.part()
        return reply

    def write(self, data: bytes) -> None:
        if self._transport is not None and self._reply is not None:
            self._transport.write(data)

    def abort(self) -> None:
        """End it now. An answer that is not complete is lost."""
        if self._transport is not None:
            self._transport.abort()
        if self._reply is not None and not self._reply.is_over:
            self._reply.lose(None)
        self._end(None)

    def close(self) -> None:
        """End it in order; for one that is idle."""
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
        if reply.is_paused:
            self._read_on()
        self._reply = None
        reply.part()
        if reply.is_reusable and self.is_sent and not self.is_blocked and self.is_open:
            self._owner.release(self)
        else:
            self.abort()

    def eof_received(self) -> None:
        """The other side says no more, so it need not be told more: its body may be what ends here."""
        self._end(None)
        self.abort()

    def pause_writing(self) -> None:
        self.is_blocked = True

    def resume_writing(self) -> None:
        self.is_blocked = False
        if self._reply is not None:
            self._reply.wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._owner.forget(self)
        self._end(None if error is None else error.with_traceback(None))
