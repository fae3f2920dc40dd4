"""Annotations of real pods: each key, mode and prefix, as it should be and as it should not be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import Gate, Operator, Receiver
from e2e.harness.wait import eventually

_PREFIX = "profiles.grafana.com"
_PLAIN = ("cpu", "memory", "goroutine", "block", "mutex", "fgprof")
_BY_TARGET = ("godeltaprof_memory", "godeltaprof_mutex", "godeltaprof_block")
_TYPES = (*_PLAIN, *_BY_TARGET)
_PATHS = {
    "cpu": "/debug/pprof/profile",
    "memory": "/debug/pprof/allocs",
    "goroutine": "/debug/pprof/goroutine",
    "block": "/debug/pprof/block",
    "mutex": "/debug/pprof/mutex",
    "fgprof": "/debug/fgprof",
    "godeltaprof_memory": "/debug/pprof/delta_heap",
    "godeltaprof_mutex": "/debug/pprof/delta_mutex",
    "godeltaprof_block": "/debug/pprof/delta_block",
}
_DEFAULTS = ("process_cpu", "memory", "goroutine", "block", "mutex")
_NONE = {name: {"enabled": False} for name in ("memory", "block", "goroutine", "mutex", "processCPU")}
"""A profilingConfig that enables nothing."""
_SELECTOR = {"selector": {"matchLabels": {"app": "noted"}}, "interval": "3s"}

Scrapes = dict[tuple[str, str], dict[str, Any]]


def _standard(name: str) -> str:
    return "process_cpu" if name == "cpu" else name


def _noted(notes: Mapping[str, Any], prefix: str = _PREFIX) -> dict[str, Any]:
    return {f"{prefix}/{name}": value for name, value in notes.items()}


def _object(mode: str, **fields: Any) -> dict[str, Any]:
    return {**_SELECTOR, "annotations": {"mode": mode}, **fields}


def _scrapes(operator: Operator, namespace: str) -> Scrapes:
    """By (address, profile type), of this test's object."""
    return {
        (target["address"], scrape["profile"]): scrape
        for found in operator.targets()["objects"]
        if found["namespace"] == namespace
        for target in found["targets"]
        for scrape in target["scrapes"]
    }


def _dropped(operator: Operator, namespace: str) -> list[tuple[str, str, str]]:
    """Pod, reason and message."""
    (found,) = [one for one in operator.targets()["objects"] if one["namespace"] == namespace]
    return [(one["pod"], one["reason"], one["message"]) for one in found["dropped"]]


def _becomes(operator: Operator, namespace: str, expected: set[tuple[str, str]], up: bool = False) -> None:
    def reached() -> bool:
        found = _scrapes(operator, namespace)
        assert found.keys() == expected, sorted(found)
        assert not up or {one["state"] for one in found.values()} == {"up"}, found
        return True

    eventually(reached, f"scrapes {sorted(expected)}")


def _message(cluster: Cluster, namespace: str) -> str:
    """Of the condition Discovered."""
    conditions = cluster.status(namespace, "noted").get("conditions", ())
    return next((str(c["message"]) for c in conditions if c["type"] == "Discovered"), "")


def _says(cluster: Cluster, namespace: str, text: str) -> None:
    def told() -> bool:
        message = _message(cluster, namespace)
        assert text in message, message
        return True

    eventually(told, f"Discovered says {text!r}")


def _pod(ip: str, notes: Mapping[str, Any] | None = None, name: str = "noted", **options: Any) -> PodSpec:
    annotations = options.pop("annotations", _noted(notes or {}))
    return PodSpec(name, ip, {"app": "noted"}, annotations=annotations, **options)


@pytest.fixture(scope="module")
def gate(binaries: None, folder: Path) -> Iterator[Gate]:
    gate = Gate(folder, "127.0.34.1", "127.0.34.99")
    yield gate
    gate.stop()


@dataclass(frozen=True)
class Key:
    """A field of a type: a value that leads to the container `at`, and one that can't be, with what is said of it."""

    field: str
    right: str
    wrong: str
    says: str
    at: str = "app"

    def __str__(self) -> str:
        return self.field


