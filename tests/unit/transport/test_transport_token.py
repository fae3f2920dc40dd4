"""OAuth 2.0: how tokens are asked for, kept, renewed and refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from aiohttp import web
from transport_servers import SECRET, Server, get, http1, refusal, server_context, trusting

from pyroscope_operator.errors import AccessError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access, OAuth2Settings, basic
from pyroscope_operator.transport import token as tokens
from pyroscope_operator.transport.clients import open_clients
from pyroscope_operator.transport.destination import destinations
from pyroscope_operator.transport.token import TokenSource

SETTINGS = OAuth2Settings("shop", SECRET, "http://tokens.example/token")


class TokenServer:
    """Answers with token-1, token-2 and so on; `answer` and `status` change that."""

    def __init__(self, **fields: Any) -> None:
        self.fields = {"access_token": "token-{}", "token_type": "Bearer", "expires_in": 3600} | fields
        self.status = 200
        self.body: bytes | None = None
        self.only = ""
        self.requests: list[httpx.Request] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        await self.gate.wait()
        way = "basic" if "Authorization" in request.headers else "body"
        if self.only and self.only != way:
            return httpx.Response(401, stream=httpx.ByteStream(SECRET.encode()))
        fields = self.fields | {"access_token": str(self.fields["access_token"]).format(len(self.requests))}
        body = self.body if self.body is not None else json.dumps(fields).encode()
        return httpx.Response(self.status, stream=httpx.ByteStream(body))


class Source:
    """A TokenSource over a fake transport, with its results."""

    def __init__(self, server: TokenServer, settings: OAuth2Settings = SETTINGS) -> None:
        self.results: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.source = TokenSource(settings, httpx.MockTransport(server), self._spawn, self.results.append)
        self.get, self.reject = self.source.get, self.source.reject

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(work))
        return self.tasks[-1]


async def failure(source: Source) -> AccessError:
    with pytest.raises(AccessError) as caught:
        await source.get()
    assert SECRET not in str(caught.value)
    return caught.value


async def test_what_is_asked() -> None:
    server = TokenServer()
    settings = replace(SETTINGS, client_id="a b:c", scopes=("read", "write"), endpoint_params=(("audience", "x&y"),))
    assert await Source(server, settings).get() == "token-1"
    request = server.requests[0]
    assert (request.method, str(request.url)) == ("POST", SETTINGS.token_url)
    assert request.headers["Authorization"] == basic("a+b%3Ac", SECRET)
    assert request.content == b"grant_type=client_credentials&scope=read+write&audience=x%26y"
    assert request.headers["Content-Length"] == str(len(request.content))


@pytest.mark.parametrize("only", ["basic", "body"])
async def test_a_server_may_want_the_credentials_elsewhere(only: str) -> None:
    server = TokenServer()
    server.only = only
    source = Source(server)
    assert await source.get() == f"token-{1 if only == 'basic' else 2}"
    source.source._token = None
    await source.get()
    assert len(server.requests) == (2 if only == "basic" else 3), "it was remembered"
    assert (SECRET.encode() in server.requests[-1].content) == (only == "body")


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(3600, 3570), ("3600", 3570), (100, 80), (10, 8), (None, 570), (0, 570), (-1, 570), ("x", 570), ([], 570), (1e300, 86370)],
)
async def test_how_long_a_token_is_used(expires_in: object, seconds: float) -> None:
    server = TokenServer(expires_in=expires_in)
    source = Source(server)
    assert await source.get() == "token-1"
    await asyncio.sleep(seconds - 1)
    assert await source.get() == "token-1"
    await asyncio.sleep(2)
    assert await source.get() == "token-2"
    assert source.results == ["ok", "ok"]


@pytest.mark.looptime
async def test_a_token_is_used_up_while_no_new_one_can_be_had() -> None:
    server = TokenServer(expires_in=100)
    source = Source(server)
    await source.get()
    server.status = 503
    await asyncio.sleep(85)
    assert await source.get() == "token-1"
    await asyncio.sleep(20)
    assert (await failure(source)).message == "tokenUrl answered with HTTP status 503"
    server.status = 200
    await asyncio.sleep(30)
    assert (await source.get()).startswith("token-")


async def test_one_request_for_all_and_nobody_cancels_it() -> None:
    server = TokenServer()
    server.gate.clear()
    source = Source(server)
    askers = [asyncio.create_task(source.get()) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    askers[0].cancel()
    askers[7].cancel()
    await asyncio.sleep(0)
    server.gate.set()
    answers = await asyncio.gather(*askers, return_exceptions=True)
    assert answers.count("token-1") == 48
    assert len(server.requests) == 1


@pytest.mark.looptime
async def test_failures_are_remembered() -> None:
    server = TokenServer()
    server.status = 500
    source = Source(server)
    tried = []
    loop = asyncio.get_running_loop()
    while loop.time() < 100:
        before = len(server.requests)
        assert (await failure(source)).reason == "TokenUnavailable"
        if len(server.requests) > before:
            tried.append(round(loop.time()))
        await asyncio.sleep(0.5)
    assert tried[:6] == [0, 1, 3, 7, 15, 31]
    assert len(tried) == 8


@pytest.mark.looptime
async def test_no_answer_in_time() -> None:
    server = TokenServer()
    server.gate.clear()
    source = Source(server)
    assert (await failure(source)).message == "no answer from tokenUrl within 10s"
    assert source.results == ["TokenUnavailable"]


@pytest.mark.parametrize(
    ("status", "body", "reason", "words"),
    [
        (400, None, "TokenRefused", "tokenUrl answered with HTTP status 400"),
        (401, None, "TokenRefused", "tokenUrl answered with HTTP status 401"),
        (403, None, "TokenRefused", "tokenUrl answered with HTTP status 403"),
        (302, b"", "TokenUnavailable", "tokenUrl answered with HTTP status 302"),
        (200, b"s3cr3t", "TokenUnavailable", "the answer of tokenUrl holds no access_token"),
        (200, b"[" * 60_000, "TokenUnavailable", "the answer of tokenUrl holds no access_token"),
        (200, b'["s3cr3t"]', "TokenUnavailable", "the answer of tokenUrl holds no access_token"),
        (200, b'{"access_token": 5}', "TokenUnavailable", "the answer of tokenUrl holds no access_token"),
        (200, b'{"access_token": ""}', "TokenUnavailable", "the answer of tokenUrl holds no access_token"),
        (200, b'{"access_token": "a\\r\\nX: s3cr3t"}', "TokenUnavailable", "the answer of tokenUrl holds no access_token"),
        (
            200,
            b'{"access_token": "a", "token_type": "mac"}',
            "TokenUnavailable",
            "tokenUrl gives tokens of another type than Bearer",
        ),
        (200, b" " * 70_000, "TokenUnavailable", "the answer of tokenUrl is larger than 65536 bytes"),
    ],
)
async def test_answers_that_are_no_token(status: int, body: bytes | None, reason: str, words: str) -> None:
    server = TokenServer()
    server.status, server.body = status, body
    error = await failure(Source(server))
    assert (error.reason, error.message) == (reason, words)


@pytest.mark.looptime
async def test_a_refused_token_is_replaced_but_not_all_the_time() -> None:
    server = TokenServer()
    source = Source(server)
    first = await source.get()
    assert not source.reject(first), "it is brand-new"
    await asyncio.sleep(6)
    assert source.reject(first)
    second = await source.get()
    assert second == "token-2"
    assert source.reject(first), "somebody else has replaced it already"
    assert not source.reject(second)


# Through real connections


@asynccontextmanager
async def guarded_target(valid: str) -> AsyncIterator[Server]:
    async def handle(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization")
        return web.Response(status=200 if given == f"Bearer {valid}" else 401, text="hello")

    async with http1(handle) as server:
        yield server


async def test_requests_carry_the_token_and_one_401_is_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    async def give(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.json_response({"access_token": f"token-{count}"})

    metrics = Metrics()
    async with (
        http1(give, server_context()) as issuer,
        guarded_target("token-2") as target,
        open_clients(metrics) as clients,
    ):
        settings = OAuth2Settings("shop", SECRET, issuer.url, tls=trusting())
        access = Access(oauth2=settings)
        assert await get(clients, access, target.url) == (401, b"hello"), "the token is too new to be replaced"
        monkeypatch.setattr(tokens, "RENEWAL_PAUSE", 0.0)
        assert await get(clients, access, target.url, "POST", b"profile") == (200, b"hello")
        assert await get(clients, access, target.url) == (200, b"hello")
        assert count == 2
        answers = await asyncio.gather(*(get(clients, access, target.url) for _ in range(20)))
        assert answers == [(200, b"hello")] * 20
        assert count == 2
        total = metrics.registry.get_sample_value("pyroscope_operator_oauth2_token_requests_total", {"result": "ok"})
        assert total == 2


async def test_token_urls_are_guarded_and_their_trouble_is_named() -> None:
    async with guarded_target("x") as target, http1(context=server_context()) as issuer:
        async with open_clients(Metrics(), destinations=destinations([], [], by_default=True)) as clients:
            error = await refusal(clients, Access(oauth2=OAuth2Settings("shop", SECRET, issuer.url)), target.url)
            assert error.reason == "DestinationDenied"
            assert error.message.startswith("tokenUrl: ")
        async with open_clients(Metrics()) as clients:
            error = await refusal(clients, Access(oauth2=OAuth2Settings("shop", SECRET, issuer.url)), target.url)
            assert error.reason == "CertificateInvalid"
            assert error.message.startswith("tokenUrl: ")
            error = await refusal(clients, Access(oauth2=OAuth2Settings("shop", SECRET, "http://127.0.0.1:1/")), target.url)
            assert (error.reason, error.message) == ("TokenUnavailable", "tokenUrl: connection refused")
        assert not target.requests


async def test_a_request_for_a_token_ends_with_the_clients() -> None:
    async def hang(request: web.Request) -> web.Response:
        arrived.set()
        await asyncio.Event().wait()
        return web.Response()

    arrived = asyncio.Event()
    tasks = asyncio.all_tasks()
    async with http1(hang) as issuer:
        async with open_clients(Metrics()) as clients:
            asking = asyncio.create_task(get(clients, Access(oauth2=OAuth2Settings("a", SECRET, issuer.url)), issuer.url))
            await arrived.wait()
        assert (await asyncio.gather(asking, return_exceptions=True))[0].__class__ is asyncio.CancelledError
    assert not [task for task in asyncio.all_tasks() - tasks if task.get_name() == "token"]
