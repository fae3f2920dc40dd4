"""The few API calls that the operator makes itself, besides Kopf's watches."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from pyroscope_operator.api import GROUP, VERSION
from pyroscope_operator.api.scrape import PLURAL
from pyroscope_operator.errors import ApiError, SettingsError
from pyroscope_operator.model.ref import ObjectRef

FIELD_MANAGER = "pyroscope-operator"
POD_FIELDS = "status.phase!=Succeeded,status.phase!=Failed"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE = 500
_TIMEOUT = 30.0
"""Seconds for any of these calls."""


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
    return configuration


def _kubeconfig() -> str:
    return os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())


class Kube:
    """Open it with `open_kube`."""

    def __init__(self, api: client.ApiClient) -> None:
        self._core = client.CoreV1Api(api)
        self._custom = client.CustomObjectsApi(api)
        self._leases = client.CoordinationV1Api(api)

    async def pod_uids(self) -> dict[ObjectRef, str]:
        """UIDs of all pods that are watched. Raises ApiError."""
        return await self._uids(self._core.list_pod_for_all_namespaces_without_preload_content, field_selector=POD_FIELDS)

    async def object_uids(self) -> dict[ObjectRef, str]:
        """UIDs of all PyroscopeScrapes. Raises ApiError."""
        listing = self._custom.list_cluster_custom_object_without_preload_content
        return await self._uids(listing, group=GROUP, version=VERSION, plural=PLURAL)

    async def _uids(self, listing: Any, **selection: str) -> dict[ObjectRef, str]:
        """Page through a list, metadata only: a tenth of the bytes of whole pods."""
        uids: dict[ObjectRef, str] = {}
        more: dict[str, str] = {}
        while True:
            page = await _call("list", listing(limit=_PAGE, _headers={"Accept": _METADATA_ONLY}, **selection, **more))
            for item in page.get("items") or ():
                meta = item["metadata"]
                uids[ObjectRef(meta["namespace"], meta["name"])] = meta["uid"]
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return uids
            more = {"_continue": token}

    async def apply_status(self, ref: ObjectRef, uid: str, status: Mapping[str, Any]) -> None:
        """Server-side apply of a PyroscopeScrape's status; the uid guards against a namesake. Raises ApiError."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "PyroscopeScrape",
            "metadata": {"name": ref.name, "namespace": ref.namespace, "uid": uid},
            "status": status,
        }
        call = self._custom.patch_namespaced_custom_object_status_without_preload_content(
            group=GROUP,
            version=VERSION,
            namespace=ref.namespace,
            plural=PLURAL,
            name=ref.name,
            body=body,
            field_manager=FIELD_MANAGER,
            force=True,
            _content_type="application/apply-patch+yaml",
        )
        await _call(f"status of {ref}", call)

    async def create_event(self, event: Mapping[str, Any]) -> None:
        """Create an Event (core/v1, as JSON) in the namespace of its metadata. Raises ApiError."""
        namespace = event["metadata"]["namespace"]
        await _call("event", self._core.create_namespaced_event_without_preload_content(namespace, event))

    async def read_lease(self, ref: ObjectRef) -> dict[str, Any] | None:
        """The Lease, or None where there is none. Raises ApiError."""
        try:
            return await _call("lease", self._leases.read_namespaced_lease_without_preload_content(ref.name, ref.namespace))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def write_lease(self, ref: ObjectRef, lease: Mapping[str, Any]) -> None:
        """Create it, or replace the version that was read; ApiError 409 means somebody was faster."""
        if "resourceVersion" in lease["metadata"]:
            call = self._leases.replace_namespaced_lease_without_preload_content(ref.name, ref.namespace, lease)
        else:
            call = self._leases.create_namespaced_lease_without_preload_content(ref.namespace, lease)
        await _call("lease", call)


async def _call(what: str, call: Any) -> dict[str, Any]:
    """Await an API call and parse its JSON; every failure becomes an ApiError."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            response = await call
            body = await response.read()
    except ApiException as error:
        raise ApiError(error.status or 0, what) from error
    except (aiohttp.ClientError, OSError) as error:
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
        yield Kube(api)