_KEYS = (
    Key("scrape", "true", "yes", 'must be "true" or "false"'),
    Key("port", "6061", "70000", "must be a port number from 1 to 65535", "side"),
    Key("port_name", "side-pprof", "missing", "names no port of the container", "side"),
    Key("scheme", "https", "ftp", "must be http or https"),
    Key("path", "/own", "debug/pprof", "must be a path that starts with '/'"),
    Key("container", "side", "missing", "names no container of the pod", "side"),
)


@pytest.fixture
def pod(key: Key, start_app: StartApp, gate: Gate) -> PodSpec:
    """Two profiled containers. Only the first has a port named pprof; with the key `scheme` it talks TLS."""
    name = f"noted-{key.field.replace('_', '-')}"
    if key.field == "scheme":
        return _pod(gate.ip, name=name, port=gate.port("tls"))
    app = start_app("app", prefix="/own")
    start_app("side", app.ip, port=6061)
    return _pod(app.ip, name=name, more={"side": ("side-pprof", 6061)})


def _right(key: Key, kind: str) -> dict[str, str]:
    notes = {f"{kind}.scrape": "true", f"{kind}.{key.field}": key.right}
    if key.field == "path":
        notes[f"{kind}.path"] = key.right + _PATHS[kind]
    if key.field == "scheme" and kind not in _PLAIN[:-1]:  # which the gate does not have
        notes[f"{kind}.path"] = _PATHS["memory"]
    return notes


@pytest.mark.reaches("Discovered/InvalidAnnotation")
@pytest.mark.parametrize("key", _KEYS, ids=str)
def test_each_key_of_each_type(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, key: Key, pod: PodSpec
) -> None:
    """A type is scraped as its annotation says; a wrong value is named, and costs this type alone."""
    address = f"{pod.ip}:{pod.port if key.at == 'app' else 6061}"
    cluster.run_pod(namespace, pod)
    tls = {"tlsConfig": {"insecureSkipVerify": True}} if key.field == "scheme" else {}
    cluster.scrape(namespace, "noted", _object("Require", profilingConfig=_NONE, **tls))
    nothing = {name: None for kind in _TYPES for name in _right(key, kind)}
    for kinds in (_PLAIN, _BY_TARGET):
        since = receiver.last_seq()
        notes = {name: value for kind in kinds for name, value in _right(key, kind).items()}
        cluster.annotate(namespace, pod.name, _noted(nothing | notes))
        _becomes(operator, namespace, {(address, _standard(kind)) for kind in kinds}, up=True)
        cluster.wait_for(namespace, "noted", "Discovered", "True/TargetsFound")
        for kind, scrape in zip(kinds, map(_standard, kinds), strict=True):
            path = notes.get(f"{kind}.path", _PATHS[kind])
            assert _scrapes(operator, namespace)[address, scrape]["path"] == path
            series = {"namespace": namespace, "pod": pod.name, "name": scrape.removeprefix("godeltaprof_")}
            sent = eventually(lambda since=since, series=series: receiver.profiles(since=since, **series), f"{kind} arrives")
            assert (sent[-1]["labels"]["instance"], sent[-1]["labels"]["container"]) == (address, key.at)
        for kind in kinds:
            cluster.annotate(namespace, pod.name, _noted(notes | {f"{kind}.{key.field}": key.wrong}))
            _becomes(operator, namespace, {(address, _standard(other)) for other in kinds if other != kind})
            ((name, reason, message),) = _dropped(operator, namespace)
            assert (name, reason) == (pod.name, "InvalidAnnotation")
            assert message.startswith(f"{_PREFIX}/{kind}.{key.field} ") and key.says in message
        cluster.wait_for(namespace, "noted", "Discovered", "False/InvalidAnnotation")
        _says(cluster, namespace, f"{pod.name}: {_PREFIX}/{kinds[-1]}.{key.field} {key.says}")


