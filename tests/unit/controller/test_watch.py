"""The watches: a real Kopf against a server on loopback that answers like an API server, or badly."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pyroscope_operator.api.kinds import KINDS, WRITE
from pyroscope_operator.controller.watch import NamespaceWatch, ObjectWatch, Watch
from pyroscope_operator.engine.store import Store
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

_GROUP = "pyroscope-operator.dev"
_PODS, _OBJECTS, _WRITES = "/api/v1/pods", *(f"/apis/{_GROUP}/v1alpha1/{kind.plural}" for kind in KINDS)
A = ObjectRef("shop", "a")


class ApiServer:
    """Discovery, lists and watches.

    `refuse`: the status of every answer; `refuse_path`: of those at these paths;
    `refuse_watch`: of the answers to watches of these; `silent`: where a watch gets no answer.
    """

    def __init__(self) -> None:
        self.refuse = 0
        self.refuse_path: dict[str, int] = {}
        self.refuse_watch: dict[str, int] = {}
        self.silent = ""
        self.listed: dict[str, list[dict[str, Any]]] = {_PODS: [], _OBJECTS: [], _WRITES: []}
        self.lists: dict[str, int] = defaultdict(int)
        self.asked: set[str] = set()
        self.streams: dict[str, asyncio.Queue[dict[str, Any] | None]] = defaultdict(asyncio.Queue)
        self.tokens: list[str] = []
        self.valid = ""
        self.watching = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers["Authorization"].removeprefix("Bearer "))
        self.asked.add(request.path)
        watching = "watch" in request.query
        if self.valid and self.tokens[-1] != self.valid:
            return web.json_response({"kind": "Status", "code": 401}, status=401)
        if status := self.refuse or self.refuse_path.get(request.path) or (watching and self.refuse_watch.get(request.path)):
            return web.json_response({"kind": "Status", "code": status, "message": "s3cr3t"}, status=status)
        if request.path in self.listed:
            return await (self._watch(request) if watching else self._list(request))
        return web.json_response(_DISCOVERY[request.path])

    async def _list(self, request: web.Request) -> web.Response:
        self.lists[request.path] += 1
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": self.listed[request.path]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        if request.path == self.silent:
            await asyncio.Event().wait()
        await stream.prepare(request)
        self.watching += 1
        while (event := await self.streams[request.path].get()) is not None:
            await stream.write(json.dumps(event).encode() + b"\n")
        self.watching -= 1
        return stream

    def cut(self) -> None:
        """End all watches."""
        for stream in self.streams.values():
            stream.put_nowait(None)

    def say(self, kind: str, name: str, uid: str, path: str = _PODS) -> None:
        self.streams[path].put_nowait({"type": kind, "object": thing(name, uid)})


def thing(name: str, uid: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": uid}, "spec": {}, "status": {}}


def _resources(**kinds: str) -> dict[str, Any]:
    common = {"singularName": "", "namespaced": True, "verbs": ["get", "list", "watch"]}
    return {"resources": [{"name": name, "kind": kind, **common} for name, kind in kinds.items()]}


_IN_NONE = {"singularName": "", "namespaced": False, "verbs": ["get", "list", "watch"]}
_VERSION = {"groupVersion": f"{_GROUP}/v1alpha1", "version": "v1alpha1"}
_DISCOVERY = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [*_resources(pods="Pod")["resources"], {"name": "namespaces", "kind": "Namespace", **_IN_NONE}]},
    "/apis": {"groups": [{"name": _GROUP, "versions": [_VERSION], "preferredVersion": _VERSION}]},
    f"/apis/{_GROUP}/v1alpha1": _resources(pyroscopescrapes="PyroscopeScrape", pyroscopewrites="PyroscopeWrite"),
}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("old")
    return path


Make = Callable[[Store, Metrics], Watch]
_OBJECTS_AND_PODS = partial(ObjectWatch, pause=0.2)


@asynccontextmanager
async def watching(
    server: ApiServer, token: Path, monkeypatch: pytest.MonkeyPatch, make: Make = _OBJECTS_AND_PODS
) -> AsyncIterator[tuple[Store, Watch]]:
    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
        "users": [{"name": "u", "user": {"tokenFile": str(token)}}],
    }
    kubeconfig = token.with_name("kubeconfig")
    await asyncio.to_thread(kubeconfig.write_text, json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    metrics = Metrics()
    store = Store(metrics)
    watch = make(store, metrics)
    task = asyncio.create_task(watch.run())
    try:
        yield store, watch
    finally:
        task.cancel()
        await asyncio.wait([task])
        await runner.cleanup()
    assert task.cancelled()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_what_is_listed_and_what_is_told(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ApiServer()
    server.listed[_PODS] = [thing("a", "1")]
    async with watching(server, token, monkeypatch) as (store, _):
        await until(lambda: store.pod_uids() == {A: "1"})
        server.say("ADDED", "b", "2")
        server.say("ADDED", "o", "3", _OBJECTS)
        server.say("ADDED", "o", "4", _WRITES)
        await until(lambda: len(store.pod_uids()) == 2 and store.object_uids() == {ObjectRef("shop", "o"): "3"})
        await until(lambda: store.object_uids(WRITE) == {ObjectRef("shop", "o"): "4"})
        server.say("DELETED", "b", "2")
        server.say("DELETED", "o", "3", _OBJECTS)
        await until(lambda: store.pod_uids() == {A: "1"} and not store.object_uids())
        assert store.writes, "only its namesake has ended"
        server.say("DELETED", "o", "4", _WRITES)
        await until(lambda: not store.writes)


async def test_a_user_without_a_name(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number."""

    def unknown() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", unknown)
    server = ApiServer()
    server.listed[_PODS] = [thing("a", "1")]
    async with watching(server, token, monkeypatch) as (store, _):
        await until(lambda: store.pod_uids() == {A: "1"})


