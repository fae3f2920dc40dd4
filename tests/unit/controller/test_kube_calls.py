"""Our own API calls, against a server on loopback that answers like an API server, or badly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pyroscope_operator.api.kinds import SCRAPE, WRITE, Kind
from pyroscope_operator.controller.data import ClusterData
from pyroscope_operator.controller.kube import Kube, load_configuration, open_kube
from pyroscope_operator.errors import ApiError, SettingsError
from pyroscope_operator.model.data import DataRef
from pyroscope_operator.model.ref import ObjectRef

SHOP = ObjectRef("shop", "checkout")
SECRET = "s3cr3t"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def kubeconfig(server: str, **cluster: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "u", "user": {"token": SECRET}}],
        }
    )


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster but the one of the test."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str | bytes], None]:
    """Makes this the kubeconfig."""

    def write(content: str | bytes) -> None:
        path = tmp_path / "kubeconfig"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        monkeypatch.setenv("KUBECONFIG", str(path))

    return write


Use = Callable[[str | bytes], None]


@asynccontextmanager
async def api(handler: Handler, use: Use) -> AsyncIterator[Kube]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    use(kubeconfig(f"http://127.0.0.1:{runner.addresses[0][1]}"))
    try:
        async with open_kube(await load_configuration()) as kube:
            yield kube
    finally:
        await runner.cleanup()


def item(name: str, uid: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, "uid": uid}}


async def refused(call: Awaitable[Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await call
    assert SECRET not in str(caught.value)
    return caught.value


# Lists


@pytest.mark.parametrize(
    ("method", "kind", "path"),
    [
        ("pod_uids", (), "/api/v1/pods"),
        ("object_uids", (SCRAPE,), "/apis/pyroscope-operator.dev/v1alpha1/pyroscopescrapes"),
        ("object_uids", (WRITE,), "/apis/pyroscope-operator.dev/v1alpha1/pyroscopewrites"),
        ("pod_uids", ("shop",), "/api/v1/namespaces/shop/pods"),
        ("object_uids", (WRITE, "shop"), "/apis/pyroscope-operator.dev/v1alpha1/namespaces/shop/pyroscopewrites"),
    ],
)
async def test_a_list_is_paged_through(use: Use, method: str, kind: tuple[Kind | str, ...], path: str) -> None:
    pages = {
        "": ([item("a", "1"), item("b", "2")], "t/1=="),
        "t/1==": ([], "t2"),
        "t2": ([item("c", "3")], None),
    }
    asked: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request)
        items, token = pages[request.query.get("continue", "")]
        return web.json_response({"metadata": {"continue": token} if token else {}, "items": items})

    async with api(handler, use) as kube:
        listed = await getattr(kube, method)(*kind)
    assert listed == {ObjectRef("shop", name): uid for name, uid in (("a", "1"), ("b", "2"), ("c", "3"))}
    assert [request.path for request in asked] == [path] * 3
    for request in asked:
        assert "PartialObjectMetadataList" in request.headers["Accept"]
        assert request.query["limit"] == "500"
        assert request.headers["Authorization"] == f"Bearer {SECRET}"
        wanted = "status.phase!=Succeeded,status.phase!=Failed" if method == "pod_uids" else None
        assert request.query.get("fieldSelector") == wanted


async def test_namespaces_are_in_no_namespace(use: Use) -> None:
    asked: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request)
        return web.json_response({"items": [{"metadata": {"name": "shop", "uid": "1"}}]})

    async with api(handler, use) as kube:
        assert await kube.namespace_uids() == {ObjectRef("", "shop"): "1"}
    (request,) = asked
    assert request.path == "/api/v1/namespaces"
    assert "PartialObjectMetadataList" in request.headers["Accept"]


@pytest.mark.parametrize(
    "answer", [{"metadata": {}, "items": None}, {"metadata": {"continue": ""}, "items": []}, {"items": None}]
)
async def test_an_empty_list(use: Use, answer: dict[str, Any]) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(answer)

    async with api(handler, use) as kube:
        assert await kube.pod_uids() == {}


# Errors


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 500, 503])
async def test_refusals_carry_their_status(use: Use, status: int) -> None:
    calls = 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return web.json_response({"kind": "Status", "message": SECRET}, status=status)

    async with api(handler, use) as kube:
        for call in (kube.pod_uids, partial(kube.object_uids, WRITE)):
            error = await refused(call())
            assert (error.status, error.reason) == (status, "ApiServerRefused")
        assert (await refused(kube.apply_status(SCRAPE, SHOP, "u", {}))).status == status
        assert (await refused(kube.write_lease(SHOP, {"metadata": {}, "spec": {}}))).status == status
    # Our own loops try again, with our own waits; only the credentials are looked at once more.
    assert calls == 4 + (status == 401)


async def test_a_list_that_expires_between_pages(use: Use) -> None:
    async def handler(request: web.Request) -> web.Response:
        if "continue" in request.query:
            return web.json_response({"kind": "Status"}, status=410)
        return web.json_response({"metadata": {"continue": "x"}, "items": [item("a", "1")]})

    async with api(handler, use) as kube:
        assert (await refused(kube.pod_uids())).status == 410


@pytest.mark.parametrize("answer", [b"<html>log in first</html>", b"", b"[1]", b"null", b"\xff\xfe", b'{"items": '])
async def test_something_else_that_answers(use: Use, answer: bytes) -> None:
    """A proxy with a login page, say: no answer from the API server."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=answer)

    async with api(handler, use) as kube:
        error = await refused(kube.pod_uids())
    assert (error.status, error.reason) == (0, "ApiServerUnreachable")


