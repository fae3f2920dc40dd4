"""Redirects of pushes, and ways that lead nowhere."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from push_fakes import FakePyroscope, entry, ok

from pyroscope_operator.errors import AccessError, PushError, Rejected, RetryLater
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access, TlsSettings
from pyroscope_operator.push.batch import request_body
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.endpoint import PUSH_PATH, WriteEndpoint
from pyroscope_operator.push.hop import MAX_REDIRECTS, Hop
from pyroscope_operator.push.outcome import decide
from pyroscope_operator.transport.clients import open_clients

SECRET = Access(
    authorization="Bearer hunter2", headers=(("X-Key", "hunter2"),), tls=TlsSettings(ca="CA", cert="C", key="K", server_name="p")
)
BODY = request_body([entry(b"one")])


class Ways:
    """A client, and the accesses with which its requests were made."""

    def __init__(self, *answers: Any, **fields: Any) -> None:
        self.fake = FakePyroscope(list(answers))
        self.used: list[Access] = []
        endpoint = WriteEndpoint(
            **{"url": "https://p/prefix", "access": SECRET, "follow_redirects": True, "tenant_id": "t", **fields}
        )
        self.client = PushClient(endpoint, self._transport)

    def _transport(self, access: Access) -> httpx.AsyncBaseTransport:
        self.used.append(access)
        return self.fake.transport

    async def push(self) -> list[str]:
        """The URLs that were asked."""
        await self.client.push(BODY, series=1)
        assert all(request.content == b"".join(BODY.pieces) and request.method == "POST" for request in self.fake.http)
        return [str(request.url) for request in self.fake.http]


def to(location: str | None, status: int = 307) -> httpx.Response:
    return httpx.Response(status, headers={"Location": location} if location is not None else {})


@pytest.mark.parametrize("status", [307, 308])
async def test_on_the_same_host_nothing_else_changes(status: int) -> None:
    ways = Ways(to("/elsewhere/", status), to("https://p:444/again", status))
    assert await ways.push() == [f"https://p/prefix{PUSH_PATH}", "https://p/elsewhere/", "https://p:444/again"]
    assert ways.used == [SECRET] * 3
    assert [request.headers["host"] for request in ways.fake.http] == ["p", "p", "p:444"]


@pytest.mark.parametrize("location", ["https://other/x", "//other/x", "http://p/x"])
async def test_elsewhere_credentials_stay_behind_for_the_rest_of_the_way(location: str) -> None:
    ways = Ways(to(location), to("https://p/back"))
    await ways.push()
    assert ways.used == [SECRET, SECRET.elsewhere(), SECRET.elsewhere()]
    assert not ways.used[-1].has_credentials
    assert ways.used[-1].guarded
    assert [request.headers["x-scope-orgid"] for request in ways.fake.http] == ["t"] * 3, "whose profiles these are stays"


async def test_to_https_is_as_safe() -> None:
    ways = Ways(to("https://p/x"), url="http://p")
    await ways.push()
    assert ways.used == [SECRET, SECRET]


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_others_would_change_the_request(status: int) -> None:
    ways = Ways(to("https://p/x", status))
    with pytest.raises(Rejected, match="Redirected"):
        await ways.push()
    assert len(ways.fake.http) == 1


async def test_only_if_it_is_wanted() -> None:
    ways = Ways(to("https://p/x"), follow_redirects=False)
    with pytest.raises(Rejected, match="Redirected"):
        await ways.push()
    assert len(ways.fake.http) == 1


@pytest.mark.parametrize("location", [None, "", "ftp://p/x", "https://me:hunter2@p/x", "https://[::x", "https://p:99999/"])
async def test_nowhere_to_go(location: str | None) -> None:
    ways = Ways(to(location))
    with pytest.raises(Rejected) as caught:
        await ways.push()
    assert caught.value.reason == "Redirected"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "location", [f"http://{'a' * 64}.example/", "http://a..b/", "http://xn--/", "http://%00/", "http://a b/"]
)
async def test_hosts_that_cannot_be(location: str) -> None:
    """Whatever a redirect says, the worker lives on."""
    async with open_clients(Metrics()) as clients:
        first = FakePyroscope([to(location)]).transport
        used: list[Access] = []

        def transport_for(access: Access) -> httpx.AsyncBaseTransport:
            used.append(access)
            return clients.of(access) if len(used) > 1 else first

        client = PushClient(WriteEndpoint("http://p", follow_redirects=True), transport_for)
        with pytest.raises(PushError):
            await client.push(BODY, series=1)


async def test_an_endpoint_whose_host_cannot_be() -> None:
    async with open_clients(Metrics()) as clients:
        client = PushClient(WriteEndpoint(f"http://{'a' * 64}.example"), clients.of)
        with pytest.raises(RetryLater, match="no valid host name"):
            await client.push(BODY, series=1)


async def test_in_circles() -> None:
    ways = Ways(*[to("/x")] * (MAX_REDIRECTS + 1))
    with pytest.raises(Rejected, match=f"more than {MAX_REDIRECTS} redirects"):
        await ways.push()
    assert len(ways.fake.http) == MAX_REDIRECTS + 1
    ways = Ways(*[to("/x")] * MAX_REDIRECTS)
    await ways.push()


def test_nothing_secret_is_shown() -> None:
    assert "hunter2" not in repr(Hop(httpx.URL("https://p/hunter2"), SECRET))


@pytest.mark.parametrize("reason", ["TokenRefused", "ProxyUnreachable", "CertificateInvalid", "DestinationDenied"])
async def test_a_way_that_fails_is_the_endpoints_trouble(reason: str) -> None:
    """Nothing of the batch has left: it waits, single profiles included, and costs no retry."""
    ways = Ways(AccessError(reason, "because"))
    with pytest.raises(RetryLater) as caught:
        await ways.push()
    assert (caught.value.reason, caught.value.message) == (reason, "because")

    for count in (1, 3):
        outcome = decide([entry() for _ in range(count)], caught.value, max_retries=0, successes=0)
        assert len(outcome.again) == count
        assert all(one.retries == 0 for one in outcome.again)


async def test_success_needs_no_location() -> None:
    assert await Ways(ok()).push() == [f"https://p/prefix{PUSH_PATH}"]
