"""A gate and proxies together, where they are, and which secrets of a test must be seen nowhere else."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from e2e.harness.cluster import Cluster
from e2e.harness.parts import ForwardProxy, Gate, Operator
from e2e.harness.process import free_port

NETWORK = "127.0.30.0/24"
"""Of everything here; to be allowed, for loopback addresses are denied."""
NAME = "gate.example"
"""The gate's name, which stands in its certificates and which nobody but the proxies can resolve."""
_IP, _ELSEWHERE, _DEAD = "127.0.30.1", "127.0.30.99", "127.0.30.98"


class _Addresses(Template):
    """`$name` or `${name}` in a text, where the names are those of faces."""

    idpattern = "[a-z0-9-]+"


class Doors:
    """A gate, and three proxies: one for all, one that wants a login, one that lets nobody through."""

    def __init__(self, folder: Path, login: str) -> None:
        """`login` is user:password of the second proxy."""
        self._login = login
        self.gate = Gate(folder, _IP, _ELSEWHERE)
        known = ("--resolve", f"{NAME}={_IP}")
        self.proxy = ForwardProxy(folder, _IP, *known)
        self._others = (
            ForwardProxy(folder, _IP, *known, "--basic-auth", login, name="proxy-login"),
            ForwardProxy(folder, _IP, "--deny", _IP, name="proxy-deny"),
        )
        self.login_proxy, deny_proxy = self._others
        self.addresses = {
            **self.gate.faces,
            **{f"{face}-port": str(self.gate.port(face)) for face in self.gate.faces},
            "proxy": self.proxy.http,
            "socks": self.proxy.socks,
            "proxy-login": self.login_proxy.http,
            "socks-login": self.login_proxy.socks,
            "proxy-deny": deny_proxy.http,
            "socks-deny": deny_proxy.socks,
            "dead": f"{_DEAD}:{free_port(_DEAD)}",
        }
        """By name: the faces (and `-port` of each), the proxies, and `dead`, where nobody is."""

    @property
    def environment(self) -> dict[str, str]:
        """For an operator that is told a proxy by its environment: the one that wants a login.

        127.0.0.1 is the API server, which the operator's Kubernetes client would go to through it, too.
        """
        url = f"http://{self._login}@{self.addresses['proxy-login']}"
        return {"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": "direct.example,127.0.0.1"}

    def filled(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """With addresses instead of names."""
        filled: dict[str, Any] = json.loads(_Addresses(json.dumps(spec)).substitute(self.addresses))
        return filled

    def value(self, text: str) -> str:
        """`@file` is what is in that file of the gate."""
        return self.gate.pem(text[1:]) if text.startswith("@") else text

    def data(self, kind: str, namespace: str, name: str, values: Mapping[str, str]) -> dict[str, Any]:
        """A Secret or ConfigMap."""
        filled = {key: self.value(value) for key, value in values.items()}
        data = {"stringData": filled} if kind == "Secret" else {"data": filled}
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, **data}

    def close(self) -> None:
        for child in (self.gate, self.proxy, *self._others):
            child.stop()


def needles(values: Iterable[str]) -> set[str]:
    """What to look for where none of these secrets may be: they themselves, their lines, and what base64 makes of them."""
    lines = {line for value in values for line in value.splitlines() if len(line) >= 8 and not line.startswith("-----")}
    return lines | {base64.b64encode(line.encode()).decode().rstrip("=") for line in lines}


def haystacks(cluster: Cluster, operator: Operator) -> dict[str, str]:
    """Everything that an operator tells the world: its log, its pages, the status of all objects, and Events."""
    found = {path: operator.get(path).text for path in ("/metrics", "/api/v1/targets", "/targets")}
    found["log"] = operator.stderr.read_text() + operator.stdout.read_text()
    for resource in ("pyroscopescrapes", "pyroscopewrites"):
        listed = cluster.api.get(f"/apis/pyroscope-operator.dev/v1alpha1/{resource}")
        if listed.is_success:
            found[resource] = json.dumps([one.get("status") for one in listed.json()["items"]])
    found["events"] = json.dumps(cluster.api.get("/api/v1/events").raise_for_status().json()["items"])
    return found


def leaks(cluster: Cluster, operator: Operator, values: Iterable[str]) -> list[tuple[str, str]]:
    """Where a secret was found, and which."""
    wanted = needles(values)
    places = haystacks(cluster, operator)
    return [(place, needle) for place, text in places.items() for needle in wanted if needle in text]