async def test_a_connection_that_breaks(use: Use) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        if request.path == "/api/v1/pods":
            request.transport.abort()
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"{")
        request.transport.abort()
        return answer

    async with api(handler, use) as kube:
        assert (await refused(kube.pod_uids())).status == 0
        assert (await refused(kube.object_uids(SCRAPE))).status == 0


async def test_nobody_listens(use: Use) -> None:
    use(kubeconfig("http://127.0.0.1:1"))
    async with open_kube(await load_configuration()) as kube:
        error = await refused(kube.pod_uids())
    assert (error.status, error.reason) == (0, "ApiServerUnreachable")


async def test_a_call_can_be_cancelled(use: Use) -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with api(handler, use) as kube:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await kube.pod_uids()


# Credentials that change


@dataclass
class Guarded:
    """An API server that takes one token. `slow`: where it takes a second to refuse another one."""

    token: str = "old"
    slow: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        given = request.headers["Authorization"].removeprefix("Bearer ")
        resource = request.path.rsplit("/", 1)[-1]
        self.asked.append((resource, given))
        if given != self.token:
            await asyncio.sleep(1 if resource == self.slow else 0)
            return web.json_response({"kind": "Status", "message": SECRET}, status=401)
        return web.json_response({"items": [item("a", "1")]})


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("old")
    return path


async def written(path: Path, content: str) -> None:
    await asyncio.to_thread(path.write_text, content)


@asynccontextmanager
async def guarded(use: Use, token: Path, user: Any = None) -> AsyncIterator[tuple[Guarded, Kube]]:
    def use_file(content: str | bytes) -> None:
        use(json.dumps({**json.loads(content), "users": [{"name": "u", "user": user or {"tokenFile": str(token)}}]}))

    server = Guarded()
    async with api(server.answer, use_file) as kube:
        yield server, kube


async def test_a_new_token_is_used_at_once(use: Use, token: Path) -> None:
    async with guarded(use, token) as (server, kube):
        await kube.pod_uids()
        assert kube.answered_at > 1e9
        server.token = "new"
        await written(token, "new")
        assert await kube.pod_uids()
        assert await kube.object_uids(SCRAPE)
    assert [given for _, given in server.asked] == ["old", "old", "new", "new"]


