"""One HTTP request to a target, bounded in time and size.

httpx's interface over the transports of `transport/`, called directly: a scrape needs none of
what httpx's client adds, and it costs more than the request (docs/design.md).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable
from dataclasses import replace
from http import HTTPStatus
from typing import NamedTuple, cast
from urllib.parse import urlencode

import aiohttp
import httpx

from pyroscope_operator import __version__
from pyroscope_operator.errors import AccessError, FetchError
from pyroscope_operator.model.access import Access
from pyroscope_operator.model.target import STATIC, Scrape
from pyroscope_operator.scrape.cut import TimeLimit
from pyroscope_operator.scrape.room import Claim
from pyroscope_operator.transport.clients import TransportFor
from pyroscope_operator.transport.faults import NETWORK_ERRORS, Truncated, cause

USER_AGENT = f"pyroscope-operator/{__version__}"
UNAUTHORIZED = "Unauthorized"
_MAX_REDIRECTS = 10
_REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOST = re.compile(rb"[A-Za-z0-9_.:-]+")
_NO_URL = "the target redirects to no valid URL"
_LOST = "the connection ended without an answer"
_TRUNCATED = "the connection ended before the body did"


class Answer(NamedTuple):
    """The body of an answer with status 200, as it came."""

    body: bytes
    encoded: bool
    """It has a Content-Encoding, gzip, which is to be undone."""


def request_for(scrape: Scrape) -> httpx.Request:
    """The request of a scrape; it is built once and sent at every slot."""
    return _get(url_of(scrape))


def url_of(scrape: Scrape) -> str:
    query = urlencode(scrape.query)
    return f"{scrape.target.scheme}://{scrape.target.address}{scrape.profile.path}" + (f"?{query}" if query else "")


def _get(url: str | httpx.URL) -> httpx.Request:
    # `identity`: a target behind a gzip middleware would compress its profile twice.
    # No timeouts, as `fetch` bounds the whole: aiohttp lets a read timeout go on after a body above 128 KiB
    # was read, and it then fails the next request on that connection.
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
    return httpx.Request("GET", url, headers=headers)


class Fetcher:
    """Gets bodies of profiles from targets."""

    def __init__(self, transport_for: TransportFor) -> None:
        self._transport_for = transport_for

    async def fetch(self, request: httpx.Request, scrape: Scrape, claim: Claim) -> Answer:
        """What the target answers; `claim` grows with every byte of it.

        Raises FetchError when there is no answer with status 200 within
        `scrape.timeout` seconds and `scrape.body_limit` bytes, and what the claim raises.
        """
        try:
            with TimeLimit(scrape.timeout, lambda: _timeout(scrape)):
                response = await self._transport_for(scrape.access).handle_async_request(request)
                if response.status_code in _REDIRECTS and scrape.follow_redirects:
                    return await self._follow(request, response, scrape, claim)
                return await _taken(response, scrape, scrape.access, claim)
        except TimeoutError as error:  # of the network
            raise _timeout(scrape) from error
        except AccessError as error:
            raise FetchError(error.reason, error.message) from error
        except NETWORK_ERRORS as error:
            raise _translated(error) from error

    async def _follow(self, request: httpx.Request, response: httpx.Response, scrape: Scrape, claim: Claim) -> Answer:
        access = scrape.access
        for _ in range(_MAX_REDIRECTS):
            if not _leads_on(response):
                break
            try:
                following = _redirected(request, response.headers["location"], scrape)
            finally:
                await response.aclose()
            request, access = following, _access_for(following, request, access)
            response = await self._transport_for(access).handle_async_request(request)
        if _leads_on(response):
            await response.aclose()
            raise FetchError("TooManyRedirects", f"more than {_MAX_REDIRECTS} redirects")
        return await _taken(response, scrape, access, claim)


def _leads_on(response: httpx.Response) -> bool:
    return response.status_code in _REDIRECTS and bool(response.headers.get("location"))


def _timeout(scrape: Scrape) -> FetchError:
    return FetchError("Timeout", f"no complete answer within {scrape.timeout:g}s")


async def _taken(response: httpx.Response, scrape: Scrape, access: Access, claim: Claim) -> Answer:
    """The body of an answer that is no redirect."""
    stream = cast(httpx.AsyncByteStream, response.stream)  # the response would wrap it twice
    try:
        if response.status_code in _REFUSALS:
            raise _refused(response.status_code, scrape, access)
        encoded = _is_encoded(response)
        return Answer(await _read(stream, scrape.body_limit, claim), encoded)
    finally:
        await stream.aclose()


def _redirected(request: httpx.Request, location: str, scrape: Scrape) -> httpx.Request:
    """The next request; a pod must not aim the operator at other hosts. Static targets are named by who may."""
    try:
        url = request.url.join(location)
    except httpx.InvalidURL as error:
        raise FetchError("RedirectRefused", _NO_URL) from error
    if not _HOST.fullmatch(url.raw_host) or url.scheme not in {"http", "https"}:
        raise FetchError("RedirectRefused", _NO_URL)
    if url.host != request.url.host and scrape.target.pod_uid != STATIC:
        raise FetchError("RedirectRefused", "the target redirects to another host")
    return _get(url.copy_with(userinfo=b""))


def _access_for(following: httpx.Request, request: httpx.Request, access: Access) -> Access:
    """How a redirect is followed. Credentials that were once left behind don't come back, wherever it leads then."""
    if following.url.host != request.url.host:
        return access.elsewhere()
    if (request.url.scheme, following.url.scheme) == ("https", "http"):  # the same host, but everybody may listen
        return replace(access.elsewhere(), guarded=access.guarded)
    return access


