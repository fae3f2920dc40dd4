"""What went wrong below HTTP, in words of this machine."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl

import aiohttp
import httpcore
import httpx
from aiohttp.http_exceptions import HttpProcessingError

from pyroscope_operator.errors import AccessError

NETWORK_ERRORS = (httpx.HTTPError, aiohttp.ClientError, HttpProcessingError, OSError)
"""All that a transport raises when no usable answer came, `AccessError` aside.

httpx-aiohttp passes some of aiohttp's errors on as they are, therefore more than httpx's.
"""

CERTIFICATE_INVALID = "CertificateInvalid"
"""The certificate of the other side is not accepted: authority, name or time."""
CLIENT_CERTIFICATE_REFUSED = "ClientCertificateRefused"
"""The other side wants a certificate of ours, or another one."""
TLS_FAILED = "TLSFailed"
"""Anything else about TLS: no version in common, or no TLS at all."""
PROXY_UNREACHABLE = "ProxyUnreachable"
"""No connection to the proxy."""
PROXY_REFUSED = "ProxyRefused"
"""The proxy does not let us through, or wants credentials."""
TOKEN_REFUSED = "TokenRefused"  # noqa: S105
"""tokenUrl gives no token for these credentials."""
TOKEN_UNAVAILABLE = "TokenUnavailable"  # noqa: S105
"""tokenUrl can't be reached, or what it answers is no token."""
DESTINATION_DENIED = "DestinationDenied"
"""A URL leads to an address that the operator's settings deny."""
TOO_MANY_CLIENTS = "TooManyClients"
"""There are more different ways to the other side than are kept open at a time."""

ACCESS_REASONS = frozenset(
    {
        *(CERTIFICATE_INVALID, CLIENT_CERTIFICATE_REFUSED, TLS_FAILED, PROXY_UNREACHABLE, PROXY_REFUSED),
        *(TOKEN_REFUSED, TOKEN_UNAVAILABLE, DESTINATION_DENIED, TOO_MANY_CLIENTS),
    }
)
"""Reasons of AccessError."""

_OUR_CERTIFICATE = re.compile(r"ALERT_(CERTIFICATE|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")
"""Alerts of the other side, as OpenSSL names them; in TLS 1.3 they come instead of the answer."""

_TLS_ERRORS = (ssl.SSLError, aiohttp.ClientSSLError)
"""OSErrors whose number is none of the system's."""


class Refusal(OSError):
    """No connection is made, on purpose. An OSError, so that those who connect take it for a failure like others."""

    def __init__(self, error: AccessError) -> None:
        super().__init__(error.message)
        self.error = error


class Truncated(httpx.ReadError):
    """The connection ended within the body."""


class ServerDisconnectedError(httpx.ReadError):
    """The connection ended in order, and no answer came; aiohttp's error of this name says the same."""


def access_error(error: BaseException) -> AccessError | None:
    """The AccessError that `error`, one of NETWORK_ERRORS, amounts to, if any."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, Refusal):
            return AccessError(seen.error.reason, seen.error.message)
        if isinstance(seen, ssl.SSLError) and (words := _tls(seen)):
            return AccessError(_tls_reason(seen), words)
        if isinstance(seen, ConnectionResetError) and seen.errno is None and never_connected(error):
            return AccessError(TLS_FAILED, "the connection ended during the TLS handshake")  # as asyncio's TLS says it
        seen = seen.__cause__
    return None


def was_cut(error: BaseException) -> bool:
    """Whether the other side ended the connection before it answered, and we don't know why."""
    if access_error(error) is not None:
        return False
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, aiohttp.ServerDisconnectedError | httpcore.NetworkError):
            return True
        if isinstance(seen, OSError) and seen.errno in {errno.ECONNRESET, errno.EPIPE}:
            return True
        seen = seen.__cause__
    return False


def _tls_reason(error: ssl.SSLError) -> str:
    if getattr(error, "verify_message", ""):
        return CERTIFICATE_INVALID
    return CLIENT_CERTIFICATE_REFUSED if _OUR_CERTIFICATE.search(error.reason or "") else TLS_FAILED


def never_connected(error: BaseException) -> bool:
    """Whether not a byte can have reached the other side.

    httpx-aiohttp calls this ConnectTimeout, along with broken connections; aiohttp's
    own error behind it is exact.
    """
    return isinstance(error, httpx.ConnectError) or isinstance(error.__cause__, aiohttp.ClientConnectorError)


def cause(error: BaseException) -> str:
    """What went wrong in words of this machine, never in those of the other side."""
    seen: BaseException | None = error
    while seen is not None:
        if words := _tls(seen):
            return words
        if isinstance(seen, socket.gaierror):
            return "name not resolved"
        if isinstance(seen, UnicodeError):
            return "no valid host name"
        if isinstance(seen, OSError) and not isinstance(seen, _TLS_ERRORS) and seen.errno in errno.errorcode:
            return os.strerror(seen.errno or 0).lower()
        error, seen = seen, seen.__cause__
    return type(error).__name__


def _tls(error: BaseException) -> str:
    """What OpenSSL says; aiohttp's errors of these types know nothing, those behind them do."""
    if message := getattr(error, "verify_message", ""):
        return f"certificate not accepted, {message}"
    reason = getattr(error, "reason", "") if isinstance(error, ssl.SSLError) else ""
    return f"TLS failed, {reason.replace('_', ' ').lower()}" if isinstance(reason, str) and reason else ""