def test_short_form(cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp) -> None:
    """`scrape`, `port` and `types`, as they should be and as they should not be."""
    app = start_app("app")
    cluster.run_pod(namespace, _pod(app.ip, {"scrape": "true"}, port=1))
    cluster.scrape(namespace, "noted", _object("Require"))
    _becomes(operator, namespace, {(f"{app.ip}:1", kind) for kind in _DEFAULTS})
    cluster.wait_for(namespace, "noted", "Scraping", "False/TargetsDown")
    cluster.annotate(namespace, "noted", _noted({"port": str(app.port)}))
    _becomes(operator, namespace, {(app.address, kind) for kind in _DEFAULTS}, up=True)
    cluster.wait_for(namespace, "noted", "Ready", "True/AllUp")
    cluster.annotate(namespace, "noted", _noted({"types": "cpu, fgprof"}))
    _becomes(operator, namespace, {(app.address, "process_cpu"), (app.address, "fgprof")}, up=True)
    eventually(
        lambda: receiver.profiles(namespace=namespace, pod="noted", name="fgprof", instance=app.address),
        "what is asked for arrives",
    )

    for wrong, left, says in (
        ({"types": "cpu, heap"}, {"process_cpu"}, f"noted: {_PREFIX}/types has what is no profile type: use cpu, memory"),
        ({"port": "abc", "types": "cpu"}, set(), f"noted: {_PREFIX}/port must be a port number from 1 to 65535"),
        ({"port": None, "scrape": "1"}, set(), f'noted: {_PREFIX}/scrape must be "true" or "false"'),
        ({"scrape": "true", "scheme": "https"}, set(), f"noted: {_PREFIX}/scheme is no key: there are <type>.scrape"),
    ):
        cluster.annotate(namespace, "noted", _noted(wrong))
        _becomes(operator, namespace, {(app.address, kind) for kind in left})
        cluster.wait_for(namespace, "noted", "Discovered", "False/InvalidAnnotation")
        _says(cluster, namespace, says)


def test_modes(cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp) -> None:
    """One pod has annotations and one has none; what each mode makes of them, and of a switch for the whole pod."""
    plain, noted = start_app("plain"), start_app("noted")
    cluster.run_pod(namespace, _pod(plain.ip, name="plain"))
    cluster.run_pod(namespace, _pod(noted.ip, {"fgprof.scrape": "true", "cpu.scrape": "false"}))
    of_plain = {(plain.address, kind) for kind in _DEFAULTS}
    of_noted = {(noted.address, kind) for kind in (*_DEFAULTS, "fgprof") if kind != "process_cpu"}

    cluster.scrape(namespace, "noted", _object("Ignore"))
    _becomes(operator, namespace, of_plain | {(noted.address, kind) for kind in _DEFAULTS}, up=True)
    cluster.scrape(namespace, "noted", _object("Override"))
    _becomes(operator, namespace, of_plain | of_noted, up=True)
    cluster.wait_for(namespace, "noted", "Ready", "True/AllUp")
    cluster.scrape(namespace, "noted", _object("Require"))
    _becomes(operator, namespace, {(noted.address, "fgprof")}, up=True)
    _says(cluster, namespace, "targets: 1, selected pods: 2, not annotated: 1")
    ((name, reason, message),) = _dropped(operator, namespace)
    assert (name, reason) == ("plain", "NotAnnotated")
    assert f'annotate the pod with {_PREFIX}/scrape: "true"' in message

    cluster.annotate(namespace, "noted", _noted({"scrape": "false"}))
    _becomes(operator, namespace, set())
    _says(cluster, namespace, "targets: 0, selected pods: 2, not annotated: 1, opted out by annotations: 1")
    cluster.wait_for(namespace, "noted", "Ready", "True/NoTargets")
    cluster.scrape(namespace, "noted", _object("Override"))
    _becomes(operator, namespace, of_plain, up=True)
    _says(cluster, namespace, "targets: 1, selected pods: 2, opted out by annotations: 1")
    cluster.scrape(namespace, "noted", _object("Ignore"))
    _becomes(operator, namespace, of_plain | {(noted.address, kind) for kind in _DEFAULTS}, up=True)