@pytest.mark.parametrize("path", [_PODS, _OBJECTS, _WRITES], ids=["pod", "object", "write"])
async def test_the_end_of_one_is_not_the_end_of_its_namesake(path: str, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kopf handles the two side by side: the new one's beginning may come before the old one's end."""
    server = ApiServer()
    server.listed[path] = [thing("a", "1")]
    async with watching(server, token, monkeypatch) as (store, _):
        uids = {_PODS: store.pod_uids, _WRITES: partial(store.object_uids, WRITE)}.get(path, store.object_uids)
        await until(lambda: uids() == {A: "1"})
        server.say("ADDED", "a", "2", path)
        await until(lambda: uids() == {A: "2"})
        server.say("DELETED", "a", "1", path)
        server.say("ADDED", "z", "3", path)
        await until(lambda: len(uids()) == 2)
        assert uids()[A] == "2"


@pytest.mark.parametrize("status", [401, 410])
async def test_it_comes_back_from_what_kopf_does_not_survive(
    status: int, token: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And says so once, without the API server's words. Kopf's own loggers are silent unless at level debug (log.py)."""
    caplog.set_level(logging.INFO)
    server = ApiServer()
    server.listed[_PODS] = [thing("a", "1")]
    server.refuse = status
    async with watching(server, token, monkeypatch) as (store, _):
        await until(lambda: len(server.tokens) >= 4)  # two lives at least
        server.refuse = 0
        await until(lambda: store.pod_uids() == {A: "1"})
    gc.collect()  # a task that failed and was not asked complains when it is forgotten
    (said,) = [record for record in caplog.records if not record.name.startswith("kopf.")]
    reason = "credentials refused" if status == 401 else "APIClientError"
    assert said.getMessage() == f"the watches ended and are started again: {reason}"


async def test_one_watch_that_fails_does_not_wait_for_the_other(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of pods waits for an answer while that of objects is refused."""
    server = ApiServer()
    server.silent = _PODS
    server.refuse_watch[_OBJECTS] = 410
    async with watching(server, token, monkeypatch) as (store, _):
        await until(lambda: server.lists[_OBJECTS] >= 2)
        server.silent = ""
        server.refuse_watch.clear()
        server.say("ADDED", "a", "1")
        await until(lambda: store.pod_uids() == {A: "1"})


async def test_a_new_token(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ApiServer()
    server.listed[_PODS] = [thing("a", "1")]
    server.refuse = 401
    async with watching(server, token, monkeypatch) as (store, _):
        await until(lambda: server.tokens)
        await replace(token, "new")
        server.refuse = 0
        await until(lambda: store.pod_uids() == {A: "1"})
        assert server.tokens[-1] == "new"


async def test_a_token_that_is_replaced_in_time_costs_no_new_list(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ApiServer()
    server.listed[_PODS] = [thing("a", "1")]
    async with watching(server, token, monkeypatch) as (store, _):
        await until(lambda: store.pod_uids() == {A: "1"} and server.watching == 3)
        await replace(token, "new")
        server.valid = "new"
        server.cut()
        await until(lambda: server.watching == 3)
        server.say("DELETED", "a", "1")
        await until(lambda: not store.pod_uids())
        assert server.lists == {_PODS: 1, _OBJECTS: 1, _WRITES: 1}
        assert {"old", "new"} == set(server.tokens)


async def replace(token: Path, content: str) -> None:
    fresh = token.with_name("fresh")
    await asyncio.to_thread(fresh.write_text, content)
    await asyncio.to_thread(fresh.rename, token)


async def test_started_again_on_demand(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a deaf watch has missed is there after the new list."""
    server = ApiServer()
    async with watching(server, token, monkeypatch) as (store, watch):
        await until(lambda: server.lists[_PODS] and server.lists[_OBJECTS] and server.lists[_WRITES])
        server.listed[_PODS] = [thing("a", "1")]
        await asyncio.sleep(0.5)
        assert not store.pod_uids()
        watch.restart()
        await until(lambda: store.pod_uids() == {A: "1"})
        assert server.lists == {_PODS: 2, _OBJECTS: 2, _WRITES: 2}


async def test_some_namespaces_only(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is refused, since it does not exist yet, is nothing to the other; nobody asks for the whole cluster."""
    server = ApiServer()
    for path in (_PODS, _OBJECTS, _WRITES):
        del server.listed[path]
        base, _, plural = path.rpartition("/")
        for namespace in ("shop", "later"):
            server.listed[f"{base}/namespaces/{namespace}/{plural}"] = []
    shop, later = "/api/v1/namespaces/shop/pods", "/api/v1/namespaces/later/pods"
    server.listed[shop] = [thing("a", "1")]
    server.listed[later] = [thing("b", "2")]
    server.refuse_path = {path: 403 for path in server.listed if "/later/" in path}
    make = partial(ObjectWatch, namespaces=("shop", "later"), pause=0.2)
    async with watching(server, token, monkeypatch, make) as (store, _):
        await until(lambda: store.pod_uids() == {A: "1"} and server.watching == 3)
        server.say("ADDED", "c", "3", shop)
        await until(lambda: len(store.pod_uids()) == 2)
        server.refuse_path.clear()
        await until(lambda: ObjectRef("shop", "b") in store.pod_uids() and server.watching == 6)
    assert server.asked - _DISCOVERY.keys() == server.listed.keys()
    assert server.lists[shop] == 1


async def test_namespaces(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their labels, and nothing of pods and objects."""
    server, path = ApiServer(), "/api/v1/namespaces"

    def namespace(name: str, uid: str, **labels: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": uid, "resourceVersion": uid, "labels": labels}}

    server.listed[path] = [namespace("shop", "1", team="x"), {"metadata": {"name": "bare", "uid": "2", "resourceVersion": "2"}}]
    async with watching(server, token, monkeypatch, partial(NamespaceWatch, pause=0.2)) as (store, _):
        known = store.namespaces
        await until(lambda: known.labels == {"shop": {"team": "x"}, "bare": {}})
        server.streams[path].put_nowait({"type": "MODIFIED", "object": namespace("shop", "1", team="y")})
        await until(lambda: known.labels["shop"] == {"team": "y"})
        server.streams[path].put_nowait({"type": "DELETED", "object": namespace("shop", "1", team="y")})
        await until(lambda: known.uids() == {ObjectRef("", "bare"): "2"})
    assert server.asked - _DISCOVERY.keys() == {path}