def _refused(status: int, scrape: Scrape, access: Access) -> FetchError:
    """The target answers 401 or 403."""
    unauthorized = status == HTTPStatus.UNAUTHORIZED
    reason = UNAUTHORIZED if unauthorized else "Forbidden"
    if access.has_credentials:
        verb = "accept" if unauthorized else "permit it with"
        what = f"the target does not {verb} {access.credentials or 'the credentials'}"
    elif scrape.access.has_credentials:
        what = "the target redirects to where no credentials are sent, and they are asked for there"
    else:
        verb = "asks for" if unauthorized else "forbids it without"
        what = f"the target {verb} credentials, and the object has none"
    return FetchError(reason, f"{what} (HTTP status {status})")


def _is_encoded(response: httpx.Response) -> bool:
    """Whether the body has to be decompressed once; refuses what has no body that can be used."""
    if response.status_code != HTTPStatus.OK:
        raise FetchError("HTTPStatus", f"HTTP status {response.status_code}")
    values = [value for name, value in response.headers.raw if name.lower() == b"content-encoding"]
    match b", ".join(values).strip().lower():
        case b"" | b"identity":
            return False
        case b"gzip" | b"x-gzip":
            return True
    raise FetchError("ContentEncoding", "the body has a Content-Encoding other than gzip")


async def _read(stream: AsyncIterable[bytes], limit: int, claim: Claim) -> bytes:
    body: bytes | bytearray = b""
    async for chunk in stream:
        size = len(body) + len(chunk)
        if size > limit:
            raise FetchError("BodyTooLarge", f"the body is larger than {limit} bytes (bodySizeLimit)")
        claim.resize(size)
        if not body:
            body = chunk  # which is the whole more often than not
        elif isinstance(body, bytearray):
            body += chunk
        else:  # a list of chunks would take fifty bytes for each, and they may have a single one
            body = bytearray(body) + chunk
    return bytes(body)


def _translated(error: Exception) -> FetchError:
    """What went wrong, in the words of our error tree."""
    source = error.__cause__ or error  # what httpx's errors wrap says more
    match source:
        case aiohttp.ClientConnectorError():
            return FetchError("ConnectFailed", f"cannot connect: {cause(source)}")
        case aiohttp.InvalidURL() | httpx.UnsupportedProtocol():  # our own URLs are valid
            return FetchError("RedirectRefused", _NO_URL)
        case aiohttp.ClientPayloadError():
            return FetchError("Truncated", _TRUNCATED)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientConnectionResetError():
            return FetchError("ConnectionLost", _LOST)
        case aiohttp.ClientConnectionError() | OSError() if not isinstance(error, httpx.NetworkError):
            return FetchError("ConnectionLost", f"{_LOST}: {cause(source)}")
    return _of_httpcore(error)


def _of_httpcore(error: Exception) -> FetchError:
    """The same for what comes from HTTP/2 and from behind a proxy."""
    match error:
        case httpx.ConnectError():
            return FetchError("ConnectFailed", f"cannot connect: {cause(error)}")
        case Truncated():
            return FetchError("Truncated", _TRUNCATED)
        case httpx.NetworkError():
            return FetchError("ConnectionLost", _LOST)
    return FetchError("InvalidHTTP", f"the answer is not valid HTTP ({type(_innermost(error)).__name__})")


def _innermost(error: BaseException) -> BaseException:
    """The error that the parser raised, behind those that libraries wrapped it in."""
    return error if error.__cause__ is None else _innermost(error.__cause__)
