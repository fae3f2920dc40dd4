"""Secrets that objects refer to: missing, unreadable, rotated under load, and seen by nobody."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import Operator, Receiver
from e2e.harness.rights import ALL, SECRETS, Account
from e2e.harness.wait import eventually

_PORT = 6060
_GOROUTINES = {
    "processCPU": {"enabled": False},
    "memory": {"enabled": False},
    "block": {"enabled": False},
    "mutex": {"enabled": False},
}
_TOKEN = {"bearerTokenSecret": {"name": "credentials", "key": "token"}}
_VALUES = ("geheim-first-value", "geheim-second-value", "geheim-third-value")


@dataclass(frozen=True)
class Asked:
    """One request to a guarded target."""

    at: float
    """Unix seconds."""
    authorization: str
    status: int


class Guarded(ThreadingHTTPServer):
    """A target that serves a profile to whoever has one of the tokens that it accepts now."""

    daemon_threads = True

    def __init__(self, ip: str, profile: bytes, *accepted: str) -> None:
        guarded = self
        self.accepted = accepted
        self.asked: list[Asked] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("Authorization", "")
                status = 200 if given.removeprefix("Bearer ") in guarded.accepted else 401
                guarded.asked.append(Asked(time.time(), given, status))
                body = profile if status == 200 else b"you are " + given.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__((ip, _PORT), Handler)
        self.ip = ip
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def served(self, token: str) -> int:
        """How often it gave a profile for this token."""
        return sum(entry.status == 200 and entry.authorization == f"Bearer {token}" for entry in self.asked)

    def close(self) -> None:
        self.shutdown()
        self.server_close()


@pytest.fixture
def guard(start_app: StartApp) -> Iterator[Callable[..., Guarded]]:
    """Starts guarded targets that serve a profile of a real process."""
    source = start_app("source")
    profile = httpx.get(f"http://{source.address}/debug/pprof/goroutine", trust_env=False).raise_for_status().content
    started: list[Guarded] = []

    def start(*accepted: str) -> Guarded:
        started.append(Guarded(f"127.0.22.{len(started) + 1}", profile, *accepted))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture(scope="module")
def account(cluster: Cluster) -> Account:
    return Account(cluster, "secrets")


@pytest.fixture(scope="module")
def operator(cluster: Cluster, receiver: Receiver, account: Account, folder: Path) -> Iterator[Operator]:
    """With the rights that it needs: get, neither list nor watch."""
    kubeconfig = account.kubeconfig(folder / "token")
    flags = ("--pyroscope-url", receiver.url, "--status-interval", "1s", "--log-level", "debug")  # even then, no value is told
    operator = Operator(folder, *flags, kubeconfig=kubeconfig)
    operator.wait_ready()
    yield operator
    assert operator.stop() == 0, operator.log_tail()
    operator.check_log()


def put(cluster: Cluster, namespace: str, **values: str) -> None:
    """Create or replace the Secret `credentials`."""
    meta = {"namespace": namespace, "name": "credentials"}
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values})


def scrape(cluster: Cluster, namespace: str, name: str, **fields: Any) -> None:
    """An object `name` that scrapes the pods of the app `name` each second."""
    selector = {"matchLabels": {"app": name}}
    cluster.scrape(namespace, name, {"selector": selector, "interval": "1s", "profilingConfig": _GOROUTINES, **fields})


def message(cluster: Cluster, namespace: str, name: str) -> str:
    conditions = cluster.status(namespace, name).get("conditions", ())
    return next((c["message"] for c in conditions if c["type"] == "Accepted"), "")


def never_seen(operator: Operator, cluster: Cluster, *values: str) -> None:
    """None of these is in what people, or other programs, can see."""
    seen = operator.stderr.read_text() + operator.stdout.read_text()
    seen += operator.get("/metrics").text + operator.get("/api/v1/targets").text + operator.get("/targets").text
    seen += cluster.kubectl("get", "pyscrape", "-A", "-o", "yaml") + cluster.kubectl("get", "events", "-A", "-o", "yaml")
    assert "credentials" in seen
    assert not [value for value in values if value in seen]


def gets(cluster: Cluster) -> dict[tuple[str, str], float]:
    """Requests that the API server has answered, by verb and resource."""
    text = cluster.api.get("/metrics").raise_for_status().text
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "apiserver_request_total":
                key = (sample.labels["verb"], sample.labels["resource"])
                found[key] = found.get(key, 0) + sample.value
    return found


@pytest.mark.reaches("Accepted/SecretNotFound", "Accepted/InvalidSecret")
def test_missing_and_there(
    cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp, guard: Callable[..., Guarded]
) -> None:
    """Each step is told by name; the object recovers without being touched, and its neighbour notices nothing."""
    app, guarded = start_app("app"), guard(_VALUES[0])
    cluster.run_pod(namespace, PodSpec("open", app.ip, {"app": "open"}))
    cluster.run_pod(namespace, PodSpec("guarded", guarded.ip, {"app": "guarded"}))
    scrape(cluster, namespace, "guarded", **_TOKEN)
    scrape(cluster, namespace, "open")
    cluster.wait_for(namespace, "guarded", "Accepted", "False/SecretNotFound")
    assert message(cluster, namespace, "guarded") == (
        f"Secret {namespace}/credentials does not exist: create it, or correct spec.bearerTokenSecret"
    )
    cluster.wait_for(namespace, "open", "Ready", "True/AllUp")

    put(cluster, namespace, other=_VALUES[1])
    missing_key = f"Secret {namespace}/credentials has no key token: add it, or correct spec.bearerTokenSecret"
    eventually(lambda: message(cluster, namespace, "guarded") == missing_key, "the missing key is named")
    put(cluster, namespace, token="\u00fc-no-header")
    cluster.wait_for(namespace, "guarded", "Accepted", "False/InvalidSecret")
    assert not guarded.asked
    put(cluster, namespace, token=f"{_VALUES[0]}\n")
    cluster.wait_for(namespace, "guarded", "Ready", "True/AllUp")
    assert {entry.authorization for entry in guarded.asked} == {f"Bearer {_VALUES[0]}"}
    assert cluster.get(namespace, "guarded")["metadata"]["generation"] == 1

    cluster.kubectl("delete", "secret", "-n", namespace, "credentials")
    cluster.wait_for(namespace, "guarded", "Accepted", "False/SecretNotFound")
    assert [entry["status"] for entry in app.requests() if entry["status"] != 200] == []
    never_seen(operator, cluster, *_VALUES)


def test_a_wrong_token(cluster: Cluster, operator: Operator, namespace: str, guard: Callable[..., Guarded]) -> None:
    """The target's 401 is told as such; the new Secret is in use with the next scrapes, without waiting for its turn."""
    guarded = guard(_VALUES[1])
    put(cluster, namespace, token=_VALUES[0])
    cluster.run_pod(namespace, PodSpec("guarded", guarded.ip, {"app": "guarded"}))
    scrape(cluster, namespace, "guarded", **_TOKEN)
    cluster.wait_for(namespace, "guarded", "Scraping", "False/TargetsDown")
    failure = cluster.status(namespace, "guarded")["failures"][0]
    assert failure["reason"] == "Unauthorized"
    assert failure["message"] == "the target does not accept spec.bearerTokenSecret (HTTP status 401)"
    scrape(cluster, namespace, "nobody")
    cluster.run_pod(namespace, PodSpec("nobody", guarded.ip, {"app": "nobody"}, container="other"))
    cluster.wait_for(namespace, "nobody", "Scraping", "False/TargetsDown")
    asks = "the target asks for credentials, and the object has none (HTTP status 401)"
    assert cluster.status(namespace, "nobody")["failures"][0]["message"] == asks
    put(cluster, namespace, token=_VALUES[1])
    began = time.monotonic()
    eventually(lambda: guarded.served(_VALUES[1]) > 0, "the new token is used", 20)
    assert time.monotonic() - began < 15
    never_seen(operator, cluster, *_VALUES)


