"""What ways share, what they add to a request, and how many there may be."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from transport_servers import get, http1, refusal, send, server_context, trusting

from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import DIRECT, Access, TlsSettings
from pyroscope_operator.transport import clients as module
from pyroscope_operator.transport.clients import open_clients
from pyroscope_operator.transport.faults import cause, never_connected


def lanes(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("pyroscope_operator_transport_clients") or 0


async def test_headers_are_added_to_a_copy() -> None:
    async with http1() as server, open_clients(Metrics()) as clients:
        access = Access(authorization="Bearer x", headers=(("X-Scope-OrgID", "shop"), ("User-Agent", "other")))
        request = httpx.Request("GET", f"{server.url}a?b=c", headers={"User-Agent": "operator"})
        before = list(request.headers.raw)
        for _ in range(2):
            assert await send(clients.of(access), request) == (200, b"hello")
        assert await send(clients.of(DIRECT), request) == (200, b"hello")
        assert request.headers.raw == before
        dressed, _, bare = server.requests
        assert dressed.path_qs == "/a?b=c"
        assert (dressed.headers["Authorization"], dressed.headers["X-Scope-OrgID"]) == ("Bearer x", "shop")
        assert dressed.headers.getall("User-Agent") == ["other"]
        assert "Transfer-Encoding" not in dressed.headers
        assert "Authorization" not in bare.headers
        assert len(server.peers) == 1, "all of them share a connection"


async def test_equal_accesses_are_one_way() -> None:
    async with open_clients(Metrics()) as clients:
        assert clients.of(Access(authorization="a")) is clients.of(Access(authorization="a"))
        assert clients.of(Access(authorization="a")) is not clients.of(Access(authorization="b"))


async def test_ways_are_forgotten_and_still_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAYS", 2)
    async with http1() as server, open_clients(Metrics()) as clients:
        ways = [clients.of(Access(authorization=str(n))) for n in range(5)]
        assert len(clients._ways) == 2
        for way in ways:
            assert await send(way, httpx.Request("GET", server.url)) == (200, b"hello")


async def test_lanes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LANES", 2)
    metrics = Metrics()
    async with http1(context=server_context()) as server, open_clients(metrics) as clients:
        ways = [Access(tls=trusting(server_name=name), http2=False) for name in ("127.0.0.1", None)]
        for access in ways:
            await get(clients, access, server.url)
        third = Access(tls=TlsSettings(insecure_skip_verify=True), http2=False)
        error = await refusal(clients, third, server.url)
        assert (error.reason, error.message) == (
            "TooManyClients",
            "more than 2 different TLS settings and proxies are in use",
        )
        monkeypatch.setattr(module, "_RECENT_SECONDS", -1.0)
        assert await get(clients, third, server.url) == (200, b"hello")
        assert lanes(metrics) == 2
        assert await get(clients, ways[0], server.url) == (200, b"hello"), "it is made anew"


async def test_a_lane_in_use_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LANES", 1)
    monkeypatch.setattr(module, "_RECENT_SECONDS", -1.0)
    async with http1(context=server_context()) as server, open_clients(Metrics()) as clients:
        for http2 in (False, True):
            busy = Access(tls=trusting(server_name="127.0.0.1"), http2=http2)
            response = await clients.of(busy).handle_async_request(httpx.Request("GET", server.url))
            assert (await refusal(clients, Access(tls=trusting()), server.url)).reason == "TooManyClients"
            assert b"".join([chunk async for chunk in response.aiter_raw()]) == b"hello"
            await response.aclose()
        assert await get(clients, Access(tls=trusting()), server.url) == (200, b"hello")


@pytest.mark.parametrize("http2", [False, True])
async def test_what_is_idle_is_closed(monkeypatch: pytest.MonkeyPatch, http2: bool) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    metrics = Metrics()
    async with http1(context=server_context()) as server, open_clients(metrics) as clients:
        access = Access(tls=trusting(), http2=http2)
        await get(clients, access, server.url)
        assert lanes(metrics) == 1
        async with asyncio.timeout(5):
            while lanes(metrics) or sum(clients._sockets.open.values()):
                await asyncio.sleep(0.01)
        assert await get(clients, access, server.url) == (200, b"hello")


async def refused_url() -> str:
    async with http1() as server:
        return server.url


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nobody_listens(scheme: str, http2: bool) -> None:
    url = (await refused_url()).replace("http:", f"{scheme}:")
    async with open_clients(Metrics()) as clients:
        with pytest.raises(httpx.TransportError) as caught:
            await get(clients, Access(tls=trusting(), http2=http2), url)
    assert never_connected(caught.value)
    assert cause(caught.value) == "connection refused"


@pytest.mark.parametrize("http2", [False, True])
async def test_a_name_that_is_not_known(http2: bool) -> None:
    async with open_clients(Metrics()) as clients:
        with pytest.raises(httpx.TransportError) as caught:
            await get(clients, Access(tls=trusting(), http2=http2), "https://nobody.invalid/")
    assert never_connected(caught.value)
    assert cause(caught.value) == "name not resolved"
