"""`/targets`, the page for people, and the same as JSON."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from pyroscope_operator.engine.overview import encoded, whole
from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.web.listing import listing
from pyroscope_operator.web.query import NAMES, Query, WrongQuery, parse

MAX_WAITING = 8
"""Requests that wait for one that is being answered; those beyond are told to come again."""
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class TargetPages:
    """Answers one request at a time, and in a thread: with thousands of targets it takes a good part of a second."""

    def __init__(self, look: Callable[[], Awaitable[Snapshot]], ready: Callable[[], str]) -> None:
        self._look = look
        self._ready = ready
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def page(self, request: web.Request) -> web.Response:
        """HTML."""
        query = _query(request)
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        async with self._snapshot() as snapshot:
            body, policy = await asyncio.to_thread(_page, snapshot, query, self._ready(), zipped)
        headers = {**_HEADERS, "Content-Security-Policy": policy, **({"Content-Encoding": "gzip"} if zipped else {})}
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)

    async def data(self, request: web.Request) -> web.Response:
        """JSON: all of it, or, with any parameter of the page, what is on that page."""
        query = _query(request) if any(name in request.query for name in NAMES) else None
        async with self._snapshot() as snapshot:
            body = await asyncio.to_thread(_data, snapshot, query)
        return web.Response(body=body, content_type="application/json", charset="utf-8", headers=_HEADERS)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Snapshot]:
        """Alone; raises HTTPServiceUnavailable when too many wait."""
        if self._waiting > MAX_WAITING:
            raise web.HTTPServiceUnavailable(text="busy: ask again in a second\n", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            async with self._turn:
                yield await self._look()
        finally:
            self._waiting -= 1


def _query(request: web.Request) -> Query:
    try:
        return parse(request.query)
    except WrongQuery as error:
        raise web.HTTPBadRequest(text=f"{error}\n", headers=_HEADERS) from None


def _page(snapshot: Snapshot, query: Query, waiting_for: str, zipped: bool) -> tuple[bytes, str]:
    """The body and its Content-Security-Policy."""
    from pyroscope_operator.web import page  # noqa: PLC0415

    body = page.render(snapshot, listing(snapshot, query), waiting_for).encode(errors="replace")
    return (gzip.compress(body, 1) if zipped else body), page.POLICY


def _data(snapshot: Snapshot, query: Query | None) -> bytes:
    if query is None:
        return "".join(encoded(whole(snapshot), snapshot)).encode()
    found = listing(snapshot, query)
    paging = {"number": found.query.page, "of": found.pages, "size": found.query.size, "matching": found.matching}
    return "".join(encoded(found.sections, snapshot, page=paging)).encode()
