"""Where connections may be made to."""

from __future__ import annotations

import socket

import httpx
import pytest
from transport_servers import get, http1, refusal, server_context, trusting

from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access
from pyroscope_operator.transport.clients import open_clients
from pyroscope_operator.transport.destination import ANYWHERE, destinations

DEFAULT = destinations([], [], by_default=True)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("10.0.0.1", ""),
        ("192.168.0.1", ""),
        ("8.8.8.8", ""),
        ("fd00::1", ""),
        ("2001:db8::1", ""),
        ("64:ff9b::808:808", ""),
    ],
)
def test_by_default(address: str, kind: str) -> None:
    assert DEFAULT.why_not(address) == kind
    assert ANYWHERE.why_not(address) == ""


def test_settings() -> None:
    policy = destinations(["127.0.0.0/8", "10.1.0.0/16"], ["10.0.0.0/8"], by_default=True)
    assert policy.why_not("127.0.0.1") == policy.why_not("::ffff:127.0.0.1") == policy.why_not("10.1.2.3") == ""
    assert policy.why_not("10.2.0.0") == policy.why_not("::ffff:10.2.0.0") == "--deny-destinations"
    assert policy.why_not("::1") == "loopback"
    assert destinations([], ["10.0.0.0/8"], by_default=False).why_not("127.0.0.1") == ""


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "name.example", "[::1]", "[::ffff:127.0.0.1]", "127.1", "0x7f000001"])
async def test_guarded_connections(scheme: str, http2: bool, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is even tried: nothing listens on ::1, and a refused connection would be another error."""
    resolve = socket.getaddrinfo

    def rebound(name: object, *of: object, **further: object) -> object:
        local = name in {"name.example", b"name.example"}
        return resolve("127.0.0.1" if local else name, *of, **further)  # type: ignore[call-overload]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    context = server_context("localhost") if scheme == "https" else None
    async with http1(context=context) as server, open_clients(Metrics(), destinations=DEFAULT) as clients:
        url = server.url.replace("127.0.0.1", host)
        access = Access(guarded=True, http2=http2, tls=trusting())
        try:
            error = await refusal(clients, access, url)
        except httpx.TransportError:  # aiohttp refuses other spellings of addresses; uvloop resolves by itself
            assert host in {"127.1", "0x7f000001", "name.example"}
        else:
            assert error.reason == "DestinationDenied"
            assert error.message == "the URL leads to an address that the operator's settings deny (loopback)"
        assert not server.requests


async def test_what_is_not_guarded_and_what_is_allowed() -> None:
    async with http1() as server:
        async with open_clients(Metrics(), destinations=DEFAULT) as clients:
            assert await get(clients, Access(), server.url) == (200, b"hello")
        async with open_clients(Metrics(), destinations=destinations(["127.0.0.1/32"], [], by_default=True)) as clients:
            assert await get(clients, Access(guarded=True), server.url) == (200, b"hello")


async def test_guarded_requests_do_not_use_connections_of_others() -> None:
    async with http1() as server, open_clients(Metrics(), destinations=DEFAULT) as clients:
        assert await get(clients, Access(), server.url) == (200, b"hello")
        assert (await refusal(clients, Access(guarded=True), server.url)).reason == "DestinationDenied"


@pytest.mark.parametrize("http2", [False, True])
async def test_connections_are_bounded(http2: bool) -> None:
    """One is kept open by each of the first two."""
    metrics = Metrics()
    async with (
        http1() as one,
        http1() as two,
        http1(context=server_context()) as three,
        open_clients(metrics, max_connections=2) as clients,
    ):
        await get(clients, Access(), one.url)
        await get(clients, Access(), two.url)
        assert metrics.registry.get_sample_value("pyroscope_operator_connections", {"engine": "httptools"}) == 2
        error = await refusal(clients, Access(http2=http2, tls=trusting()), three.url)
        assert (error.reason, error.message) == ("TooManyClients", "2 connections are open (--max-connections)")
        assert await get(clients, Access(), one.url) == (200, b"hello")
