"""The few API calls that the operator makes itself, besides Kopf's watches."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.client.rest import RESTClientObject, RESTResponse

from pyroscope_operator.api import GROUP, VERSION
from pyroscope_operator.api.kinds import Kind
from pyroscope_operator.errors import ApiError, SettingsError
from pyroscope_operator.model.data import DataRef
from pyroscope_operator.model.ref import ObjectRef

FIELD_MANAGER = "pyroscope-operator"
POD_FIELDS = "status.phase!=Succeeded,status.phase!=Failed"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_CORE, _OURS, _LEASES = "api/v1", f"apis/{GROUP}/{VERSION}", "apis/coordination.k8s.io/v1"
_PAGE = 500
_TIMEOUT = 30.0
"""Seconds for any of these calls."""
_RENEW_SECONDS = 5.0
"""Between two looks for new credentials: they may come from a plugin, which is a process each time."""


async def load_configuration() -> client.Configuration:
    """In-cluster where there is a service account, else from $KUBECONFIG or ~/.kube/config.

    Raises SettingsError when there is neither.
    """
    configuration = client.Configuration()
    configuration.client_side_validation = False
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(config_file=_kubeconfig(), client_configuration=configuration, persist_config=False)
    except (config.ConfigException, OSError, RuntimeError) as error:  # the last one: nobody knows where ~ is
        raise SettingsError("no cluster: run in a pod, set KUBECONFIG, or use --standalone") from error
    except Exception as error:  # the client takes a file that is no kubeconfig for granted: TypeError, YAMLError and more
        raise SettingsError("the kubeconfig can't be read: mend it, or set KUBECONFIG to another one") from error
    if configuration.host.startswith("https:") and not configuration.api_key and not configuration.cert_file:
        # An anonymous call would be answered 403, and new credentials are looked for after a 401 only.
        raise SettingsError("the kubeconfig has no credentials: no token, or an empty file, and no client certificate")
    return configuration


def _kubeconfig() -> str:
    return os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())


class _Request(NamedTuple):
    method: str
    path: str
    query: Mapping[str, str] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})
    body: Mapping[str, Any] | None = None


def _path(api: str, plural: str, namespace: str | None = None, name: str | None = None) -> str:
    """Of a list, or of one object; of all namespaces, or of what is in none, without `namespace`."""
    names = [*(("namespaces", namespace) if namespace else ()), plural, *((name,) if name else ())]
    return f"/{api}/" + "/".join(quote(part, safe="") for part in names)


class Kube:
    """Open it with `open_kube`."""

    answered_at = 0.0
    """Unix time of the last call that succeeded."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._renewing = asyncio.Lock()
        self._looked_at = -_RENEW_SECONDS
        self._retired: list[tuple[float, RESTClientObject]] = []

    async def pod_uids(self, namespace: str | None = None) -> dict[ObjectRef, str]:
        """UIDs of the pods that are watched in a namespace; in all of them for None. Raises ApiError."""
        return await self._uids(_path(_CORE, "pods", namespace), fieldSelector=POD_FIELDS)

    async def object_uids(self, kind: Kind, namespace: str | None = None) -> dict[ObjectRef, str]:
        """UIDs of our objects of a kind in a namespace; in all of them for None. Raises ApiError."""
        return await self._uids(_path(_OURS, kind.plural, namespace))

    async def namespace_uids(self) -> dict[ObjectRef, str]:
        """UIDs of the namespaces, which are in no namespace themselves. Raises ApiError."""
        return await self._uids(_path(_CORE, "namespaces"))

    async def _uids(self, path: str, **selection: str) -> dict[ObjectRef, str]:
        """Page through a list, metadata only: a tenth of the bytes of whole pods."""
        uids: dict[ObjectRef, str] = {}
        more: dict[str, str] = {}
        while True:
            query = {"limit": str(_PAGE), **selection, **more}
            page = await self._call("list", _Request("GET", path, query, {"Accept": _METADATA_ONLY}))
            for item in page.get("items") or ():
                meta = item["metadata"]
                uids[ObjectRef(meta.get("namespace", ""), meta["name"])] = meta["uid"]
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return uids
            more = {"continue": token}

    async def apply_status(self, kind: Kind, ref: ObjectRef, uid: str, status: Mapping[str, Any]) -> None:
        """Server-side apply of an object's status; the uid guards against a namesake. Raises ApiError."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": kind.name,
            "metadata": {"name": ref.name, "namespace": ref.namespace, "uid": uid},
            "status": status,
        }
        path = _path(_OURS, kind.plural, ref.namespace, ref.name) + "/status"
        query, apply = {"fieldManager": FIELD_MANAGER, "force": "true"}, {"Content-Type": "application/apply-patch+yaml"}
        await self._call(f"status of {ref}", _Request("PATCH", path, query, apply, body))

    async def create_event(self, event: Mapping[str, Any]) -> None:
        """Create an Event (core/v1, as JSON) in the namespace of its metadata. Raises ApiError."""
        await self._call("event", _Request("POST", _path(_CORE, "events", event["metadata"]["namespace"]), body=event))

    async def read_data(self, ref: DataRef) -> dict[str, Any] | None:
        """A Secret or ConfigMap, or None where there is none. Raises ApiError."""
        plural = {"Secret": "secrets", "ConfigMap": "configmaps"}[ref.kind]
        return await self._read(str(ref), _path(_CORE, plural, ref.namespace, ref.name))

    async def read_lease(self, ref: ObjectRef) -> dict[str, Any] | None:
        """The Lease, or None where there is none. Raises ApiError."""
        return await self._read("lease", _path(_LEASES, "leases", ref.namespace, ref.name))

    async def _read(self, what: str, path: str) -> dict[str, Any] | None:
        try:
            return await self._call(what, _Request("GET", path))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def write_lease(self, ref: ObjectRef, lease: Mapping[str, Any]) -> None:
        """Create it, or replace the version that was read; ApiError 409 means somebody was faster."""
        if "resourceVersion" in lease["metadata"]:
            await self._call("lease", _Request("PUT", _path(_LEASES, "leases", ref.namespace, ref.name), body=lease))
        else:
            await self._call("lease", _Request("POST", _path(_LEASES, "leases", ref.namespace), body=lease))

    async def _call(self, what: str, request: _Request) -> dict[str, Any]:
        """The answer's JSON, asked for once more if there are new credentials meanwhile. Raises ApiError."""
        used = self._api.rest_client
        try:
            answer = await _answer(what, self._send(request))
        except ApiError as error:
            if error.status != 401 or not await self._renewed(used):
                raise
            answer = await _answer(what, self._send(request))
        self.answered_at = time.time()
        return answer

    async def _send(self, request: _Request) -> RESTResponse:
        """As the client's generated classes do; to import those takes 28 MB, for their models of all kinds."""
        headers = {"Accept": "application/json", "Content-Type": "application/json", **request.headers}
        made = await self._api.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query.items()),
            header_params=headers,
            body=request.body,
            auth_settings=["BearerToken"],
        )
        sent: RESTResponse = await self._api.call_api(*made, _preload_content=False)
        return sent

    async def _renewed(self, refused: RESTClientObject) -> bool:
        """Read the credentials anew, unless another call has just done so.

        In a pod the token is replaced every hour, and the client looks at it once a
        minute; a token file named by a kubeconfig it never reads again.
        """
        async with self._renewing:
            if self._api.rest_client is not refused:
                return True
            if time.monotonic() - self._looked_at < _RENEW_SECONDS:
                return False
            self._looked_at = time.monotonic()
            try:
                async with asyncio.timeout(_TIMEOUT):
                    configuration = await load_configuration()
                self._api.rest_client = RESTClientObject(configuration)
            except (SettingsError, OSError):  # in the middle of being replaced, perhaps
                return False
            self._api.configuration = configuration
            await self._retire(refused)
            return True

    async def _retire(self, refused: RESTClientObject) -> None:
        """Close it when no call can use it any more: aiohttp takes a session that is closed meanwhile for its own bug."""
        now = time.monotonic()
        while self._retired and now - self._retired[0][0] > _TIMEOUT:
            await self._retired.pop(0)[1].close()
        self._retired.append((now, refused))

    async def close(self) -> None:
        for _, refused in self._retired:
            await refused.close()


async def _answer(what: str, call: Awaitable[Any]) -> dict[str, Any]:
    """Await an API call and parse its JSON; every failure becomes an ApiError."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            response = await call
            body = await response.read()
    except ApiException as error:
        raise ApiError(error.status or 0, what) from error
    except (aiohttp.ClientError, OSError, config.ConfigException) as error:  # the last one: the token's file is empty
        raise ApiError(0, what) from error
    if response.status >= 400:
        raise ApiError(response.status, what)
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise ApiError(0, what) from error
    if not isinstance(parsed, dict):  # something between us and the API server has answered
        raise ApiError(0, what)
    return parsed


@asynccontextmanager
async def open_kube(configuration: client.Configuration) -> AsyncIterator[Kube]:
    """The calls over one connection pool. Raises SettingsError when the certificates can't be used."""
    try:
        api = client.ApiClient(configuration)
    except OSError as error:
        raise SettingsError("the certificates of the cluster can't be read: mend the kubeconfig") from error
    async with api:
        kube = Kube(api)
        try:
            yield kube
        finally:
            await kube.close()