def test_prefix(cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp) -> None:
    """Only annotations under the object's own prefix count."""
    app = start_app("app")
    cluster.run_pod(namespace, _pod(app.ip, {"scrape": "true"}))
    cluster.scrape(namespace, "noted", {**_SELECTOR, "annotations": {"mode": "Require", "prefix": "example.com"}})
    cluster.wait_for(namespace, "noted", "Ready", "True/NoTargets")
    assert [(name, reason) for name, reason, _ in _dropped(operator, namespace)] == [("noted", "NotAnnotated")]
    cluster.annotate(namespace, "noted", _noted({"scrape": "false"}) | _noted({"memory.scrape": "true"}, "example.com"))
    _becomes(operator, namespace, {(app.address, "memory")}, up=True)
    cluster.annotate(namespace, "noted", _noted({"memory.port": "x"}, "example.com"))
    _becomes(operator, namespace, set())
    _says(cluster, namespace, "noted: example.com/memory.port must be a port number")


def test_containers_of_one_pod(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    """A port is one target, whatever containers there are; types at two places are two targets of the pod."""
    app = start_app("app")
    side = start_app("side", app.ip, port=6061)
    cluster.run_pod(namespace, _pod(app.ip, {"scrape": "true", "port": "6061"}, more={"side": ("side", 6061)}))
    cluster.scrape(namespace, "noted", _object("Require"))
    _becomes(operator, namespace, {(side.address, kind) for kind in _DEFAULTS}, up=True)
    cluster.wait_for(namespace, "noted", "Ready", "True/AllUp")
    assert cluster.status(namespace, "noted")["targets"] == {"pods": 1, "active": 1, "up": 1, "down": 0, "dropped": 0}
    assert not app.requests()

    apart = {"cpu.port": "6060", "memory.port_name": "pprof", "mutex.port": "6060", "mutex.container": "app"}
    cluster.annotate(namespace, "noted", _noted(apart))
    at_app = {(app.address, kind) for kind in ("process_cpu", "memory", "mutex")}
    _becomes(operator, namespace, at_app | {(side.address, kind) for kind in ("goroutine", "block")}, up=True)
    for kind, container, address in (("process_cpu", "app", app.address), ("goroutine", "side", side.address)):
        labels = {"namespace": namespace, "pod": "noted", "name": kind, "container": container, "instance": address}
        sent = eventually(lambda labels=labels: receiver.profiles(**labels), f"{kind} of {container}")
        assert sent[0]["labels"]["service_name"] == f"{namespace}/{container}"
    eventually(lambda: cluster.status(namespace, "noted")["summary"] == "2/2", "two targets of one pod")
    assert cluster.status(namespace, "noted")["targets"] == {"pods": 1, "active": 2, "up": 2, "down": 0, "dropped": 0}

    # An undeclared port belongs to the container that the pod names as its default one, or the annotation.
    undeclared = {"port": "6062", **dict.fromkeys(apart)}
    third = start_app("third", app.ip, port=6062)
    default = {"kubectl.kubernetes.io/default-container": "side"}
    cluster.annotate(namespace, "noted", default | _noted(undeclared) | _noted({"memory.container": "app"}))
    _becomes(operator, namespace, {(third.address, kind) for kind in _DEFAULTS}, up=True)
    found = {
        target["container"]: {scrape["profile"] for scrape in target["scrapes"]}
        for one in operator.targets()["objects"]
        if one["namespace"] == namespace
        for target in one["targets"]
    }
    assert found == {"side": set(_DEFAULTS) - {"memory"}, "app": {"memory"}}


def test_a_living_pod_moves(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    """A new annotation moves the scrape: the old place is asked no more, and nothing goes wrong on the way."""
    old = start_app("old")
    new = start_app("new", old.ip, port=6061)
    cluster.run_pod(namespace, _pod(old.ip, {"scrape": "true", "types": "memory,goroutine"}))
    cluster.scrape(namespace, "noted", _object("Require"))
    eventually(
        lambda: receiver.profiles(namespace=namespace, pod="noted", name="memory", instance=old.address),
        "profiles of the old place",
    )
    assert not new.requests()
    cluster.annotate(namespace, "noted", _noted({"port": "6061"}))
    kinds = {(new.address, kind) for kind in ("memory", "goroutine")}
    _becomes(operator, namespace, kinds)
    last = len(old.requests())
    _becomes(operator, namespace, kinds, up=True)
    eventually(
        lambda: receiver.profiles(namespace=namespace, pod="noted", name="memory", instance=new.address),
        "profiles of the new place",
    )
    assert len(old.requests()) <= last + 2, "what was under way at that moment"
    cluster.annotate(namespace, "noted", _noted({"scrape": None}))
    _becomes(operator, namespace, set())
    cluster.wait_for(namespace, "noted", "Ready", "True/NoTargets")


def test_relabelings_see_annotated_targets(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    app = start_app("app", prefix="/own")
    steps = [
        {"action": "drop", "sourceLabels": ["__address__"], "regex": ".*:6061"},
        {"sourceLabels": ["__scheme__", "__address__"], "targetLabel": "seen"},
    ]
    notes = {"scrape": "true", "block.port": "6061", "goroutine.path": _PATHS["goroutine"]}
    cluster.run_pod(namespace, _pod(app.ip, notes, port=1, more={"side": ("x", app.port)}))
    cluster.scrape(
        namespace,
        "noted",
        _object("Require", port=app.port, relabelings=steps, profilingConfig={"pathPrefix": "/own"}),
    )
    _becomes(operator, namespace, {(app.address, kind) for kind in _DEFAULTS if kind != "block"}, up=True)
    assert [reason for _, reason, _ in _dropped(operator, namespace)] == ["Relabeled"]
    sent = eventually(lambda: receiver.profiles(namespace=namespace, pod="noted", name="goroutine"), "what is left")
    assert sent[0]["labels"]["seen"] == f"http;{app.address}"
    paths = {kind: scrape["path"] for (_, kind), scrape in _scrapes(operator, namespace).items()}
    assert paths["memory"] == "/own/debug/pprof/allocs"
    assert paths["goroutine"] == "/debug/pprof/goroutine", "an annotated path is complete"


def test_labels_from_annotations(
    cluster: Cluster, receiver: Receiver, operator: Operator, namespace: str, start_app: StartApp
) -> None:
    """Those of pyroscope.io have their effect in every mode, under no prefix."""
    app = start_app("app")
    labels = {
        "service_name": "checkout",
        "service_repository": "https://git.example/checkout",
        "service_git_ref": "main",
        "service_root_path": "src/checkout",
    }
    cluster.run_pod(namespace, _pod(app.ip, annotations=_noted(labels, "pyroscope.io")))
    cluster.scrape(namespace, "noted", _object("Ignore"))
    sent = eventually(lambda: receiver.profiles(namespace=namespace, pod="noted", name="goroutine"), "profiles with labels")
    assert labels.items() <= sent[0]["labels"].items()
    cluster.annotate(namespace, "noted", _noted(dict.fromkeys(labels), "pyroscope.io"))
    since = receiver.last_seq()

    def without() -> list[dict[str, Any]]:
        found = receiver.profiles(since=since, namespace=namespace, pod="noted", name="goroutine")
        return [one for one in found if one["labels"]["service_name"] == f"{namespace}/app"]

    assert not {"service_repository", "service_git_ref", "service_root_path"} & eventually(without, "none")[0]["labels"].keys()


def test_standalone(receiver: Receiver, start_app: StartApp, tmp_path: Path) -> None:
    """The same file means the same: static targets have no annotations, and are scraped."""
    app = start_app("app")
    target = {"address": app.address, "labels": {"service_name": "annotated-static"}}
    manifest = {
        "apiVersion": "pyroscope-operator.dev/v1alpha1",
        "kind": "PyroscopeScrape",
        "metadata": {"name": "app"},
        "spec": {
            "staticTargets": [target],
            "interval": "2s",
            "annotations": {"mode": "Require", "prefix": "example.com"},
            "profilingConfig": {"processCPU": {"enabled": False}},
        },
    }
    path = tmp_path / "scrape.yaml"
    path.write_text(json.dumps(manifest))
    operator = Operator(tmp_path, "--standalone", str(path), "--pyroscope-url", receiver.url, name="standalone")
    try:
        operator.wait_ready()
        eventually(lambda: receiver.profiles(service_name="annotated-static", name="goroutine"), "profiles of a static target")
    finally:
        operator.end()
