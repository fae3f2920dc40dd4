"""Names of Services for pods: what CoreDNS would say, asked of the API server each time."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

import httpx

DOMAIN = "cluster.local"
_HEADER = struct.Struct("!6H")
_AUTHORITATIVE = 0x8400
_NO_SUCH_NAME = 3
_A = 1
_POINTER_TO_QUESTION = 0xC00C
_TTL_SECONDS = 1
_MAX_BYTES = 512


class Dns:
    """A server on UDP port 53 of an address, while the context lasts. It knows `<service>.<namespace>.svc.cluster.local`."""

    def __init__(self, address: str, api: httpx.Client) -> None:
        self._api = api
        self._ended = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._socket.settimeout(0.5)
        self._thread = threading.Thread(target=self._serve, name="dns")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                query, client = self._socket.recvfrom(_MAX_BYTES)
                self._socket.sendto(answer(query, self._service), client)
            except (TimeoutError, IndexError, struct.error, UnicodeDecodeError):
                continue  # nobody asks, or what came is no query

    def _service(self, name: str, namespace: str) -> str:
        try:
            found = self._api.get(f"/api/v1/namespaces/{namespace}/services/{name}")
        except httpx.HTTPError:
            return ""
        return str(found.json()["spec"].get("clusterIP", "")) if found.is_success else ""


def answer(query: bytes, service: Callable[[str, str], str]) -> bytes:
    """The response to a query; `service` gives the address of a service by name and namespace, or nothing."""
    number, _, _, _, _, _ = _HEADER.unpack_from(query)
    labels, at = [], _HEADER.size
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode())
        at += 1 + size
    (kind,) = struct.unpack_from("!H", query, at + 1)
    question = query[_HEADER.size : at + 5]
    address = service(*labels[:2]) if ".".join(labels[2:]) == f"svc.{DOMAIN}" else ""
    flags = _AUTHORITATIVE | (0 if address else _NO_SUCH_NAME)
    record = b""
    if address and kind == _A:
        record = struct.pack("!3HIH", _POINTER_TO_QUESTION, _A, 1, _TTL_SECONDS, 4) + socket.inet_aton(address)
    return _HEADER.pack(number, flags, 1, 1 if record else 0, 0, 0) + question + record
