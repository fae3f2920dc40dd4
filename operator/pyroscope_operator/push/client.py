"""Sends one push request. Errors of HTTP become the PushError tree here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx

from pyroscope_operator import __version__
from pyroscope_operator.errors import AccessError, Rejected, RetryLater
from pyroscope_operator.push.answer import CONNECTION_FAILED, DEADLINE_EXCEEDED, REDIRECTED, UNREACHABLE, Answer, verdict
from pyroscope_operator.push.backoff import parse_retry_after
from pyroscope_operator.push.batch import RequestBody
from pyroscope_operator.push.endpoint import WriteEndpoint
from pyroscope_operator.push.hop import MAX_REDIRECTS, REDIRECTS, Hop
from pyroscope_operator.transport.clients import TransportFor
from pyroscope_operator.transport.faults import NETWORK_ERRORS, cause, never_connected

MAX_ANSWER = 64 << 10
"""Bytes of an answer that are read."""


_SLICE = 256 << 10


class _Stream(httpx.AsyncByteStream):
    """Request bytes, written slice by slice: megabytes at once would hold up the event loop."""

    def __init__(self, body: RequestBody) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._body.slices(_SLICE):
            yield part


class PushClient:
    """Connect unary `push.v1.PusherService/Push` on one endpoint.

    Transports are the caller's to close.
    """

    def __init__(self, endpoint: WriteEndpoint, transport_for: TransportFor, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives unix time, which a Retry-After date is compared with."""
        self.endpoint = endpoint
        self._transport_for = transport_for
        self._clock = clock
        self._start = Hop(httpx.URL(endpoint.push_url), endpoint.access)
        self._headers = httpx.Headers(
            [
                ("User-Agent", f"pyroscope-operator/{__version__}"),
                *endpoint.tenant_header,
                ("Content-Type", "application/proto"),
                ("Connect-Protocol-Version", "1"),
                ("Accept-Encoding", "identity"),
            ]
        )

    async def push(self, body: RequestBody, *, series: int) -> None:
        """Sends `body`, a PushRequest with `series` series.

        Returns when all of it was taken.  Raises a PushError otherwise; its subclass says
        what to do with what was sent.  Takes at most the endpoint's `remote_timeout`.
        """
        timeout = self.endpoint.remote_timeout
        try:
            async with asyncio.timeout(timeout):
                answer = await self._redirected(body)
        except TimeoutError as error:
            raise RetryLater(DEADLINE_EXCEEDED, f"no answer within {timeout:g} s") from error
        except AccessError as error:
            raise RetryLater(error.reason, error.message) from error
        if failure := verdict(answer, series=series, retry_on_429=self.endpoint.retry_on_429):
            raise failure

    async def _redirected(self, body: RequestBody) -> Answer:
        """The answer at the end of all redirects. Raises PushError, and AccessError."""
        hop = self._start
        for _ in range(MAX_REDIRECTS + 1):
            answer, location = await self._exchange(hop, body)
            if answer.status not in REDIRECTS or not self.endpoint.follow_redirects:
                return answer
            hop = hop.next(location)
        raise Rejected(REDIRECTED, f"more than {MAX_REDIRECTS} redirects")

    async def _exchange(self, hop: Hop, body: RequestBody) -> tuple[Answer, str | None]:
        """The answer, and where it points at."""
        headers = self._headers.copy()
        headers["Host"] = hop.url.netloc.decode()
        headers["Content-Length"] = str(len(body))
        request = httpx.Request("POST", hop.url, headers=headers, stream=_Stream(body))
        try:
            response = await self._transport_for(hop.access).handle_async_request(request)
        except NETWORK_ERRORS as error:
            reason = UNREACHABLE if never_connected(error) else CONNECTION_FAILED
            raise RetryLater(reason, cause(error)) from error
        try:
            content, cut = await _read(response)
        finally:
            with suppress(*NETWORK_ERRORS):
                await response.aclose()
        retry_after = parse_retry_after(response.headers.get("retry-after"), self._clock())
        answer = Answer(response.status_code, response.headers.get("content-type", ""), retry_after, content, cut)
        return answer, response.headers.get("location")


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
