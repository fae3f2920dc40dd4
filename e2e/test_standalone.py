"""`run --standalone`: the same engine without a cluster."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import StartApp
from e2e.harness.parts import Operator, Receiver, check_deltas
from e2e.harness.wait import eventually

_SEED_EXAMPLE = """
# The example of the reference page, as an object.
apiVersion: pyroscope-operator.dev/v1alpha1
kind: PyroscopeScrape
metadata:
  name: local
spec:
  staticTargets:
    - {address: "localhost:4100", labels: {service_name: pyroscope}}
    - {address: "localhost:12345", labels: {service_name: agent}}
  profilingConfig:
    fgprof: {enabled: true}
    block: {enabled: false}
    mutex: {enabled: false}
"""
_SEED_REQUESTS = {
    ("/debug/pprof/allocs", ""),
    ("/debug/pprof/goroutine", ""),
    ("/debug/pprof/profile", "seconds=14"),
    ("/debug/fgprof", "seconds=14"),
}


def _manifest(folder: Path, address: str, **spec: Any) -> Path:
    manifest = {
        "apiVersion": "pyroscope-operator.dev/v1alpha1",
        "kind": "PyroscopeScrape",
        "metadata": {"name": "app", "namespace": "files"},
        "spec": {"interval": "2s", "staticTargets": [{"address": address}], **spec},
    }
    path = folder / "scrape.yaml"
    path.write_text(json.dumps(manifest))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    """Starts operators in standalone mode; they must end well."""
    started: list[Operator] = []

    def start(manifest: Path, url: str | None, *flags: str, **options: Any) -> Operator:
        flags = ("--standalone", str(manifest), *(("--pyroscope-url", url) if url else ()), *flags)
        operator = Operator(tmp_path, *flags, name=f"standalone-{len(started)}", **options)
        started.append(operator)
        operator.wait_ready()
        return operator

    yield start
    for operator in started:
        if operator.running:
            assert operator.stop() == 0, operator.log_tail()


def test_the_reference_pages_example(run: Any, receiver: Receiver, start_app: StartApp, tmp_path: Path) -> None:
    """The URLs that the reference page lists, every 15 seconds, and nothing else."""
    apps = {
        "pyroscope": start_app("pyroscope", "127.0.0.1", port=4100),
        "agent": start_app("agent", "127.0.0.1", port=12345, workload="payments"),
    }
    manifest = tmp_path / "seed.yaml"
    manifest.write_text(_SEED_EXAMPLE)
    run(manifest, receiver.url)
    for service, app in apps.items():

        def asked(app: Any = app) -> set[tuple[str, str]]:
            return {(entry["path"], entry["query"]) for entry in app.requests() if entry["status"] == 200}

        eventually(lambda asked=asked: asked() == _SEED_REQUESTS, f"the four URLs of {service}", 60)
        memory = app.requests("/debug/pprof/allocs")
        eventually(lambda app=app: len(app.requests("/debug/pprof/allocs")) >= 2, "the second scrape", 30)
        first, second = app.requests("/debug/pprof/allocs")[:2]
        assert abs((second["unixNano"] - first["unixNano"]) / 1e9 - 15) < 1, memory
        for name in ("process_cpu", "memory", "goroutine", "fgprof"):
            found = eventually(lambda s=service, n=name: receiver.profiles(service_name=s, name=n), f"{name} of {service}", 40)
            wanted = {"__name__": name, "service_name": service, "job": "default/local", "namespace": "default"}
            wanted["instance"] = f"localhost:{app.port}"
            assert found[0]["labels"] == wanted | ({"__delta__": "false"} if name == "memory" else {})
        assert {(entry["path"], entry["query"]) for entry in app.requests()} == _SEED_REQUESTS
    assert receiver.rejected()["count"] == 0


def test_file_changes_are_followed(run: Any, receiver: Receiver, start_app: StartApp, tmp_path: Path) -> None:
    app = start_app("app")
    off = {"processCPU": {"enabled": False}, "goroutine": {"enabled": False}}
    manifest = _manifest(tmp_path, app.address, profilingConfig=off)
    operator = run(manifest, receiver.url)
    eventually(lambda: len(receiver.profiles(instance=app.address, name="memory")) >= 2, "memory")
    _manifest(tmp_path, app.address, profilingConfig=off, jobName="reloaded")
    eventually(lambda: len(receiver.profiles(job="reloaded", name="memory")) >= 2, "the new job")
    check_deltas(receiver, [app.recording], "/debug/pprof/allocs", {"instance": app.address, "__name__": "memory"}, at_least=4)

    manifest.write_text("kind: [broken")
    eventually(lambda: any("not reloaded" in line["message"] for line in operator.log_lines()), "the error is logged")
    assert operator.scrapes(), "a broken file loses nothing"
    _manifest(tmp_path, app.address, intervall="3s")
    eventually(lambda: any("did you mean interval" in line["message"] for line in operator.log_lines()), "the typo is named")
    eventually(lambda: not operator.scrapes(), "an invalid object is not scraped")


def test_path_prefix_and_params(run: Any, receiver: Receiver, start_app: StartApp, tmp_path: Path) -> None:
    app = start_app("app", prefix="/internal")
    config = {"pathPrefix": "/internal", "processCPU": {"enabled": False}, "memory": {"delta": True}}
    manifest = _manifest(tmp_path, app.address, params={"gc": ["1"], "who": ["a b", "c"]}, profilingConfig=config)
    run(manifest, receiver.url)
    eventually(lambda: receiver.profiles(instance=app.address, name="goroutine"), "a profile")
    eventually(lambda: app.requests("/internal/debug/pprof/allocs"), "memory")
    assert {e["query"] for e in app.requests("/internal/debug/pprof/goroutine")} == {"gc=1&who=a+b&who=c"}
    assert {e["query"] for e in app.requests("/internal/debug/pprof/allocs")} == {"gc=1&who=a+b&who=c&seconds=1"}
    headers = app.requests("/internal")[0]["header"]
    assert headers["Accept-Encoding"] == "identity" and headers["User-Agent"].startswith("pyroscope-operator/")


@pytest.mark.parametrize(
    ("receiver_flags", "operator_flags", "environment"),
    [
        (("--basic-auth", "me:geheim"), ("--write-username", "me"), {"PYROSCOPE_OPERATOR_WRITE_PASSWORD": "geheim"}),
        (("--bearer", "geheim"), (), {"PYROSCOPE_OPERATOR_WRITE_BEARER_TOKEN": "geheim"}),
        (("--bearer", "geheim"), ("--write-headers", "Authorization=Bearer geheim"), {}),
        (("--require-tenant", "team-a"), ("--write-tenant-id", "team-a"), {}),
    ],
    ids=["basic", "bearer", "headers", "tenant"],
)
def test_write_authentication(
    run: Any, start_app: StartApp, tmp_path: Path, receiver_flags: Any, operator_flags: Any, environment: Any
) -> None:
    app = start_app("app")
    receiver = Receiver(tmp_path, *receiver_flags)
    manifest = _manifest(tmp_path, app.address, profilingConfig={"processCPU": {"enabled": False}})
    try:
        labels = ("--write-external-labels", "cluster=test", "--write-external-labels", "job=forged")
        operator = run(manifest, receiver.url, *operator_flags, *labels, environment=environment)
        found = eventually(lambda: receiver.profiles(name="goroutine"), "an authenticated push")
        assert found[0]["labels"]["cluster"] == "test"
        assert found[0]["labels"]["job"] == "files/app"
        assert found[0]["tenant"] == ("team-a" if "--write-tenant-id" in operator_flags else "")
        assert "geheim" not in operator.log_tail(100_000) + operator.get("/metrics").text + operator.get("/api/v1/targets").text

        refused = run(manifest, receiver.url, "--name", "wrong")
        eventually(lambda: refused.targets()["delivery"][0]["lastErrorReason"], "the refusal is told")
        failing = refused.targets()["objects"][0]["conditions"]["Delivering"]
        assert failing["status"] == "False" and failing["reason"] == "PushFailing"
    finally:
        receiver.stop()


def test_writes_in_the_files(run: Any, start_app: StartApp, tmp_path: Path) -> None:
    """One object names its write, another one leaves it to the default, which is a write, too; one of the endpoints is dead."""
    app, receivers = start_app("app"), [Receiver(tmp_path, name=name) for name in ("first", "second")]
    quiet = {"profilingConfig": {"processCPU": {"enabled": False}}, "interval": "2s"}

    def named(kind: str, name: str, spec: Any) -> dict[str, Any]:
        return {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}

    def scrape(name: str, **spec: Any) -> dict[str, Any]:
        target = {"address": app.address, "labels": {"service_name": name}}
        return named("PyroscopeScrape", name, {"staticTargets": [target], "params": {"as": [name]}, **quiet, **spec})

    dead = {"name": "dead", "url": "http://127.0.0.1:1"}
    documents = [
        scrape("by-name", forwardTo=[{"name": "fan"}]),
        scrape("by-default"),
        named("PyroscopeWrite", "fan", {"endpoints": [{"name": "living", "url": receivers[0].url}, dead]}),
        named("PyroscopeWrite", "main", {"endpoints": [{"name": "living", "url": receivers[1].url}]}),
    ]
    manifest = tmp_path / "all.yaml"
    manifest.write_text("---\n".join(f"{json.dumps(document)}\n" for document in documents))
    try:
        operator = run(manifest, None, "--default-write", "main", "--shutdown-grace", "1s")
        for receiver, service in zip(receivers, ("by-name", "by-default"), strict=True):
            eventually(lambda of=receiver: len(of.profiles(name="goroutine")) >= 2, "profiles")  # type: ignore[misc]
            assert {found["labels"]["service_name"] for found in receiver.profiles()} == {service}
        delivering = {found["name"]: found["conditions"]["Delivering"] for found in operator.targets()["objects"]}
        assert (delivering["by-name"]["status"], delivering["by-default"]["status"]) == ("False", "True")
        assert delivering["by-name"]["message"].startswith("default/fan/dead: Unreachable")
        assert {found["name"] for found in operator.targets()["writes"]} == {"fan", "main"}
        assert operator.stop() == 0
    finally:
        for receiver in receivers:
            receiver.stop()


def test_shutdown_flushes(run: Any, receiver: Receiver, start_app: StartApp, tmp_path: Path) -> None:
    """What was scraped before SIGTERM arrives, though the batch was not due."""
    app = start_app("app")
    manifest = _manifest(tmp_path, app.address, profilingConfig={"processCPU": {"enabled": False}})
    operator = run(manifest, receiver.url)
    eventually(lambda: len(app.requests("/debug/pprof/goroutine")) >= 2, "two scrapes")
    assert operator.stop(10, signal.SIGTERM) == 0
    asked = [entry for entry in app.requests("/debug/pprof/goroutine") if entry["status"] == 200]
    assert len(receiver.profiles(instance=app.address, name="goroutine")) == len(asked)
