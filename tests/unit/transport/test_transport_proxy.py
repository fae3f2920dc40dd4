"""Proxies: which one is taken, what it is told, and what is said when it fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest
from transport_servers import (
    SECRET,
    get,
    http1,
    http2,
    proxying,
    refusal,
    server_context,
    talking,
    trusting,
)

from pyroscope_operator.errors import AccessError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access, ProxySettings, basic
from pyroscope_operator.transport.clients import open_clients
from pyroscope_operator.transport.destination import destinations
from pyroscope_operator.transport.proxy import Proxy, proxy_for

VIA = ProxySettings(url="http://proxy:3128")


def through(url: str, **fields: object) -> Access:
    return Access(tls=trusting(), proxy=ProxySettings(url=url), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("no_proxy", "direct", "proxied"),
    [
        ("", (), ("http://a.example/", "http://127.0.0.1/")),
        ("*", ("http://a.example/", "http://127.0.0.1/"), ()),
        ("example.org", ("http://example.org/", "https://a.example.org/", "http://EXAMPLE.org/"), ("http://notexample.org/",)),
        (".example.org", ("http://a.example.org/",), ("http://example.org/",)),
        ("*.example.org", ("http://a.example.org/",), ("http://example.org/",)),
        ("10.0.0.0/8, fd00::/8", ("http://10.1.2.3/", "http://[fd00::1]/"), ("http://11.0.0.1/", "http://ten.example/")),
        ("10.0.0.1", ("http://10.0.0.1:80/",), ("http://10.0.0.2/",)),
        ("a.example:8443", ("https://a.example:8443/",), ("https://a.example/", "http://a.example/")),
        ("a.example:443", ("https://a.example/",), ("http://a.example/",)),
        ("[::1]:80,::2", ("http://[::1]/", "http://[::2]:9/"), ("http://[::1]:81/",)),
        (" ,,b.example ", ("http://b.example/",), ("http://a.example/",)),
    ],
)
def test_no_proxy(no_proxy: str, direct: tuple[str, ...], proxied: tuple[str, ...]) -> None:
    settings = replace(VIA, no_proxy=no_proxy)
    assert all(proxy_for(settings, httpx.URL(url), {}) is None for url in direct)
    assert all(proxy_for(settings, httpx.URL(url), {}) == Proxy("http", "proxy", 3128) for url in proxied)


@pytest.mark.parametrize(
    ("environment", "url", "found"),
    [
        ({}, "http://a/", None),
        ({"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "http://a/", ("http", "p", 1)),
        ({"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "https://a/", ("http", "q", 2)),
        ({"https_proxy": "q:2"}, "https://a/", ("http", "q", 2)),
        ({"https_proxy": "socks5://q"}, "https://a/", ("socks5", "q", 1080)),
        ({"http_proxy": "http://p:1"}, "http://localhost/", None),
        ({"http_proxy": "http://p:1"}, "http://127.9.9.9/", None),
        ({"http_proxy": "http://p:1"}, "http://[::1]/", None),
        ({"http_proxy": "http://p:1", "NO_PROXY": "a.example"}, "http://a.example/", None),
        ({"http_proxy": "http://p:1", "no_proxy": "a.example"}, "http://a.example/", None),
    ],
)
def test_the_environment(environment: dict[str, str], url: str, found: tuple[str, str, int] | None) -> None:
    proxy = proxy_for(ProxySettings(from_environment=True), httpx.URL(url), environment)
    assert proxy == (Proxy(*found, guarded=False) if found else None)
    assert proxy_for(ProxySettings(), httpx.URL(url), environment) is None


@pytest.mark.parametrize("url", ["ftp://a", "http://", "a:b:c", SECRET])
def test_a_url_that_is_no_proxy(url: str) -> None:
    with pytest.raises(AccessError) as caught:
        proxy_for(ProxySettings(url=url), httpx.URL("http://a/"), {})
    assert caught.value.reason == "ProxyUnreachable"
    assert SECRET not in str(caught.value)


def test_credentials_of_a_url() -> None:
    proxy = proxy_for(ProxySettings(url="http://us%40er:p%3Aw@proxy"), httpx.URL("http://a/"), {})
    assert proxy is not None
    assert (proxy.user, proxy.password) == ("us@er", "p:w")
    assert "p:w" not in repr(proxy)


async def test_http_is_forwarded() -> None:
    async with http1() as server, proxying() as proxy, open_clients(Metrics()) as clients:
        access = through(f"http://user:{SECRET}@{proxy.address}", authorization="Bearer x")
        for _ in range(2):
            assert await get(clients, access, f"{server.url}a?b=c") == (200, b"hello")
        assert len(proxy.heads) == 1  # the connection is kept
        head = proxy.heads[0].decode()
        assert head.startswith(f"GET {server.url}a?b=c HTTP/1.1\r\n")
        assert f"Proxy-Authorization: {basic('user', SECRET)}" in head
        assert server.requests[0].headers["Authorization"] == "Bearer x"


@pytest.mark.parametrize("secure", [False, True], ids=["http proxy", "https proxy"])
async def test_https_is_tunnelled(secure: bool) -> None:
    context = server_context() if secure else None
    async with http2() as server, proxying(context=context) as proxy, open_clients(Metrics()) as clients:
        url = f"{'https' if secure else 'http'}://user:{SECRET}@{proxy.address}"
        for size in (5, 100_000):
            status, body = await get(clients, through(url, authorization="Bearer x"), f"{server.url}{size}")
            assert (status, len(body)) == (200, size)
        assert server.connections == len(proxy.heads) == 1
        head = proxy.heads[0].decode()
        assert head.startswith(f"CONNECT {server.url.removeprefix('https://').strip('/')} HTTP/1.1\r\n")
        assert basic("user", SECRET) in head
        assert "Bearer" not in head
        assert "proxy-authorization" not in server.requests[0]


async def test_a_server_name_holds_through_a_proxy() -> None:
    async with http1(context=server_context("shop.example")) as server, proxying() as proxy, open_clients(Metrics()) as clients:
        access = Access(tls=trusting(server_name="shop.example"), proxy=ProxySettings(url=f"http://{proxy.address}"))
        assert await get(clients, access, server.url) == (200, b"hello")
        error = await refusal(clients, through(f"http://{proxy.address}"), server.url)
        assert error.reason == "CertificateInvalid"


@pytest.mark.parametrize("credentials", ["", f"user:{SECRET}@"])
async def test_socks(credentials: str) -> None:
    async with http2() as secure, http1() as plain, proxying("socks") as proxy, open_clients(Metrics()) as clients:
        access = through(f"socks5://{credentials}{proxy.address}")
        assert await get(clients, access, f"{secure.url}5") == (200, b"xxxxx")
        assert await get(clients, access, plain.url) == (200, b"hello")
        named = plain.url.replace("127.0.0.1", "shop.example")
        assert await get(clients, access, named) == (200, b"hello")
        assert b"shop.example" in proxy.heads  # the proxy resolves names
        assert (f"user:{SECRET}".encode() in proxy.heads) == bool(credentials)


async def test_a_socks_proxy_that_refuses() -> None:
    async with proxying("socks") as proxy, open_clients(Metrics()) as clients:
        error = await refusal(clients, through(f"socks5://user:wrong@{proxy.address}"), "http://127.0.0.1:1/")
        assert (error.reason, error.message) == ("ProxyRefused", "the proxy wants other credentials")
        error = await refusal(clients, through(f"socks5://{proxy.address}"), "http://127.0.0.1:1/")
        assert (error.reason, error.message) == ("ProxyRefused", "the proxy does not connect us: connection refused")


async def test_a_proxy_that_is_not_there() -> None:
    async with open_clients(Metrics()) as clients:
        for scheme in ("http", "https", "socks5"):
            for url in ("http://a.example/", "https://a.example/"):
                error = await refusal(clients, through(f"{scheme}://127.0.0.1:1"), url)
                assert error.reason == "ProxyUnreachable"
                assert error.message == "cannot connect to the proxy: connection refused"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 407 Who\r\n\r\n", "ProxyRefused"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\ns3cr3t", "ProxyRefused"),
        (b"HTTP/1.0 502 Bad\r\n\r\n", "ProxyRefused"),
        (b"SSH-2.0-s3cr3t\r\n\r\n", "ProxyUnreachable"),
        (b"HTTP/1.1 s3cr3t\r\n\r\n", "ProxyUnreachable"),
        (b"HTTP/1.1 200 " + b"s3cr3t" * 10_000, "ProxyUnreachable"),
        (b"", "ProxyUnreachable"),
    ],
)
async def test_what_a_proxy_answers_to_connect(answer: bytes, reason: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with talking(talk) as (host, port), open_clients(Metrics()) as clients:
        error = await refusal(clients, through(f"http://{host}:{port}"), "https://a.example/")
        assert error.reason == reason


async def test_a_proxy_that_wants_credentials_for_http() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n")

    async with talking(talk) as (host, port), open_clients(Metrics()) as clients:
        error = await refusal(clients, through(f"http://{host}:{port}"), "http://a.example/")
        assert (error.reason, error.message) == (
            "ProxyRefused",
            "the proxy answered with HTTP status 407, it wants other credentials",
        )


async def test_the_proxy_of_the_machine() -> None:
    async with proxying("socks") as proxy, http1() as server:
        environment = {"HTTP_PROXY": f"socks5://{proxy.address}"}
        async with open_clients(
            Metrics(), environment=environment, destinations=destinations([], [], by_default=True)
        ) as clients:
            access = Access(proxy=ProxySettings(from_environment=True), guarded=True)
            named = server.url.replace("127.0.0.1", "shop.example")
            assert await get(clients, access, named) == (200, b"hello")
            error = await refusal(clients, access, "http://169.254.169.254/")
            assert error.reason == "DestinationDenied"


async def test_a_proxy_named_by_a_tenant_is_guarded() -> None:
    async with open_clients(Metrics(), destinations=destinations([], [], by_default=True)) as clients:
        error = await refusal(clients, through("http://127.0.0.1:1"), "http://a.example/")
        assert error.reason == "DestinationDenied"


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x05", b"\x04\x00", b"\x05\xff", b"\x05\x00\x05\x01", b"\x05\x00\x04\x00\x00\x01", b"\x05\x00\x05\x00\x00\x09"],
)
async def test_a_socks_proxy_that_is_none(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.write_eof()
        await reader.read(-1)

    async with talking(talk) as (host, port), open_clients(Metrics()) as clients:
        error = await refusal(clients, through(f"socks5://{host}:{port}"), "https://a.example/")
        assert error.reason in {"ProxyUnreachable", "ProxyRefused"}
