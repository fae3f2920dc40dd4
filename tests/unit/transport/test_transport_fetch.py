"""Scrapes say the same about what goes wrong, whatever engine carries them."""

from __future__ import annotations

import asyncio

import pytest
from transport_servers import frame, hostile_http2, http2, pair, stranger, talking, trusting

from pyroscope_operator.errors import AccessError, FetchError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access, ProxySettings
from pyroscope_operator.scrape.fetch import _get, _translated
from pyroscope_operator.transport.clients import open_clients
from pyroscope_operator.transport.faults import NETWORK_ERRORS

HEAD = frame(1, b"\x88", flags=4, stream=1)


async def verdict(url: str, access: Access) -> FetchError | AccessError:
    async with open_clients(Metrics()) as clients, asyncio.timeout(5):
        try:
            response = await clients.of(access).handle_async_request(_get(url))
            try:
                async for _ in response.aiter_raw():
                    pass
            finally:
                await response.aclose()
        except AccessError as error:
            return error
        except NETWORK_ERRORS as error:
            return _translated(error)
    raise AssertionError("no failure")


@pytest.mark.parametrize(
    ("pieces", "reason", "words"),
    [
        (frame(7, bytes(8)), "ConnectionLost", "the connection ended without an answer"),
        (frame(3, bytes(4), stream=1), "ConnectionLost", "the connection ended without an answer"),
        (HEAD + frame(3, bytes(4), stream=1), "Truncated", "the connection ended before the body did"),
        (b"\xff" * 200_000, "InvalidHTTP", "the answer is not valid HTTP"),
        (frame(1, b"\x08\x03abc", flags=4, stream=1), "InvalidHTTP", "the answer is not valid HTTP (ValueError)"),
    ],
)
async def test_http2(pieces: bytes, reason: str, words: str) -> None:
    async with hostile_http2(pieces) as url:
        error = await verdict(url, Access(tls=trusting()))
    assert error.reason == reason
    assert error.message.startswith(words)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "ConnectionLost"),
        (b"HTTP/1.1 200", "ConnectionLost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", "Truncated"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", "Truncated"),
        (b"SSH-2.0-x\r\n\r\n", "InvalidHTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n", "InvalidHTTP"),
    ],
)
@pytest.mark.parametrize("direct", [True, False])
async def test_http1(answer: bytes, reason: str, direct: bool) -> None:
    """Directly, and behind a proxy."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with talking(talk) as (host, port):
        proxy = ProxySettings(url=f"http://{host}:{port}")
        url, access = (f"http://{host}:{port}/", Access()) if direct else ("http://shop.example/", Access(proxy=proxy))
        error = await verdict(url, access)
    assert error.reason == reason


async def test_nobody_listens() -> None:
    async with http2() as server:
        url = server.url
    error = await verdict(url, Access(tls=trusting()))
    assert (error.reason, error.message) == ("ConnectFailed", "cannot connect: connection refused")


async def test_certificates_are_named() -> None:
    async with http2(issuer=stranger()) as server:
        assert (await verdict(server.url, Access(tls=trusting(**pair())))).reason == "CertificateInvalid"