async def test_several_calls_that_meet_a_new_token_share_it(use: Use, token: Path) -> None:
    """One of them asks for it, with a plugin that takes a while, the others wait for it; some are refused even later."""
    kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    answer = json.dumps({**kind, "status": {"token": "TOKEN"}})
    script = f"sleep 0.2; echo '{answer}' | sed \"s/TOKEN/$(cat {token})/\""
    plugin = {**kind, "command": "sh", "args": ["-c", script]}
    async with guarded(use, token, {"exec": plugin}) as (server, kube):
        assert await kube.pod_uids()
        server.token = "new"
        await written(token, "new")
        server.slow = "pods"
        calls = [asyncio.create_task(call()) for call in (kube.pod_uids, partial(kube.object_uids, SCRAPE)) * 2]
        assert [len(listed) for listed in await asyncio.gather(*calls)] == [1] * 4
    assert [given for _, given in server.asked] == ["old"] * 5 + ["new"] * 4


async def test_a_token_that_is_refused_is_not_looked_up_all_the_time(use: Use, token: Path) -> None:
    async with guarded(use, token) as (server, kube):
        server.token = "new"
        for _ in range(5):
            assert (await refused(kube.pod_uids())).status == 401
        assert len(server.asked) == 6
        assert kube.answered_at == 0


async def test_a_token_file_that_is_gone_for_a_moment(use: Use, token: Path) -> None:
    async with guarded(use, token) as (server, kube):
        server.token = "new"
        await asyncio.to_thread(token.unlink)
        assert (await refused(kube.pod_uids())).status == 401
        server.token = "old"
        assert await kube.pod_uids()


async def test_nobody_goes_on_without_credentials(use: Use, token: Path) -> None:
    """A token file that is empty for a moment must not make us anonymous: that is refused in another way, for ever."""
    with_file = kubeconfig("https://x").replace(f'"token": "{SECRET}"', f'"tokenFile": "{token}"')
    use(with_file)
    assert (await load_configuration()).api_key["BearerToken"] == "Bearer old"
    await written(token, "")
    with pytest.raises(SettingsError) as caught:
        await load_configuration()
    assert "credentials" in caught.value.message
    use(with_file.replace("https:", "http:"))  # kubectl proxy, say
    assert not (await load_configuration()).api_key


# Status and lease


