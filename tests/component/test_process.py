"""The real process in standalone mode, over real sockets on loopback: scraping, and how it ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from pprof_builder import read
from scrape_fakes import cumulative, snapshot

from pyroscope_operator._proto.push_pb2 import PushRequest

GOROUTINE_ONLY = {name: {"enabled": False} for name in ("memory", "block", "mutex", "processCPU")}


@dataclass
class World:
    """A target and a Pyroscope. `status` is what Pyroscope answers; `open` is set unless it shall not answer at all."""

    status: int = 200
    open: asyncio.Event = field(default_factory=asyncio.Event)
    profiling: asyncio.Event = field(default_factory=asyncio.Event)
    scrapes: int = 0
    refused: int = 0
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    target: str = ""
    pyroscope: str = ""

    async def scraped(self, request: web.Request) -> web.Response:
        self.scrapes += 1
        if request.path.endswith("/profile"):
            self.profiling.set()
            await asyncio.sleep(30)
        return web.Response(body=cumulative(10 * self.scrapes) if request.path.endswith("/allocs") else snapshot())

    async def pushed(self, request: web.Request) -> web.Response:
        message = PushRequest.FromString(await request.read())
        await self.open.wait()
        if self.status != 200:
            self.refused += 1
            return web.Response(status=self.status)
        for series in message.series:
            labels = {pair.name: pair.value for pair in series.labels}
            self.taken += ((labels, sample.raw_profile) for sample in series.samples)
        return web.Response(content_type="application/proto")

    def manifest(self, folder: Path, *, port: str | None = None, interval: str = "1s", **config: Any) -> Path:
        """A file with one object that scrapes the target, or `port` instead."""
        path = folder / "scrape.json"  # JSON is YAML
        spec = {
            "staticTargets": [{"address": port or self.target, "labels": {"service_name": "checkout"}}],
            "interval": interval,
            "profilingConfig": {**GOROUTINE_ONLY, **config},
        }
        kind = {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeScrape"}
        path.write_text(json.dumps({**kind, "metadata": {"name": "checkout"}, "spec": spec}))
        return path


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    made, runners = World(), []
    made.open.set()
    for method, handler in (("GET", made.scraped), ("POST", made.pushed)):
        app = web.Application()
        app.router.add_route(method, "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
    made.target, made.pyroscope = (f"127.0.0.1:{runner.addresses[0][1]}" for runner in runners)
    try:
        yield made
    finally:
        made.open.set()
        for runner in runners:
            await runner.cleanup()


class Operator:
    """A running `pyroscope-operator run --standalone`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []
        self.address = ""

    async def line(self) -> dict[str, Any]:
        assert self.process.stderr is not None
        text = await self.process.stderr.readline()
        assert text, f"ended early: {self.log}"
        self.log.append(json.loads(text))
        return self.log[-1]

    async def ended(self, within: float) -> int:
        """The exit code; its log is read to the end."""
        assert self.process.stderr is not None
        async with asyncio.timeout(within):
            async for text in self.process.stderr:
                self.log.append(json.loads(text))
            return await self.process.wait()

    def messages(self) -> list[str]:
        return [entry["message"] for entry in self.log]


@asynccontextmanager
async def operator(here: World, path: Path, *flags: str, python_path: str = "") -> AsyncIterator[Operator]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(path.parent), "PYROSCOPE_URL": f"http://{here.pyroscope}"}
    environment["PYTHONPATH"] = python_path
    command = [sys.executable, "-m", "pyroscope_operator", "run", "--standalone", str(path), "--listen=127.0.0.1:0", *flags]
    pipe = asyncio.subprocess.PIPE
    running = Operator(await asyncio.create_subprocess_exec(*command, env=environment, stderr=pipe))
    try:
        async with asyncio.timeout(10):
            while running.log[-1:] == [] or running.log[-1]["message"] != "started":
                await running.line()
            running.address = running.log[-1]["listen"]
        yield running
    finally:
        if running.process.returncode is None:
            running.process.kill()
            await running.process.wait()


async def until(condition: Any, within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.02)


