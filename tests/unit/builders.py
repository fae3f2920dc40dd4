"""Objects and pods from few words: what is not named has a value that does not matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pyroscope_operator.api.load import load_scrape
from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery.discovery import PodsIn
from pyroscope_operator.discovery.pod import Container, Pod, Port
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import ProfileRequest, Scrape, Target

EPOCH = 1_800_000_000.0
"""2027-01-15T08:00:00Z"""
CREATED = "2026-01-01T00:00:00Z"
MIB = 1 << 20
CONTAINER_ID = "containerd://4ad8"


def manifest(
    name: str = "checkout", namespace: str = "shop", *, meta: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A PyroscopeScrape as the API server sends it; selects all pods unless `spec` says what."""
    known = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1, "creationTimestamp": CREATED}
    wanted = spec if "selector" in spec or "staticTargets" in spec else {"selector": {}, **spec}
    return {
        "apiVersion": "pyroscope-operator.dev/v1alpha1",
        "kind": "PyroscopeScrape",
        "metadata": {**known, **(meta or {})},
        "spec": wanted,
    }


def spec(**fields: Any) -> PyroscopeScrapeSpec:
    """A spec with these fields, in the words of manifests."""
    return load_scrape(manifest(**fields)).spec


def wanted(name: str = "checkout", namespace: str = "shop", created: str = CREATED, **fields: Any) -> Wanted:
    return Wanted(ObjectRef(namespace, name), created, spec(**fields))


def only(*types: str, **config: Any) -> dict[str, Any]:
    """A profilingConfig with these built-in types and no others; `config` adds fields."""
    built_in = ("memory", "block", "goroutine", "mutex", "processCPU", "fgprof")
    delta = ("godeltaprofMemory", "godeltaprofMutex", "godeltaprofBlock")
    return {**{name: {"enabled": name in types} for name in (*built_in, *delta)}, **config}


def container(name: str = "app", *ports: Port | int | str, **fields: Any) -> Container:
    """A container; a number is a TCP port without a name, a name a TCP port with some number."""
    made = (p if isinstance(p, Port) else Port("", p) if isinstance(p, int) else Port(p, 7000 + len(p)) for p in ports)
    return Container(name=name, image=f"registry/{name}:1", ports=tuple(made), id=fields.pop("id", CONTAINER_ID), **fields)


def pod(name: str = "web-0", namespace: str = "shop", *containers: Container, **fields: Any) -> Pod:
    """A running, ready pod with one container that has a port named pprof."""
    known: dict[str, Any] = {"uid": f"uid-{namespace}-{name}", "phase": "Running", "ip": "10.0.0.1", "ready": True}
    return Pod(namespace, name, containers=containers or (container("app", Port("pprof", 6060)),), **{**known, **fields})


def pods_in(pods: Iterable[Pod]) -> PodsIn:
    """These pods, as a store would give them."""
    known = list(pods)
    return lambda namespaces: [p for p in known if namespaces is None or p.namespace in namespaces]


def target(name: str = "web-0", **fields: Any) -> Target:
    known: dict[str, Any] = {
        "pod_uid": f"uid-{name}",
        "namespace": "shop",
        "pod": name,
        "container": "app",
        "scheme": "http",
        "address": "10.0.0.1:6060",
        "labels": Labels({"service_name": "shop/app", "pod": name}),
    }
    return Target(**{**known, **fields})


def request(kind: str = "memory", **fields: Any) -> ProfileRequest:
    known = {"name": kind, "path": f"/debug/pprof/{kind}", "seconds": None, "cumulative": False, "is_delta_label": False}
    return ProfileRequest(type=kind, **{**known, **fields})


def scrape(of: Target | None = None, profile: ProfileRequest | None = None, **fields: Any) -> Scrape:
    known = {"source": ObjectRef("shop", "checkout"), "interval": 15.0, "timeout": 15.0, "body_limit": MIB}
    return Scrape(target=of or target(), profile=profile or request(), **{**known, **fields})


def types(scrapes: Sequence[Scrape]) -> list[str]:
    return [s.profile.type for s in scrapes]
