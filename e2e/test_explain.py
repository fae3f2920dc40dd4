"""`pyroscope-operator explain`: why pods of a real API server are or aren't scraped, as the running operator says it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import Operator, Receiver
from e2e.harness.process import free_port
from e2e.harness.wait import eventually

_APP = {"app": "checkout"}
_SELECTOR = {"selector": {"matchLabels": _APP}, "interval": "3s"}
_DROP_CANARIES = {"action": "drop", "sourceLabels": ["__meta_kubernetes_pod_label_track"], "regex": "canary"}
_NAME_THE_TRACK = {"sourceLabels": ["__meta_kubernetes_pod_label_track"], "targetLabel": "track"}
_PASSWORD = "hunter2-never-shown"
_NAMESPACE = "explained"


def explain(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """The command as people run it: exit code, what it printed, and what it complained of."""
    command = [sys.executable, "-m", "pyroscope_operator", "explain", *arguments]
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**known, **(environment or {})}, timeout=60)
    return done.returncode, done.stdout, done.stderr


def _age(cluster: Cluster, name: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(cluster.get(_NAMESPACE, name)["metadata"]["creationTimestamp"])


@pytest.fixture(scope="module")
def world(cluster: Cluster, operator: Operator) -> Iterator[None]:
    """Four pods, and six objects that treat them differently."""
    cluster.namespace(_NAMESPACE)
    cluster.kubectl("create", "secret", "generic", "login", "-n", _NAMESPACE, f"--from-literal=password={_PASSWORD}")
    login = {"basicAuth": {"password": {"name": "login", "key": "password"}}}
    objects: dict[str, dict[str, Any]] = {
        "old": {**_SELECTOR, **login, "port": "pprof", "relabelings": [_DROP_CANARIES, _NAME_THE_TRACK]},
        "new": {**_SELECTOR, "port": "pprof"},
        "cart": {"selector": {"matchLabels": {"app": "cart"}}},
        "refused": {**_SELECTOR, "bearerTokenSecret": {"name": "nowhere", "key": "token"}},
        "paused": {**_SELECTOR, "suspend": True},
    }
    for name, spec in objects.items():
        cluster.scrape(_NAMESPACE, name, spec)
        if name == "old":
            eventually(lambda: _age(cluster, "old") > timedelta(seconds=1), "what comes now is younger")
    cluster.scrape("default", "far", {"selector": {}})
    yield
    cluster.kubectl("delete", "pyscrape", "--all", "-n", _NAMESPACE, "--timeout=10s")
    cluster.kubectl("delete", "pyscrape", "far", "--timeout=10s")
    cluster.kubectl("delete", "pods", "--all", "-n", _NAMESPACE, "--grace-period=0", "--force", "--timeout=10s")


@pytest.fixture
def ask(operator: Operator, world: None) -> Any:
    """What the command says of a pod: exit code, and the views of the objects by name."""

    def asked(pod: str) -> tuple[int, dict[str, dict[str, Any]]]:
        code, text, complaint = explain(f"pod/{pod}", "-n", _NAMESPACE, "-o", "json", "--operator", operator.url)
        assert not complaint
        assert _PASSWORD not in text
        return code, {view["name"]: view for view in json.loads(text)["objects"]}

    return asked


@pytest.fixture
def told(operator: Operator, world: None) -> Any:
    """What the command says of a pod to a person: exit code and text."""

    def asked(pod: str, *flags: str) -> tuple[int, str]:
        code, text, complaint = explain(f"pod/{pod}", "-n", _NAMESPACE, "--operator", operator.url, *flags)
        assert not complaint
        return code, text

    return asked


def test_a_pod_that_is_scraped(cluster: Cluster, ask: Any, told: Any, start_app: StartApp) -> None:
    app = start_app("app")
    cluster.run_pod(_NAMESPACE, PodSpec("stable", app.ip, {**_APP, "track": "stable"}, app.port))

    def up() -> bool:
        targets = ask("stable")[1]["old"].get("targets", ())
        return bool(targets) and all(scrape["state"] == "up" for scrape in targets[0]["scrapes"])

    eventually(up, "everything of the pod is up")
    code, views = ask("stable")
    assert code == 0
    assert {name: (view["outcome"], view["reason"]) for name, view in views.items()} == {
        "old": ("Scraped", "Scraped"),
        "new": ("Duplicate", "Duplicate"),
        "refused": ("NotAccepted", "SecretNotFound"),
        "paused": ("Suspended", "Suspended"),
        "cart": ("NotSelected", "NotSelected"),
    }
    assert list(views) == ["old", "new", "refused", "paused", "cart"]
    (target,) = views["old"]["targets"]
    assert (target["address"], target["scheme"], target["labels"]["track"]) == (app.address, "http", "stable")
    assert target["discoveredLabels"]["__meta_kubernetes_pod_label_track"] == "stable"
    assert "track" not in target["discoveredLabels"]
    for scrape in target["scrapes"]:
        assert scrape["lastScrape"] < scrape["nextScrape"]
    lost = views["new"]["duplicates"]
    assert {one["profile"] for one in lost} == {scrape["profile"] for scrape in target["scrapes"]}
    assert {(one["winner"]["namespace"], one["winner"]["name"]) for one in lost} == {(_NAMESPACE, "old")}
    assert "nowhere" in views["refused"]["message"]
    assert views["cart"]["message"] == 'spec.selector.matchLabels wants app="cart", the pod has app="checkout"'

    code, text = told("stable")
    assert code == 0
    first, *rest = text.splitlines()
    up_of_all = f"{len(target['scrapes'])} of {len(target['scrapes'])} profile types up"
    assert first == f"pod/stable in namespace {_NAMESPACE} is scraped by {_NAMESPACE}/old ({up_of_all})"
    assert f"  target    http://{app.address}, container app" in rest
    assert any(line.startswith("  goroutine ") and " up " in line and line.rstrip().endswith("s") for line in rest)
    assert 'track="stable"' in text
    assert "__meta_" not in text
    assert f"{_NAMESPACE}/old scrapes them: it is older" in text
    assert rest[-1] == "PyroscopeScrapes not shown (--all lists them): 1 have nothing to do with it"
    assert "__meta_kubernetes_pod_label_track" in told("stable", "--labels")[1]
    assert "default/far" in told("stable", "--all")[1]


def test_a_pod_that_is_down(cluster: Cluster, ask: Any, told: Any) -> None:
    cluster.run_pod(_NAMESPACE, PodSpec("broken", "127.0.22.1", _APP, 1))
    eventually(lambda: "ConnectFailed: " in told("broken")[1], "a scrape has failed")
    code, text = told("broken")
    assert code == 0, "it is scraped, though nothing comes of it"
    assert "(0 of 5 profile types up, " in text.splitlines()[0]
    assert "  do        look at the pod" in text


def test_a_pod_that_a_relabeling_drops(cluster: Cluster, ask: Any, told: Any) -> None:
    cluster.run_pod(_NAMESPACE, PodSpec("dropped", "127.0.22.3", {**_APP, "track": "canary"}, 1))
    eventually(lambda: ask("dropped")[1].get("old", {}).get("outcome") == "Dropped", "seen")
    view = ask("dropped")[1]["old"]
    assert (view["reason"], view["message"]) == ("Relabeled", "dropped by relabelings[0] (drop)")
    assert view["drops"][0]["step"] == {"index": 0, **_DROP_CANARIES}
    text = told("dropped")[1]
    assert f"{_NAMESPACE}/old  not scraped: Relabeled" in text
    assert "relabelings[0]: sourceLabels: [__meta_kubernetes_pod_label_track], regex: canary, action: drop" in text


def test_a_pod_without_a_port(cluster: Cluster, ask: Any, told: Any) -> None:
    cluster.run_pod(_NAMESPACE, PodSpec("portless", "127.0.22.4", _APP, 8080, port_name="http"))
    eventually(lambda: ask("portless")[1].get("new", {}).get("outcome") == "Dropped", "seen")
    code, text = told("portless")
    assert code == 1
    head, pod, *_ = text.splitlines()
    assert head == f"pod/portless in namespace {_NAMESPACE} is not scraped: {_NAMESPACE}/new selects it, but: PortNotFound"
    assert pod == "  pod       Running, ready, IP 127.0.22.4, ports: app 8080 http"
    assert "no container port named 'pprof': declare it, or set spec.port to its number" in text


def test_a_pod_that_nobody_selects(cluster: Cluster, ask: Any, told: Any) -> None:
    cluster.run_pod(_NAMESPACE, PodSpec("alone", "127.0.22.5", {"app": "search"}, 1))
    eventually(lambda: ask("alone")[1], "seen")
    code, text = told("alone")
    assert code == 1
    assert text.splitlines()[0].endswith("is not scraped: none of 6 PyroscopeScrapes selects it")
    assert text.count('wants app="checkout", the pod has app="search"') == 4


def test_an_unknown_pod(cluster: Cluster, told: Any) -> None:
    cluster.run_pod(_NAMESPACE, PodSpec("known-7d9f", "127.0.22.6", {}, 1))
    eventually(lambda: "known-7d9f" in told("known")[1], "the pod is proposed")
    code, text = told("known")
    assert code == 1
    assert text.startswith(f"there is no pod/known in namespace {_NAMESPACE}: the operator knows ")
    assert "pods that have ended" in text


def test_where_no_operator_is() -> None:
    port = free_port()
    code, text, complaint = explain("pod/a", "-n", "shop", "--operator", f"http://127.0.0.1:{port}")
    assert (code, text) == (2, "")
    assert "kubectl port-forward -n OPERATORS-NAMESPACE deploy/pyroscope-operator" in complaint
    assert "pyroscope-operator explain pod/a -n shop" in complaint
    assert "Traceback" not in complaint


def test_the_operator_of_this_machine_is_found_by_its_settings(operator: Operator, world: None) -> None:
    """As with `kubectl exec`."""
    listen = {"PYROSCOPE_OPERATOR_LISTEN": operator.url.removeprefix("http://")}
    code, text, complaint = explain("nothing", "-n", _NAMESPACE, environment=listen)
    assert (code, complaint) == (1, "")
    assert text.startswith("there is no pod/nothing")


def test_static_targets_without_a_cluster(receiver: Receiver, start_app: StartApp, tmp_path: Path) -> None:
    app = start_app("static")
    manifest = {
        "apiVersion": "pyroscope-operator.dev/v1alpha1",
        "kind": "PyroscopeScrape",
        "metadata": {"name": "app", "namespace": "files"},
        "spec": {"interval": "3s", "staticTargets": [{"address": app.address}]},
    }
    (tmp_path / "scrape.yaml").write_text(json.dumps(manifest))
    operator = Operator(tmp_path, "--standalone", str(tmp_path / "scrape.yaml"), "--pyroscope-url", receiver.url)
    try:
        operator.wait_ready()

        def asked(address: str) -> tuple[int, str]:
            return explain(f"target/{address}", "--operator", operator.url)[:2]

        eventually(lambda: asked(app.address)[0] == 0, "the target is scraped")
        assert f"target {app.address} is scraped by files/app" in asked(app.address)[1]
        assert asked("elsewhere:1") == (1, "no PyroscopeScrape names the target elsewhere:1 in spec.staticTargets\n")
    finally:
        assert operator.stop() == 0
