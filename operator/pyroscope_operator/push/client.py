"""Sends one push request. Errors of HTTP become the PushError tree here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx

from pyroscope_operator import __version__
from pyroscope_operator.errors import RetryLater
from pyroscope_operator.push.answer import CONNECTION_FAILED, DEADLINE_EXCEEDED, UNREACHABLE, Answer, verdict
from pyroscope_operator.push.backoff import parse_retry_after
from pyroscope_operator.push.endpoint import WriteEndpoint
from pyroscope_operator.transport.faults import NETWORK_ERRORS, cause, never_connected

MAX_ANSWER = 64 << 10
"""Bytes of an answer that are read."""


_SLICE = 256 << 10


class _Body(httpx.AsyncByteStream):
    """Request bytes, written slice by slice: megabytes at once would hold up the event loop."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), _SLICE):
            yield self._body[start : start + _SLICE]


class PushClient:
    """Connect unary `push.v1.PusherService/Push` on one endpoint.

    The transport is the caller's to close.  Redirects are not followed.
    """

    def __init__(
        self, endpoint: WriteEndpoint, transport: httpx.AsyncBaseTransport, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock` gives unix time, which a Retry-After date is compared with."""
        self.endpoint = endpoint
        self._transport = transport
        self._clock = clock
        self._url = httpx.URL(endpoint.push_url)
        self._headers = httpx.Headers(
            [
                ("Host", self._url.netloc.decode()),
                ("User-Agent", f"pyroscope-operator/{__version__}"),
                *endpoint.request_headers(),
                ("Content-Type", "application/proto"),
                ("Connect-Protocol-Version", "1"),
                ("Accept-Encoding", "identity"),
            ]
        )

    async def push(self, body: bytes, *, series: int) -> None:
        """Sends `body`, a serialised PushRequest with `series` series.

        Returns when all of it was taken.  Raises a PushError otherwise; its subclass says
        what to do with what was sent.  Takes at most the endpoint's `remote_timeout`.
        """
        timeout = self.endpoint.remote_timeout
        try:
            async with asyncio.timeout(timeout):
                answer = await self._exchange(body)
        except TimeoutError as error:
            raise RetryLater(DEADLINE_EXCEEDED, f"no answer within {timeout:g} s") from error
        if failure := verdict(answer, series=series, retry_on_429=self.endpoint.retry_on_429):
            raise failure

    async def _exchange(self, body: bytes) -> Answer:
        headers = self._headers.copy()
        headers["Content-Length"] = str(len(body))
        request = httpx.Request("POST", self._url, headers=headers, stream=_Body(body))
        try:
            response = await self._transport.handle_async_request(request)
        except NETWORK_ERRORS as error:
            reason = UNREACHABLE if never_connected(error) else CONNECTION_FAILED
            raise RetryLater(reason, cause(error)) from error
        try:
            content, cut = await _read(response)
        finally:
            with suppress(*NETWORK_ERRORS):
                await response.aclose()
        retry_after = parse_retry_after(response.headers.get("retry-after"), self._clock())
        return Answer(response.status_code, response.headers.get("content-type", ""), retry_after, content, cut)


async def _read(response: httpx.Response) -> tuple[bytes, bool]:
    """Up to `MAX_ANSWER` bytes of the body, and whether that is not all of it.

    A connection that breaks here is no failure: the status says enough.
    """
    content = b""
    try:
        async for chunk in response.stream:  # type: ignore[union-attr]  # aiter_raw() refuses the answers of MockTransport
            content += chunk
            if len(content) > MAX_ANSWER:
                return content[:MAX_ANSWER], True
    except NETWORK_ERRORS:
        return content, True
    return content, False
