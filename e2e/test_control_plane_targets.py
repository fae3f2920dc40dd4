"""kube-apiserver and etcd themselves as targets: TLS and a token, TLS and a client certificate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness.cluster import Cluster
from e2e.harness.parts import Etcd, Gate, Operator, Receiver
from e2e.harness.rights import Account
from e2e.harness.wait import eventually

_NAMESPACE = "default"
_OFF = {"enabled": False}
_PROFILES = {"block": _OFF, "mutex": _OFF}
_NO_CPU = {"profilingConfig": {**_PROFILES, "processCPU": _OFF}}
"""For all but one: a process takes one CPU profile at a time."""


@pytest.fixture(scope="module")
def etcd(binaries: None, folder: Path) -> Iterator[tuple[Etcd, Gate]]:
    """One with certificates of a gate."""
    gate = Gate(folder, "127.0.33.1", "127.0.33.99")
    etcd = Etcd(folder, gate.certs)
    yield etcd, gate
    etcd.stop()
    gate.stop()


def _data(kind: str, name: str, data: dict[str, str]) -> dict[str, Any]:
    key = "stringData" if kind == "Secret" else "data"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": _NAMESPACE}, key: data}


def _spec(address: str, service: str, **more: Any) -> dict[str, Any]:
    target = {"address": address, "labels": {"service_name": service}}
    return {"scheme": "https", "interval": "4s", "staticTargets": [target], "profilingConfig": _PROFILES, **more}


def _arrive(cluster: Cluster, receiver: Receiver, name: str) -> None:
    cluster.wait_for(_NAMESPACE, name, "Ready", "True/AllUp")
    for profile in ("process_cpu", "memory", "goroutine"):
        found = eventually(lambda p=profile: receiver.profiles(service_name=name, name=p), f"{profile} of {name}")
        assert found[0]["labels"]["job"] == f"{_NAMESPACE}/{name}"


def _fails(cluster: Cluster, name: str, reason: str) -> None:
    def told() -> bool:
        failures = cluster.status(_NAMESPACE, name).get("failures", ())
        assert reason in {one["reason"] for one in failures}, failures
        return True

    eventually(told, f"{name} fails: {reason}")


def test_apiserver(cluster: Cluster, receiver: Receiver, operator: Operator) -> None:
    """Its certificate is signed by itself; a service account may have its profiles, and another one may not."""
    plane = cluster.plane
    address = plane.url.removeprefix("https://")
    rule = {"nonResourceURLs": ["/debug/pprof/*"], "verbs": ["get"]}
    tokens = {"token": Account(cluster, "profiler", [rule]).token(), "other": Account(cluster, "nobody", []).token()}
    cluster.apply(_data("Secret", "profiler", {**tokens, "wrong": "this-is-no-token"}))
    cluster.apply(_data("ConfigMap", "apiserver", {"ca.crt": (plane.folder / "certs/apiserver.crt").read_text()}))
    tls = {"tlsConfig": {"ca": {"configMap": {"name": "apiserver", "key": "ca.crt"}}}}

    def token(key: str) -> dict[str, Any]:
        return {"bearerTokenSecret": {"name": "profiler", "key": key}}

    failing = {"forbidden": token("other"), "unauthorized": token("wrong"), "anonymous": {}}
    cases = {"apiserver": token("token"), **{name: {**spec, **_NO_CPU} for name, spec in failing.items()}}
    for name, more in cases.items():
        cluster.scrape(_NAMESPACE, name, _spec(address, name, params={"case": [name]}, **tls, **more))
    cluster.scrape(_NAMESPACE, "no-ca", _spec(address, "no-ca", params={"case": ["no-ca"]}, **token("token"), **_NO_CPU))
    try:
        _arrive(cluster, receiver, "apiserver")
        for name, reason in {
            "forbidden": "Forbidden",
            "unauthorized": "Unauthorized",
            "anonymous": "Forbidden",
            "no-ca": "CertificateInvalid",
        }.items():
            _fails(cluster, name, reason)
        said = operator.log_tail(1_000_000) + operator.get("/api/v1/targets").text + operator.get("/metrics").text
        assert not [name for name, value in tokens.items() if value in said]
    finally:
        cluster.kubectl("delete", "pyscrape", "-n", _NAMESPACE, *cases, "no-ca", "--timeout=10s")


def test_etcd(cluster: Cluster, receiver: Receiver, operator: Operator, etcd: tuple[Etcd, Gate]) -> None:
    process, gate = etcd
    address = f"127.0.0.1:{process.port}"
    certificate = {"tls.crt": gate.pem("client.crt"), "tls.key": gate.pem("client.key"), "ca.crt": gate.pem("ca.crt")}
    cluster.apply(_data("Secret", "etcd", certificate))

    def of(key: str) -> dict[str, str]:
        return {"name": "etcd", "key": key}

    ca = {"ca": {"secret": of("ca.crt")}}
    ours = {"cert": {"secret": of("tls.crt")}, "keySecret": of("tls.key")}
    cluster.scrape(_NAMESPACE, "etcd", _spec(address, "etcd", tlsConfig={**ca, **ours}))
    cluster.scrape(_NAMESPACE, "etcd-nobody", _spec(address, "etcd-nobody", params={"case": ["nobody"]}, tlsConfig=ca, **_NO_CPU))
    try:
        _arrive(cluster, receiver, "etcd")
        _fails(cluster, "etcd-nobody", "ClientCertificateRefused")
    finally:
        cluster.kubectl("delete", "pyscrape", "-n", _NAMESPACE, "etcd", "etcd-nobody", "--timeout=10s")
