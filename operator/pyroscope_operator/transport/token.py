"""OAuth 2.0 tokens by the client-credentials grant (RFC 6749, section 4.4), shared by all who ask with the same settings."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx

from pyroscope_operator.errors import AccessError
from pyroscope_operator.model.access import OAuth2Settings, basic, is_header_value
from pyroscope_operator.transport.faults import NETWORK_ERRORS, TOKEN_REFUSED, TOKEN_UNAVAILABLE, access_error, cause

TIMEOUT = 10.0
"""Seconds for one request."""
MAX_ANSWER = 64 << 10
"""Bytes of an answer."""
USUAL_LIFETIME = 600.0
"""Seconds for which a token is used whose answer does not say it; a 401 ends it earlier."""
_MAX_LIFETIME = 24 * 3600.0
EARLY_SECONDS = 30.0
EARLY_SHARE = 0.2
"""A token is renewed so long before it expires, or in the last fifth of its life if that is shorter."""
RENEWAL_PAUSE = 5.0
"""Seconds between two tokens that are fetched because the other side refused the one before."""
MIN_BACKOFF = 1.0
MAX_BACKOFF = 30.0
"""Seconds for which a failure is remembered; doubled with each in a row."""

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Starts a task that its owner ends."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    fetched: float
    renew_at: float
    expires: float


class TokenSource:
    """The token of some OAuth2Settings."""

    def __init__(
        self, settings: OAuth2Settings, transport: httpx.AsyncBaseTransport, spawn: Spawn, count: Callable[[str], None]
    ) -> None:
        """`count` is told the result of each request: ok, or the reason of its failure."""
        self._settings = settings
        self._transport = transport
        self._spawn = spawn
        self._count = count
        self._token: _Token | None = None
        self._failure = AccessError(TOKEN_UNAVAILABLE, "tokenUrl gave no token")
        self._backoff = 0.0
        self._retry_at = 0.0
        self._in_body = False
        self._renewal: asyncio.Task[None] | None = None

    async def get(self) -> str:
        """The token. Raises AccessError."""
        if self._token is None or self._now() >= self._token.renew_at:
            if self._now() >= self._retry_at:
                await self._renewed()
            if self._token is not None and self._now() >= self._token.expires:
                self._token = None
        if self._token is None:
            raise AccessError(self._failure.reason, self._failure.message)
        return self._token.value

    def reject(self, value: str) -> bool:
        """The other side refused the token `value`. Returns whether it is worth while to ask with another one."""
        if self._token is None or self._token.value != value:
            return self._now() >= self._retry_at
        if self._now() - self._token.fetched < RENEWAL_PAUSE:
            return False
        self._token = None
        return True

    async def _renewed(self) -> None:
        """Wait for the one request that all wait for. An asker that is cancelled does not cancel it."""
        if self._renewal is None or self._renewal.done():
            self._renewal = self._spawn(self._renew())
        await asyncio.shield(self._renewal)

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                self._token = await self._fetch()
        except TimeoutError:
            self._fail(AccessError(TOKEN_UNAVAILABLE, f"no answer from tokenUrl within {TIMEOUT:g}s"))
        except AccessError as error:
            self._fail(_about_token_url(error))
        except NETWORK_ERRORS as error:
            known = access_error(error)
            self._fail(AccessError(TOKEN_UNAVAILABLE, f"tokenUrl: {known.message if known else cause(error)}"))
        else:
            self._backoff = self._retry_at = 0.0
            self._count("ok")

    def _fail(self, error: AccessError) -> None:
        self._failure = error
        self._backoff = min(MAX_BACKOFF, 2 * self._backoff or MIN_BACKOFF)
        self._retry_at = self._now() + self._backoff
        self._count(error.reason)

    async def _fetch(self) -> _Token:
        status, body = await self._ask(in_body=self._in_body)
        if status in {400, 401}:
            # some servers read them only there, or only here
            second, answer = await self._ask(in_body=not self._in_body)
            if second == 200:
                self._in_body = not self._in_body
                status, body = second, answer
        if status in {400, 401, 403}:
            raise AccessError(TOKEN_REFUSED, f"tokenUrl answered with HTTP status {status}")
        if status != 200:
            raise AccessError(TOKEN_UNAVAILABLE, f"tokenUrl answered with HTTP status {status}")
        return _parsed(body, self._now())

    async def _ask(self, *, in_body: bool) -> tuple[int, bytes]:
        """Status and body of the answer; redirects are not followed, for they would carry the credentials elsewhere."""
        settings = self._settings
        form = {"grant_type": "client_credentials"}
        if settings.scopes:
            form["scope"] = " ".join(settings.scopes)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if in_body:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret}
        else:
            headers["Authorization"] = basic(quote_plus(settings.client_id), quote_plus(settings.client_secret))
        content = urlencode(form | dict(settings.endpoint_params)).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        request = httpx.Request("POST", settings.token_url, headers=headers, content=content)
        response = await self._transport.handle_async_request(request)
        try:
            return response.status_code, await _read(response)
        finally:
            with suppress(*NETWORK_ERRORS):
                await response.aclose()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _about_token_url(error: AccessError) -> AccessError:
    if error.reason in {TOKEN_REFUSED, TOKEN_UNAVAILABLE}:
        return error
    return AccessError(error.reason, f"tokenUrl: {error.message}")


async def _read(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise AccessError(TOKEN_UNAVAILABLE, f"the answer of tokenUrl is larger than {MAX_ANSWER} bytes")
    return body


def _parsed(body: bytes, now: float) -> _Token:
    """RFC 6749, section 5.1."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    value = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(value, str) or not value or not is_header_value(value):
        raise AccessError(TOKEN_UNAVAILABLE, "the answer of tokenUrl holds no access_token")
    if str(answer.get("token_type") or "bearer").lower() != "bearer":
        raise AccessError(TOKEN_UNAVAILABLE, "tokenUrl gives tokens of another type than Bearer")
    lifetime = _lifetime(answer.get("expires_in"))
    return _Token(value, now, now + lifetime - min(EARLY_SECONDS, EARLY_SHARE * lifetime), now + lifetime)


def _lifetime(said: object) -> float:
    try:
        seconds = float(said)  # type: ignore[arg-type]  # some send it as text
    except (TypeError, ValueError, OverflowError):
        return USUAL_LIFETIME
    return min(seconds, _MAX_LIFETIME) if seconds > 0 and not math.isnan(seconds) else USUAL_LIFETIME