async def test_the_status_is_applied_by_the_server(use: Use) -> None:
    asked: list[tuple[web.Request, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append((request, json.loads(await request.text())))
        return web.json_response({})

    async with api(handler, use) as kube:
        await kube.apply_status(SCRAPE, SHOP, "uid-1", {"summary": "1/2"})
    ((request, sent),) = asked
    assert request.method == "PATCH"
    assert request.path == "/apis/pyroscope-operator.dev/v1alpha1/namespaces/shop/pyroscopescrapes/checkout/status"
    assert (request.query["fieldManager"], request.query["force"].lower()) == ("pyroscope-operator", "true")
    assert request.content_type == "application/apply-patch+yaml"
    assert sent == {
        "apiVersion": "pyroscope-operator.dev/v1alpha1",
        "kind": "PyroscopeScrape",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "uid-1"},
        "status": {"summary": "1/2"},
    }


async def test_the_lease_is_read_made_and_replaced(use: Use) -> None:
    stored: dict[str, Any] = {}
    asked: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append((request.method, request.path))
        if request.method == "GET":
            return web.json_response(stored) if stored else web.json_response({}, status=404)
        sent = json.loads(await request.text())
        if stored and sent["metadata"].get("resourceVersion") != stored["metadata"]["resourceVersion"]:
            return web.json_response({}, status=409)
        version = int(stored["metadata"]["resourceVersion"]) + 1 if stored else 1
        stored.update(sent, metadata={**sent["metadata"], "resourceVersion": str(version)})
        return web.json_response(stored)

    async with api(handler, use) as kube:
        ref = ObjectRef("ns", "op")
        assert await kube.read_lease(ref) is None
        await kube.write_lease(ref, {"metadata": {"name": "op", "namespace": "ns"}, "spec": {"holderIdentity": "a"}})
        lease = await kube.read_lease(ref)
        assert lease is not None
        await kube.write_lease(ref, lease)
        assert (await refused(kube.write_lease(ref, lease))).status == 409
    one = "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
    assert asked == [
        ("GET", f"{one}/op"),
        ("POST", one),
        ("GET", f"{one}/op"),
        ("PUT", f"{one}/op"),
        ("PUT", f"{one}/op"),
    ]


# Where the cluster is


@pytest.mark.parametrize(
    "content",
    [
        "",
        "hello",
        "[]",
        "a: [",
        b"\xff\xfe\x00",
        "apiVersion: v1\nkind: Config\n",
        kubeconfig("http://x").replace('"current-context": "c"', '"current-context": "other"'),
        kubeconfig("https://x", **{"certificate-authority": "/nonexistent"}),
    ],
    ids=["empty", "text", "list", "broken", "binary", "no context", "unknown context", "no CA"],
)
async def test_a_kubeconfig_that_is_none(use: Use, content: str | bytes) -> None:
    use(content)
    with pytest.raises(SettingsError) as caught:
        await load_configuration()
    assert "KUBECONFIG" in caught.value.message
    assert SECRET not in str(caught.value)


async def test_a_ca_that_is_none(use: Use) -> None:
    use(kubeconfig("https://x", **{"certificate-authority-data": "aGVsbG8="}))
    configuration = await load_configuration()
    with pytest.raises(SettingsError) as caught:
        async with open_kube(configuration):
            pass
    assert "kubeconfig" in caught.value.message


async def test_no_cluster_at_all() -> None:
    with pytest.raises(SettingsError) as caught:
        await load_configuration()
    assert all(fix in caught.value.message for fix in ("in a pod", "KUBECONFIG", "--standalone"))


async def test_a_pod_without_a_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(SettingsError) as caught:
        await load_configuration()
    assert "no cluster" in caught.value.message


async def test_the_usual_place_of_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(kubeconfig("http://10.1.2.3:6443"))
    assert (await load_configuration()).host == "http://10.1.2.3:6443"


# Secrets and ConfigMaps


@pytest.mark.parametrize(
    ("kind", "path", "answer", "data"),
    [
        ("Secret", "secrets", {"data": {"token": "aHVudGVyMgo=", "empty": ""}}, {"token": b"hunter2\n", "empty": b""}),
        ("Secret", "secrets", {"data": None}, {}),
        ("ConfigMap", "configmaps", {"data": {"ca": "ü"}, "binaryData": {"b": "/w=="}}, {"ca": "ü".encode(), "b": b"\xff"}),
        ("ConfigMap", "configmaps", {}, {}),
    ],
)
async def test_data_is_got_and_nothing_else(use: Use, kind: Any, path: str, answer: Any, data: dict[str, bytes]) -> None:
    asked: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append((request.method, request.path_qs))
        return web.json_response(answer)

    async with api(handler, use) as kube:
        assert await ClusterData(kube).read(DataRef(kind, "shop", "credentials")) == data
    assert asked == [("GET", f"/api/v1/namespaces/shop/{path}/credentials")]


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
async def test_data_that_is_missing_or_refused(use: Use, kind: Any) -> None:
    status = [404, 403, 500]

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"message": SECRET}, status=status.pop(0))

    async with api(handler, use) as kube:
        data, ref = ClusterData(kube), DataRef(kind, "shop", "credentials")
        assert await data.read(ref) is None
        assert (await refused(data.read(ref))).status == 403
        assert (await refused(data.read(ref))).status == 500


@pytest.mark.parametrize("answer", [{"data": {"token": "not base64!"}}, {"data": "x"}, {"data": {"token": 5}}, {"data": ["x"]}])
async def test_data_that_is_none(use: Use, answer: Any) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(answer)

    async with api(handler, use) as kube:
        assert (await refused(ClusterData(kube).read(DataRef("Secret", "shop", "credentials")))).status == 0