@pytest.mark.reaches("Accepted/SecretUnreadable", "Accepted/Accepted", "write:Accepted/SecretUnreadable")
def test_no_right_to_get_secrets(
    cluster: Cluster, operator: Operator, account: Account, namespace: str, guard: Callable[..., Guarded]
) -> None:
    """Said with the fix; what is known already stays in use."""
    guarded = guard(_VALUES[0])
    put(cluster, namespace, token=_VALUES[0])
    cluster.run_pod(namespace, PodSpec("guarded", guarded.ip, {"app": "guarded"}))
    scrape(cluster, namespace, "guarded", **_TOKEN)
    cluster.wait_for(namespace, "guarded", "Ready", "True/AllUp")
    account.allow(*(rule for rule in ALL if rule is not SECRETS))
    try:
        failed = operator.metric("secret_reads_total", result="failed")
        eventually(lambda: operator.metric("secret_reads_total", result="failed") > failed, "a read is refused", 45)
        scrape(cluster, namespace, "late", bearerTokenSecret={"name": "other", "key": "token"})
        cluster.wait_for(namespace, "late", "Accepted", "False/SecretUnreadable")
        endpoint = {"name": "main", "url": "http://127.0.0.1:1", "bearerTokenSecret": {"name": "other", "key": "token"}}
        cluster.write(namespace, "late", {"endpoints": [endpoint]})
        cluster.wait_for(namespace, "late", "Accepted", "False/SecretUnreadable", plural="pyroscopewrites")
        told = message(cluster, namespace, "late")
        assert f"Secret {namespace}/other can't be read: the API server answered 403" in told
        assert "the right to get secrets" in told
        served = guarded.served(_VALUES[0])
        eventually(lambda: guarded.served(_VALUES[0]) >= served + 3, "what is known is in use")
        assert cluster.condition(namespace, "guarded", "Accepted") == "True/Accepted"
        said = [line for line in operator.log_lines() if "stays in use" in line["message"]]
        assert len(said) == 1
    finally:
        account.allow(*ALL)
    cluster.wait_for(namespace, "late", "Accepted", "False/SecretNotFound")