async def test_from_target_to_pyroscope(tmp_path: Path) -> None:
    async with world() as here, operator(here, here.manifest(tmp_path, memory={"enabled": True})) as running:
        await until(lambda: {labels["__name__"] for labels, _ in here.taken} >= {"memory", "goroutine"})
        async with aiohttp.ClientSession(f"http://{running.address}") as session:
            async with session.get("/readyz") as answer:
                assert answer.status == 200
            async with session.get("/metrics") as answer:
                assert 'pyroscope_fanout_latency_count{endpoint="default",write="default"}' in await answer.text()
            async with session.get("/api/v1/targets") as answer:
                overview = await answer.json()
        (seen,) = overview["objects"]
        assert {kind: c["status"] for kind, c in seen["conditions"].items()}["Ready"] == "True"
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended(5) == 0
    memory = [(labels, body) for labels, body in here.taken if labels["__name__"] == "memory"]
    common = {"namespace": "default", "service_name": "checkout", "job": "default/checkout", "instance": here.target}
    assert memory[0][0] == {**common, "__name__": "memory", "__delta__": "false"}
    ((values),) = read(gzip.decompress(memory[0][1])).values()
    assert 10 <= values[0] <= 30


async def test_without_the_native_core_it_says_so_once_and_works(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["pyroscope_operator.pprof._native"] = None\n')
    async with (
        world() as here,
        operator(here, here.manifest(tmp_path, memory={"enabled": True}), python_path=str(tmp_path)) as running,
    ):
        await until(lambda: {labels["__name__"] for labels, _ in here.taken} >= {"memory", "goroutine"})
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended(5) == 0
    assert [message for message in running.messages() if "native core is missing" in message] == [running.messages()[0]]


async def test_a_dead_target_is_told_in_words(tmp_path: Path) -> None:
    async with world() as here, operator(here, here.manifest(tmp_path, port="127.0.0.1:1")) as running:
        async with asyncio.timeout(10):
            while not running.log[-1]["message"].startswith("scrape failed"):
                await running.line()
        assert running.log[-1]["message"] == "scrape failed: ConnectFailed: cannot connect: connection refused"
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended(5) == 0


async def test_sigterm_pushes_what_is_queued(tmp_path: Path) -> None:
    """Pyroscope comes back only after the signal: nothing is lost."""
    async with world() as here, operator(here, here.manifest(tmp_path), "--shutdown-grace=10s") as running:
        here.status = 503
        await until(lambda: here.scrapes >= 2 and here.refused)
        running.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        scrapes, here.status = here.scrapes, 200
        assert await running.ended(10) == 0
        assert here.scrapes == scrapes, "no scrape after the signal"
    assert len(here.taken) == scrapes
    assert running.messages()[-1] == f"stopped: profiles pushed: {scrapes}, lost: 0"


async def test_sigterm_ends_within_the_grace(tmp_path: Path) -> None:
    """Even if Pyroscope takes a request and never answers."""
    async with world() as here, operator(here, here.manifest(tmp_path), "--shutdown-grace=1s") as running:
        here.open.clear()
        await until(lambda: here.scrapes)
        began = asyncio.get_running_loop().time()
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended(5) == 0, "the request alone would take 10 s"
        assert asyncio.get_running_loop().time() - began > 0.5
    end = running.log[-1]
    assert (end["level"], end["pushed"], end["lost"]) == ("WARNING", 0, {"Shutdown": here.scrapes}), (
        "the last line tells the loss"
    )
    assert not any("Traceback" in str(entry) for entry in running.log)


async def test_sigterm_in_a_long_scrape_does_not_wait_for_it(tmp_path: Path) -> None:
    async with world() as here:
        path = here.manifest(tmp_path, interval="2s", processCPU={"enabled": True}, goroutine={"enabled": False})
        async with operator(here, path) as running:
            await asyncio.wait_for(here.profiling.wait(), 10)
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended(3) == 0


async def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    async with world() as here, operator(here, here.manifest(tmp_path), "--shutdown-grace=60s") as running:
        here.open.clear()
        await until(lambda: here.scrapes)
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while running.log[-1]["message"] != "stopping":
                await running.line()
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended(1) == 1
    assert running.messages()[-1].startswith("second signal")
