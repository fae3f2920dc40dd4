"""`/targets` and `/api/v1/targets` over HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from builders import target
from web_builder import CHECKOUT, DOWN, Read, drop, endpoint, loops, nothing, seen, snapshot

from pyroscope_operator.engine.overview import encoded, whole
from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.web import targets
from pyroscope_operator.web.page import POLICY
from pyroscope_operator.web.server import Pages, serve

WORLD = snapshot({CHECKOUT: seen([drop()])}, loops("web-0"), loops("web-1", memory=DOWN), loops("web-2"), endpoints=[endpoint()])


@asynccontextmanager
async def served(of: Snapshot = WORLD, look: Any = None) -> AsyncIterator[aiohttp.ClientSession]:
    async def given() -> Snapshot:
        return of

    async with (
        serve("127.0.0.1:0", Pages(Metrics(), lambda: "", look or given)) as address,
        aiohttp.ClientSession(f"http://{address}", auto_decompress=True) as session,
    ):
        yield session


async def test_the_page_and_its_headers() -> None:
    async with served() as session, session.get("/targets") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "1–4 of 4" in Read(await answer.text()).text


async def test_without_gzip() -> None:
    async with served() as session, session.get("/targets", headers={"Accept-Encoding": "identity"}) as answer:
        assert "Content-Encoding" not in answer.headers
        assert (await answer.read()).startswith(b"<!doctype html>")


async def test_both_take_the_same_filters() -> None:
    async with served() as session:
        parameters = {"state": "up", "q": "web", "size": "1", "page": "2"}
        async with session.get("/targets", params=parameters) as answer:
            told = Read(await answer.text()).text
        assert "2–2 of 2 that match" in told and "up web-2 app" in told and "down web-1 app" not in told
        async with session.get("/api/v1/targets", params=parameters) as answer:
            found = await answer.json()
    assert found["page"] == {"number": 2, "of": 2, "size": 1, "matching": 2}
    (item,) = found["objects"]
    assert [target["pod"] for target in item["targets"]] == ["web-2"]
    assert item["dropped"] == [] and item["conditions"]["Scraping"]["reason"] == "TargetsDown"
    assert [one["endpoint"] for one in found["delivery"]] == ["default"]


async def test_json_without_parameters_is_everything() -> None:
    async with served() as session, session.get("/api/v1/targets", params={"pretty": "1"}) as answer:
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        found = await answer.json()
    assert found.keys() == {"objects", "writes", "delivery"}
    assert [target["pod"] for target in found["objects"][0]["targets"]] == ["web-0", "web-1", "web-2"]
    assert len(found["objects"][0]["dropped"]) == 1
    assert found == json.loads("".join(encoded(whole(WORLD), WORLD)))


@pytest.mark.parametrize("path", ["/targets", "/api/v1/targets"])
async def test_wrong_parameters(path: str) -> None:
    async with served() as session:
        for parameters in ({"page": "0"}, {"state": "<script>"}, {"size": "1000"}, {"q": "x" * 201}):
            async with session.get(path, params=parameters) as answer:
                assert (answer.status, answer.content_type) == (400, "text/plain")
                text = await answer.text()
                assert text.startswith(next(iter(parameters))) and "<script>" not in text


async def test_names_that_are_no_text() -> None:
    """JSON may hold half of a surrogate pair, and an API server passes it on in an annotation."""
    broken = snapshot(None, loops(target(labels=Labels({"team": "\ud800"}))))
    async with served(broken) as session:
        for path in ("/targets", "/targets?q=%ff%00", "/api/v1/targets"):
            async with session.get(path) as answer:
                assert answer.status == 200


async def test_pages_are_made_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    real = targets._page

    def page(*arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return real(*arguments)

    monkeypatch.setattr(targets, "_page", page)
    async with served() as session, session.get("/targets") as answer:
        assert answer.status == 200
    assert threads and threading.get_ident() not in threads


async def test_who_asks_too_often_is_told_to_come_again() -> None:
    """One page at a time, some that wait, and no more: a reader in a hurry costs no more than one page."""
    gate, looking = asyncio.Event(), 0

    async def look() -> Snapshot:
        nonlocal looking
        looking += 1
        await gate.wait()
        return await nothing()

    async with served(look=look) as session:

        async def ask() -> tuple[int, str | None]:
            async with session.get("/targets") as answer:
                return answer.status, answer.headers.get("Retry-After")

        asked = [asyncio.create_task(ask()) for _ in range(20)]
        refused = [await done for done in asyncio.as_completed(asked[targets.MAX_WAITING + 1 :])]
        assert looking == 1
        gate.set()
        answers = [await one for one in asked]
    assert refused and set(refused) == {(503, "1")}
    assert answers.count((200, None)) == targets.MAX_WAITING + 1


def test_an_operator_that_shows_no_page_does_not_load_what_makes_them() -> None:
    code = "import sys, pyroscope_operator.cli; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