def test_rotation_under_load(
    cluster: Cluster, operator: Operator, namespace: str, start_app: StartApp, guard: Callable[..., Guarded]
) -> None:
    """A minute after the Secret has changed, targets may refuse the old one: no scrape is lost, nor are those of others."""
    old, new = _VALUES[0], _VALUES[2]
    app, targets = start_app("app"), [guard(old, new) for _ in range(5)]
    put(cluster, namespace, token=old)
    cluster.run_pod(namespace, PodSpec("open", app.ip, {"app": "open"}))
    for number, target in enumerate(targets):
        cluster.run_pod(namespace, PodSpec(f"guarded-{number}", target.ip, {"app": "guarded"}))
    scrape(cluster, namespace, "guarded", **_TOKEN)
    scrape(cluster, namespace, "open", profilingConfig={**_GOROUTINES, "memory": {"enabled": True}})
    for name in ("guarded", "open"):
        cluster.wait_for(namespace, name, "Ready", "True/AllUp")
    eventually(lambda: len(app.requests("/debug/pprof/allocs")) > 2, "a difference was taken")
    baselines, calls, reads = operator.metric("delta_baselines_total"), gets(cluster), operator.metric("secret_reads_total")

    put(cluster, namespace, token=new)
    rotated = time.time()
    eventually(lambda: time.time() > rotated + 60, "a minute", 70)
    for target in targets:
        target.accepted = (new,)
    served = [target.served(new) for target in targets]
    for target, before in zip(targets, served, strict=True):
        eventually(lambda t=target, b=before: t.served(new) >= b + 5, "it goes on with the new one")
    for target in targets:
        assert all(entry.status == 200 for entry in target.asked)
        times = [entry.at for entry in target.asked]
        assert all(0.5 < later - earlier < 1.5 for earlier, later in pairwise(times))
    assert operator.metric("delta_baselines_total") == baselines
    times = [entry["unixNano"] / 1e9 for entry in app.requests("/debug/pprof/goroutine")]
    assert all(0.5 < later - earlier < 1.5 for earlier, later in pairwise(times))
    _only_gets(operator, gets(cluster), calls, reads, time.time() - rotated)
    never_seen(operator, cluster, *_VALUES)


def _only_gets(
    operator: Operator, now: dict[tuple[str, str], float], before: dict[tuple[str, str], float], reads: float, seconds: float
) -> None:
    """One GET per Secret and half a minute, and nothing else: not a list, not a watch."""
    mine = operator.metric("secret_reads_total") - reads
    assert operator.metric("secrets", state="known") == 1
    assert seconds / 30 - 1 <= mine <= seconds / 24 + 1
    called = {key: now[key] - before.get(key, 0) for key in now if key[1] == "secrets"}
    assert called.pop(("GET", "secrets")) == mine + 1  # kubectl apply looks once
    assert called.pop(("PATCH", "secrets")) == 1
    assert not [key for key, count in called.items() if count and key[0] == "LIST"]


def test_standalone(receiver: Receiver, guard: Callable[..., Guarded], tmp_path: Path) -> None:
    """The same references read folders, laid out as Kubernetes mounts a Secret, and follow their changes."""
    guarded = guard(_VALUES[0])
    folder = tmp_path / "secrets" / "credentials"
    folder.mkdir(parents=True)
    for version, value in enumerate(_VALUES):
        (folder / f"..{version}").mkdir()
        (folder / f"..{version}" / "token").write_text(f"{value}\n")
    (folder / "..data").symlink_to("..0")
    (folder / "token").symlink_to("..data/token")
    spec = {"staticTargets": [{"address": f"{guarded.ip}:{_PORT}"}], "interval": "1s", "profilingConfig": _GOROUTINES, **_TOKEN}
    kind = {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeScrape"}
    manifest = tmp_path / "scrape.yaml"
    manifest.write_text(json.dumps({**kind, "metadata": {"name": "app"}, "spec": spec}))
    flags = ("--standalone", str(manifest), "--pyroscope-url", receiver.url, "--secrets-dir", str(tmp_path / "secrets"))
    operator = Operator(tmp_path, *flags, name="standalone")
    try:
        operator.wait_ready()
        eventually(lambda: guarded.served(_VALUES[0]) > 1, "the token of the folder")
        guarded.accepted = (_VALUES[1],)
        (folder / "..new").symlink_to("..1")
        (folder / "..new").replace(folder / "..data")
        eventually(lambda: guarded.served(_VALUES[1]) > 1, "the new one", 15)
        shown = operator.get("/metrics").text + operator.get("/api/v1/targets").text + operator.stderr.read_text()
        assert not [value for value in _VALUES if value in shown]
    finally:
        assert operator.stop() == 0, operator.log_tail()
