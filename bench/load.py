"""Work for a kube-apiserver, of many kinds, so that its profiles look like those of one in use."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx

from e2e.harness.controlplane import ADMIN_TOKEN, ControlPlane

_NAMESPACE = "load"
_BATCH = 20
"""Objects of each kind that are there at a time."""
_WATCHED = ("configmaps", "pods", "services", "secrets", "endpoints", "serviceaccounts")
_READ = (
    *("/apis", "/api/v1", "/openapi/v2", "/openapi/v3", "/openapi/v3/apis/apps/v1", "/version", "/metrics", "/readyz?verbose"),
    *("/api/v1/nodes", "/api/v1/namespaces", "/api/v1/events", "/apis/apps/v1/deployments", "/apis/batch/v1/jobs"),
    *("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
)
_APPLY = {"Content-Type": "application/apply-patch+yaml"}
_MERGE = {"Content-Type": "application/merge-patch+json"}
_PROTOBUF = {"Accept": "application/vnd.kubernetes.protobuf"}
_TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


class Load:
    """Clients of the API server and many idle watches, until `stop`."""

    def __init__(self, plane: ControlPlane, clients: int = 1, watches: int = 120, pause: float = 0.1) -> None:
        """`pause`: seconds between two requests of a client."""
        self._plane, self._pause = plane, pause
        self._ended = threading.Event()
        self._problems: list[Exception] = []
        with plane.client(ADMIN_TOKEN) as api:
            api.post("/api/v1/namespaces", json={"metadata": {"name": _NAMESPACE}})
        self._watches = [self._watch(number) for number in range(watches)]
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Raises what ended a client before."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for watch in self._watches:
            watch.close()
        if self._problems:
            raise self._problems[0]

    def _watch(self, number: int) -> ssl.SSLSocket:
        """Asked for and never read: it is about objects that don't change."""
        context = ssl.create_default_context(cafile=str(self._plane.folder / "certs/apiserver.crt"))
        raw = socket.create_connection(("127.0.0.1", self._plane.port))
        opened = context.wrap_socket(raw, server_hostname="127.0.0.1")
        kind = _WATCHED[number % len(_WATCHED)]
        path = f"/api/v1/namespaces/idle-{number}/{kind}?watch=true&resourceVersion=0"
        opened.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n".encode())
        return opened

    def _run(self, number: int) -> None:
        try:
            with self._plane.client(ADMIN_TOKEN) as api:
                turn = 0
                while not self._ended.is_set():
                    turn += 1
                    for step in _turn(f"{number}-{turn}"):
                        if self._ended.wait(self._pause):
                            return
                        _do(api, *step)
        except Exception as error:  # for whoever stops this
            self._problems.append(error)


def _do(api: httpx.Client, method: str, path: str, body: Any, headers: dict[str, str]) -> None:
    with suppress(httpx.TimeoutException):
        answer = api.request(method, path, json=body, headers=headers)
        if answer.is_server_error:
            answer.raise_for_status()


_Step = tuple[str, str, Any, dict[str, str]]


def _turn(name: str) -> Iterator[_Step]:
    """Requests: objects of several kinds are made, read, changed and deleted."""
    for path in _READ:
        yield "GET", path, None, {}
    kinds = list(_objects(name))
    for path, body in kinds:
        yield "POST", path, body, {}
    for path in dict.fromkeys(path for path, _ in kinds):
        for headers in ({}, _PROTOBUF, _TABLE):
            yield "GET", path, None, headers
        yield "GET", f"{path}?labelSelector=app%3Dload&limit=10", None, {}
    for path, body in kinds:
        one = f"{path}/{body['metadata']['name']}"
        yield "PATCH", one, {"metadata": {"annotations": {"turn": name}}}, _MERGE
        yield "GET", one, None, _PROTOBUF
    for path, body in kinds[::4]:
        one = f"{path}/{body['metadata']['name']}"
        wanted = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {"labels": {"applied": "yes"}}}
        yield "PATCH", f"{one}?fieldManager=bench&force=true", wanted, _APPLY
    review = {"spec": {"user": "somebody", "resourceAttributes": {"verb": "get", "resource": "pods"}}}
    yield "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review, {}
    yield "POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": name}}, {}
    for path, body in kinds:
        yield "DELETE", f"{path}/{body['metadata']['name']}?gracePeriodSeconds=0", None, {}


def _objects(turn: str) -> Iterator[tuple[str, dict[str, Any]]]:
    core, apps = f"/api/v1/namespaces/{_NAMESPACE}", f"/apis/apps/v1/namespaces/{_NAMESPACE}"
    template = {
        "metadata": {"labels": {"app": "load"}},
        "spec": {"containers": [{"name": "app", "image": "load:1", "env": [{"name": "TURN", "value": turn}]}]},
    }
    for number in range(_BATCH):
        meta = {"name": f"load-{turn}-{number}", "labels": {"app": "load", "turn": turn}}
        workload = {"selector": {"matchLabels": {"app": "load"}}, "template": template}
        yield f"{core}/configmaps", _object("v1", "ConfigMap", meta, data={"text": "x" * 2000})
        yield f"{core}/secrets", _object("v1", "Secret", meta, stringData={"text": "x" * 500})
        yield f"{core}/pods", _object("v1", "Pod", meta, spec=template["spec"])
        yield f"{apps}/deployments", _object("apps/v1", "Deployment", meta, spec={**workload, "replicas": 3})
        if number % 5 == 0:
            yield f"{core}/services", _object("v1", "Service", meta, spec={"ports": [{"port": 80}], "selector": {"app": "load"}})
            yield f"{core}/serviceaccounts", _object("v1", "ServiceAccount", meta)
            yield f"{apps}/statefulsets", _object("apps/v1", "StatefulSet", meta, spec={**workload, "serviceName": "load"})
            role = {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
            roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{_NAMESPACE}/roles"
            yield roles, _object("rbac.authorization.k8s.io/v1", "Role", meta, **role)


def _object(version: str, kind: str, meta: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": meta, **rest}
