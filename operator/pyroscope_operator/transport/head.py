"""The head of a request as bytes, made once for each httpx.Request."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

_KEY = "pyroscope_operator.head"
_UNFIT = re.compile(rb"[\r\n\0]")
_FRAMING = frozenset({b"transfer-encoding", b"connection", b"keep-alive"})
"""What is this connection's business."""
_WITHOUT_BODY = frozenset({"GET", "OPTIONS", "DELETE"})
_OTHER_RULES = frozenset({"HEAD", "CONNECT"})
"""Methods whose answers are framed otherwise."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is sent, and where to."""

    origin: tuple[str, int]
    wire: bytes
    """Head, and body where that is known."""
    is_streamed: bool
    """The body is to be read from the request's stream."""
    is_repeatable: bool
    headers: httpx.Headers
    """What it was made of. A copy of the request with other headers takes `extensions` along, and with them this."""


def head_of(request: httpx.Request) -> Head:
    """The head of `request`, which must not be changed any more. Raises httpx.UnsupportedProtocol, httpx.LocalProtocolError."""
    known = request.extensions.get(_KEY)
    if known is not None and known.headers is request.headers:
        return known  # type: ignore[no-any-return]
    made = _made(request)
    request.extensions[_KEY] = made
    return made


def _made(request: httpx.Request) -> Head:
    url = request.url
    port = url.port or 80
    if url.scheme != "http" or not url.raw_host or port > 0xFFFF:
        raise httpx.UnsupportedProtocol("no URL that can be requested")
    if request.method in _OTHER_RULES:
        raise httpx.LocalProtocolError("the method is not supported")
    content = _content(request)
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _FRAMING]
    names = {name.lower() for name, _ in headers}
    if b"host" not in names:
        headers.insert(0, (b"Host", url.netloc))
    if b"content-length" not in names:
        if content is None:
            raise httpx.LocalProtocolError("a body that is streamed needs a Content-Length")
        if content or request.method not in _WITHOUT_BODY:
            headers.append((b"Content-Length", b"%d" % len(content)))
    first = (request.method.encode("ascii"), url.raw_path or b"/")
    if any(_UNFIT.search(part) for pair in (first, *headers) for part in pair):
        raise httpx.LocalProtocolError("a header has a line break")
    lines = [b"%s %s HTTP/1.1" % first, *(b"%s: %s" % header for header in headers), b"", content or b""]
    return Head(
        (url.raw_host.decode("ascii"), port), b"\r\n".join(lines), content is None, request.method == "GET", request.headers
    )


def _content(request: httpx.Request) -> bytes | None:
    try:
        return request.content
    except httpx.RequestNotRead:
        return None
