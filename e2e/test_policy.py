"""What the administrator allows and forbids, each in its working and in its failing form.

A control plane of its own: it has an audit log, and operators that act on whole clusters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec, open_cluster
from e2e.harness.controlplane import ADMIN_TOKEN
from e2e.harness.parts import DemoApp, Operator, Receiver
from e2e.harness.rights import (
    NAMESPACE_LABELS,
    OPERATOR,
    SOME_NAMESPACES,
    WHOLE_CLUSTER,
    ServiceAccount,
    documented,
)
from e2e.harness.slow import slow_api_server
from e2e.harness.wait import eventually

_GOROUTINES = {name: {"enabled": False} for name in ("processCPU", "memory", "block", "mutex")}
_SPEC = {"selector": {"matchLabels": {"app": "checkout"}}, "interval": "1s", "profilingConfig": _GOROUTINES}
_ON = {"matchLabels": {"profiling": "on"}}
_PRIVILEGED = "platform"
_SECONDS = 15
"""Within so many something follows, on a busy machine, that takes one or two."""
_SWEEP = 2.0

Start = Callable[..., Operator]
Event = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with open_cluster(tmp_path_factory.mktemp("controlplane"), audited=True) as cluster:
        for namespace in (_PRIVILEGED, OPERATOR[0]):
            cluster.namespace(namespace)
        yield cluster


@pytest.fixture
def start(cluster: Cluster, receiver: Receiver, folder: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts an operator; it is stopped at the end, and its objects are deleted."""
    started: list[Operator] = []

    def start_one(*flags: str, kubeconfig: Path | None = None) -> Operator:
        name = f"{request.node.name.removeprefix('test_').split('[')[0].replace('_', '-')}-{len(started)}"
        common = ["--pyroscope-url", receiver.url, "--status-interval", "1s", "--sweep-period", f"{_SWEEP:g}s", "--name", name]
        operator = Operator(folder, *common, *flags, name=name, kubeconfig=kubeconfig or cluster.plane.kubeconfig)
        started.append(operator)
        operator.wait_ready()
        return operator

    yield start_one
    for operator in started:
        if operator.running:
            operator.end()
    cluster.kubectl("delete", "pyscrape", "--all", "-A", "--timeout=20s")
    cluster.kubectl("delete", "pods", "--all", "-A", "--grace-period=0", "--force", "--timeout=20s")


@pytest.fixture
def apps(cluster: Cluster, start_app: StartApp, request: pytest.FixtureRequest) -> Callable[..., dict[str, DemoApp]]:
    """Starts a pod in each of the namespaces, which are made with the labels that are given, and begin with the test's name."""

    def run(**namespaces: dict[str, str]) -> dict[str, DemoApp]:
        started = {}
        for name, labels in namespaces.items():
            cluster.namespace(name, **labels)
            started[name] = start_app(name)
            cluster.run_pod(name, PodSpec(f"pod-of-{name}", started[name].ip, {"app": "checkout"}))
        return started

    return run


def scraped(operator: Operator, *apps: DemoApp) -> None:
    """These are scraped, and no others."""
    wanted = {app.address for app in apps}
    eventually(lambda: {address for address, _ in operator.scrapes()} == wanted, f"scrapes of {wanted}", _SECONDS)
    for app in apps:
        mark = len(app.requests())
        eventually(lambda app=app, mark=mark: len(app.requests()) > mark, f"{app.name} is scraped", _SECONDS)  # type: ignore[misc]


def undisturbed(operator: Operator, app: DemoApp) -> None:
    """One loop has done all scrapes so far: a new one would count from zero."""
    asked = len(app.requests("/debug/pprof/goroutine"))
    assert asked > 1
    eventually(lambda: operator.scrapes()[app.address, "goroutine"]["scrapes"] >= asked, "every scrape is counted", _SECONDS / 5)


def message(cluster: Cluster, namespace: str, name: str) -> str:
    found = cluster.status(namespace, name)["conditions"]
    return next(condition["message"] for condition in found if condition["type"] == "Accepted")


def label(cluster: Cluster, namespace: str, text: str) -> None:
    cluster.kubectl("label", "namespace", namespace, text)


def apply(cluster: Cluster, manifests: list[dict[str, Any]]) -> None:
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": manifests})


def account(cluster: Cluster, *headings: str) -> ServiceAccount:
    """With the rights of docs/policy.md."""
    for heading in headings:
        apply(cluster, documented(heading))
    return ServiceAccount(cluster, *OPERATOR)


def revoke(cluster: Cluster) -> None:
    """Whatever the other tests have granted."""
    for scope in ("role,rolebinding", "clusterrole,clusterrolebinding"):
        listed = cluster.kubectl("get", scope, "-A", "-o", "json")
        for item in json.loads(listed)["items"]:
            meta = item["metadata"]
            if meta["name"].startswith("pyroscope-operator"):
                where = ("-n", meta["namespace"]) if "namespace" in meta else ()
                cluster.kubectl("delete", item["kind"].lower(), meta["name"], *where)


def about(events: list[Event], resource: str) -> list[Event]:
    return [event for event in events if event.get("objectRef", {}).get("resource") == resource]


def denied(events: list[Event]) -> list[Event]:
    return [event for event in events if event["responseStatus"]["code"] in {401, 403}]


def watches(events: list[Event]) -> int:
    """How many of them go on."""
    stages = [event["stage"] for event in events if event["verb"] == "watch"]
    return stages.count("ResponseStarted") - stages.count("ResponseComplete")


# Other namespaces and static targets


_ELSEWHERE: dict[str, dict[str, Any]] = {
    "any": {"namespaceSelector": {"any": True}},
    "names": {"namespaceSelector": {"matchNames": ["tenant"]}},
    "labels": {"namespaceSelector": {"matchLabels": {"tenancy": "yes"}}},
    "expressions": {"namespaceSelector": {"matchExpressions": [{"key": "tenancy", "operator": "Exists"}]}},
    "names-and-labels": {"namespaceSelector": {"matchNames": ["tenant", "default"], "matchLabels": {"tenancy": "yes"}}},
}


def test_other_namespaces(cluster: Cluster, receiver: Receiver, start: Start, apps: Any) -> None:
    """For objects in privileged namespaces only. All others are refused, and told which setting it is."""
    app = apps(tenant={"tenancy": "yes"})["tenant"]
    cluster.namespace("stranger")
    operator = start("--privileged-namespaces", _PRIVILEGED)
    for name, fields in _ELSEWHERE.items():
        cluster.scrape("stranger", name, {**_SPEC, **fields})
    for name in _ELSEWHERE:
        cluster.wait_for("stranger", name, "Accepted", "False/NamespaceNotAllowed")
        said = message(cluster, "stranger", name)
        assert said.startswith("spec.namespaceSelector: ") and "'stranger'" in said and "privilegedNamespaces" in said
        assert cluster.condition("stranger", name, "Ready") == "False/NamespaceNotAllowed"
        told = eventually(lambda name=name: cluster.events("stranger", name), "an Event")  # type: ignore[misc]
        assert told == [("Warning", "NamespaceNotAllowed", said)]
    assert not operator.scrapes()
    for name, fields in _ELSEWHERE.items():
        cluster.scrape(_PRIVILEGED, name, {**_SPEC, **fields})
        cluster.wait_for(_PRIVILEGED, name, "Ready", "True/AllUp")
        scraped(operator, app)
        eventually(lambda name=name: receiver.profiles(job=f"{_PRIVILEGED}/{name}", namespace="tenant"), f"profiles of {name}")  # type: ignore[misc]
        cluster.delete_scrape(_PRIVILEGED, name)
        scraped(operator)


def test_static_targets(cluster: Cluster, start: Start, start_app: StartApp) -> None:
    app = start_app("static")
    spec = {"staticTargets": [{"address": app.address}], "interval": "1s", "profilingConfig": _GOROUTINES}
    cluster.namespace("stranger")
    operator = start("--privileged-namespaces", _PRIVILEGED)
    cluster.scrape("stranger", "static", spec)
    cluster.wait_for("stranger", "static", "Accepted", "False/NamespaceNotAllowed")
    said = message(cluster, "stranger", "static")
    assert said.startswith("spec.staticTargets: ") and "privilegedNamespaces" in said
    assert not operator.scrapes()
    cluster.scrape(_PRIVILEGED, "static", spec)
    cluster.wait_for(_PRIVILEGED, "static", "Ready", "True/AllUp")
    scraped(operator, app)


def test_credentials_for_other_namespaces(cluster: Cluster, start: Start, apps: Any) -> None:
    app = apps(guarded={"guarded": "yes"})["guarded"]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": _PRIVILEGED, "name": "credentials"}}
    cluster.apply({**secret, "stringData": {"token": "t"}})
    token = {"bearerTokenSecret": {"name": "credentials", "key": "token"}}
    selectors = {name: fields for name, fields in _ELSEWHERE.items() if name in {"any", "names", "labels"}}
    selectors["names"] = {"namespaceSelector": {"matchNames": ["guarded"]}}
    selectors["labels"] = {"namespaceSelector": {"matchLabels": {"guarded": "yes"}}}
    strict = start("--privileged-namespaces", _PRIVILEGED)
    for name, fields in selectors.items():
        cluster.scrape(_PRIVILEGED, name, {**_SPEC, **fields, **token})
    for name in selectors:
        cluster.wait_for(_PRIVILEGED, name, "Accepted", "False/NamespaceNotAllowed")
        said = message(cluster, _PRIVILEGED, name)
        assert said.startswith("spec.bearerTokenSecret: ") and "crossNamespaceCredentials" in said
    assert not strict.scrapes() and not app.requests()
    strict.end()
    cluster.kubectl("delete", "pyscrape", "any", "names", "-n", _PRIVILEGED)
    generous = start("--privileged-namespaces", _PRIVILEGED, "--cross-namespace-credentials")
    cluster.wait_for(_PRIVILEGED, "labels", "Ready", "True/AllUp")
    scraped(generous, app)


# Namespaces by labels


def test_labels_come_and_go(cluster: Cluster, folder: Path, start: Start, apps: Any) -> None:
    """With the rights of docs/policy.md. They are watched while somebody selects by them, and others don't notice."""
    revoke(cluster)
    app = apps(blue={"profiling": "on"}, green={}, red={"profiling": "off"}, fixed={})
    me = account(cluster, WHOLE_CLUSTER, NAMESPACE_LABELS)
    plane = cluster.plane
    mark = len(plane.audit(me.user))

    def asked(resource: str) -> list[Event]:
        return about(plane.audit(me.user)[mark:], resource)

    flags = ("--namespace", OPERATOR[0], "--privileged-namespaces", _PRIVILEGED, "--sweep-period", "1h")
    operator = start(*flags, kubeconfig=me.kubeconfig(folder / "labels-token"))
    cluster.scrape(_PRIVILEGED, "fixed", {**_SPEC, "namespaceSelector": {"matchNames": ["fixed"]}})
    scraped(operator, app["fixed"])
    pods_asked = len(asked("pods"))
    assert not asked("namespaces"), "nobody selects by labels"

    cluster.scrape(_PRIVILEGED, "labeled", {**_SPEC, "namespaceSelector": _ON})
    scraped(operator, app["fixed"], app["blue"])
    cluster.wait_for(_PRIVILEGED, "labeled", "Ready", "True/AllUp")
    label(cluster, "green", "profiling=on")
    scraped(operator, app["fixed"], app["blue"], app["green"])
    label(cluster, "blue", "profiling-")
    scraped(operator, app["fixed"], app["green"])
    marked = len(app["blue"].requests())
    both = {"matchNames": ["red", "blue"], "matchExpressions": [{"key": "profiling", "operator": "In", "values": ["off"]}]}
    cluster.scrape(_PRIVILEGED, "both", {**_SPEC, "namespaceSelector": both})
    scraped(operator, app["fixed"], app["green"], app["red"])
    label(cluster, "red", "profiling-")
    scraped(operator, app["fixed"], app["green"])
    cluster.wait_for(_PRIVILEGED, "both", "Discovered", "False/NoPodsMatched")
    assert len(app["blue"].requests()) == marked

    assert watches(asked("namespaces")) == 1
    cluster.delete_scrape(_PRIVILEGED, "labeled")
    scraped(operator, app["fixed"])
    assert watches(asked("namespaces")) == 1, "there is another one who needs it"
    cluster.delete_scrape(_PRIVILEGED, "both")
    eventually(lambda: watches(asked("namespaces")) == 0, "nobody watches namespaces", _SECONDS)
    quiet = len(asked("namespaces"))
    scraped(operator, app["fixed"])
    assert len(asked("namespaces")) == quiet

    # What is there when the operator starts, and what another object makes of it.
    cluster.scrape(_PRIVILEGED, "labeled", {**_SPEC, "namespaceSelector": _ON})
    scraped(operator, app["fixed"], app["green"])
    assert len(asked("pods")) == pods_asked, "the watches of pods were never started anew"
    undisturbed(operator, app["fixed"])
    assert not denied(plane.audit(me.user)[mark:])
    operator.end()
    again = start(*flags, kubeconfig=me.kubeconfig(folder / "labels-token"))
    scraped(again, app["fixed"], app["green"])


@pytest.mark.reaches("Accepted/NamespacesPending")
def test_before_namespaces_are_listed(cluster: Cluster, folder: Path, start: Start, apps: Any) -> None:
    """An API server takes its time: the object says so, and others don't wait for it."""
    app = apps(late={"profiling": "on"}, early={})
    with cluster.plane.client(ADMIN_TOKEN) as api, slow_api_server(api, "/api/v1/namespaces") as server:
        flags = ("--namespace", OPERATOR[0], "--privileged-namespaces", _PRIVILEGED)
        operator = start(*flags, kubeconfig=server.kubeconfig(folder))
        cluster.scrape(_PRIVILEGED, "named", {**_SPEC, "namespaceSelector": {"matchNames": ["early"]}})
        cluster.scrape(_PRIVILEGED, "labeled", {**_SPEC, "namespaceSelector": {"matchLabels": {"profiling": "on"}}})
        cluster.wait_for(_PRIVILEGED, "labeled", "Accepted", "Unknown/NamespacesPending")
        assert cluster.condition(_PRIVILEGED, "labeled", "Ready") == "False/NamespacesPending"
        assert "has not listed the namespaces" in message(cluster, _PRIVILEGED, "labeled")
        scraped(operator, app["early"])
        server.let_go()
        cluster.wait_for(_PRIVILEGED, "labeled", "Ready", "True/AllUp")
        scraped(operator, app["early"], app["late"])
        operator.end()


@pytest.mark.reaches("Accepted/NamespacesUnreadable")
def test_without_the_right_to_list_namespaces(cluster: Cluster, folder: Path, start: Start, apps: Any) -> None:
    """The object says which right it is, others go on; it recovers when the right is granted. At start and later."""
    revoke(cluster)
    app = apps(dark={"profiling": "on"}, light={})
    for blue_or_green in ("blue", "green"):
        cluster.namespace(blue_or_green)
        cluster.kubectl("label", "namespace", blue_or_green, "profiling-")
    me = account(cluster, WHOLE_CLUSTER)
    flags = ("--namespace", OPERATOR[0], "--privileged-namespaces", _PRIVILEGED)
    kubeconfig = me.kubeconfig(folder / "rights-token")
    cluster.scrape(_PRIVILEGED, "labeled", {**_SPEC, "namespaceSelector": _ON})
    cluster.scrape(_PRIVILEGED, "named", {**_SPEC, "namespaceSelector": {"matchNames": ["light"]}})
    operator = start(*flags, kubeconfig=kubeconfig)
    for _ in range(2):
        cluster.wait_for(_PRIVILEGED, "labeled", "Accepted", "False/NamespacesUnreadable")
        assert cluster.condition(_PRIVILEGED, "labeled", "Ready") == "False/NamespacesUnreadable"
        said = message(cluster, _PRIVILEGED, "labeled")
        assert said.startswith("spec.namespaceSelector: ") and "list and watch on namespaces" in said
        eventually(
            lambda said=said: ("Warning", "NamespacesUnreadable", said) in cluster.events(_PRIVILEGED, "labeled"), "an Event"
        )  # type: ignore[misc]
        scraped(operator, app["light"])
        cluster.delete_scrape(_PRIVILEGED, "labeled")
        cluster.scrape(_PRIVILEGED, "labeled", {**_SPEC, "namespaceSelector": _ON})
    apply(cluster, documented(NAMESPACE_LABELS))
    cluster.wait_for(_PRIVILEGED, "labeled", "Ready", "True/AllUp")
    scraped(operator, app["light"], app["dark"])
    undisturbed(operator, app["light"])


# Some namespaces only


def _role_for(namespace: str) -> list[dict[str, Any]]:
    """What docs/policy.md says of the namespace shop."""
    manifests = [manifest for manifest in documented(SOME_NAMESPACES) if manifest["metadata"]["namespace"] == "shop"]
    assert len(manifests) == 2
    return [{**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}} for manifest in manifests]


def _only_these(events: list[Event], *namespaces: str) -> None:
    """What was asked for is in these namespaces, or the Lease in the operator's own. Of the cluster, only what APIs it has."""
    named = [event["objectRef"] for event in events if event.get("objectRef", {}).get("namespace")]
    assert {ref["namespace"] for ref in named} == {*namespaces, OPERATOR[0]}
    assert {ref["resource"] for ref in named if ref["namespace"] == OPERATOR[0]} == {"leases"}
    others = {event["requestURI"].partition("?")[0] for event in events if not event.get("objectRef", {}).get("namespace")}
    assert not [path for path in others if not re.fullmatch("/api(/v1)?|/apis(/[^/]+/[^/]+)?", path)]


def _swept(operator: Operator, times: int) -> None:
    """So many sweeps have ended."""

    def last() -> float:
        return operator.metric("sweep_last_success_timestamp_seconds", resource="pods")

    before = last()
    eventually(lambda: last() > before + (times - 1) * _SWEEP, "sweeps", _SECONDS)


@pytest.fixture
def restricted(cluster: Cluster, folder: Path) -> tuple[ServiceAccount, tuple[str, ...], Path]:
    """Who has Roles in shop and stock, the flags of an operator that watches them and `later`, and its kubeconfig."""
    revoke(cluster)
    for namespace in ("shop", "stock"):
        cluster.namespace(namespace)
    me = account(cluster, SOME_NAMESPACES)
    apply(cluster, _role_for("stock"))
    assert {manifest["kind"] for manifest in documented(SOME_NAMESPACES)} == {"ServiceAccount", "Role", "RoleBinding"}
    flags = ("--namespace", OPERATOR[0], "--watch-namespaces", "shop,stock,later", "--privileged-namespaces", "shop")
    return me, flags, me.kubeconfig(folder / "restricted-token")


def test_some_namespaces_only(cluster: Cluster, start: Start, apps: Any, restricted: Any) -> None:
    """Any means any of these; the others can't be had, and what is in them is not touched."""
    me, flags, kubeconfig = restricted
    app = apps(shop={}, stock={}, outside={})
    cluster.scrape("shop", "any", {**_SPEC, "namespaceSelector": {"any": True}})
    cluster.scrape("outside", "own", _SPEC)
    mark = len(cluster.plane.audit(me.user))
    operator = start(*flags, kubeconfig=kubeconfig)
    cluster.wait_for("shop", "any", "Ready", "True/AllUp")
    scraped(operator, app["shop"], app["stock"])
    cluster.delete_scrape("shop", "any")
    cluster.scrape("shop", "names", {**_SPEC, "namespaceSelector": {"matchNames": ["stock"]}})
    cluster.wait_for("shop", "names", "Ready", "True/AllUp")
    scraped(operator, app["stock"])

    cluster.scrape("shop", "outside", {**_SPEC, "namespaceSelector": {"matchNames": ["stock", "outside"]}})
    cluster.wait_for("shop", "outside", "Accepted", "False/NamespaceNotAllowed")
    said = message(cluster, "shop", "outside")
    assert (
        said.startswith("spec.namespaceSelector.matchNames: the operator does not watch 'outside' (")
        and "watchNamespaces" in said
    )
    cluster.scrape("shop", "labels", {**_SPEC, "namespaceSelector": _ON})
    cluster.wait_for("shop", "labels", "Accepted", "False/NamespaceNotAllowed")
    assert "watchNamespaces" in message(cluster, "shop", "labels")
    assert "status" not in cluster.get("outside", "own")
    assert not app["outside"].requests()
    _only_these(cluster.plane.audit(me.user)[mark:], "shop", "stock", "later")


def test_roles_alone(cluster: Cluster, start: Start, apps: Any, start_app: StartApp, restricted: Any) -> None:
    """Everything that an object needs; nothing is denied but in a namespace that is not there yet, and that when it is."""
    me, flags, kubeconfig = restricted
    app = apps(stock={})["stock"]
    mark = len(cluster.plane.audit(me.user))
    operator = start(*flags, kubeconfig=kubeconfig)
    cluster.scrape("stock", "own", _SPEC)
    cluster.wait_for("stock", "own", "Ready", "True/AllUp")
    cluster.scrape("stock", "secret", {**_SPEC, "bearerTokenSecret": {"name": "none", "key": "token"}})
    cluster.wait_for("stock", "secret", "Accepted", "False/SecretNotFound")
    eventually(lambda: cluster.events("stock", "secret"), "an Event")
    scraped(operator, app)
    cluster.delete_pod("stock", "pod-of-stock")
    scraped(operator)
    _swept(operator, 2)
    refused = denied(cluster.plane.audit(me.user)[mark:])
    assert {event["objectRef"]["namespace"] for event in refused} == {"later"}

    late = start_app("later")
    cluster.namespace("later")
    apply(cluster, _role_for("later"))
    cluster.scrape("later", "own", _SPEC)
    cluster.run_pod("later", PodSpec("pod-of-later", late.ip, {"app": "checkout"}))
    cluster.wait_for("later", "own", "Ready", "True/AllUp")
    scraped(operator, late)
    mark = len(cluster.plane.audit(me.user))
    _swept(operator, 3)
    operator.end()
    events = cluster.plane.audit(me.user)[mark:]
    assert not denied(events)
    _only_these(events, "shop", "stock", "later")


def test_the_whole_cluster_denies_nothing(cluster: Cluster, folder: Path, start: Start, apps: Any) -> None:
    """With the rights of docs/policy.md, and no others."""
    revoke(cluster)
    app = apps(plain={})["plain"]
    me = account(cluster, WHOLE_CLUSTER)
    mark = len(cluster.plane.audit(me.user))
    operator = start("--namespace", OPERATOR[0], kubeconfig=me.kubeconfig(folder / "whole-token"))
    cluster.scrape("plain", "own", _SPEC)
    cluster.scrape("plain", "secret", {**_SPEC, "bearerTokenSecret": {"name": "none", "key": "token"}})
    cluster.wait_for("plain", "own", "Ready", "True/AllUp")
    cluster.wait_for("plain", "secret", "Accepted", "False/SecretNotFound")
    eventually(lambda: cluster.events("plain", "secret"), "an Event")
    scraped(operator, app)
    operator.end()
    events = cluster.plane.audit(me.user)[mark:]
    assert events and not denied(events)
    assert not about(events, "namespaces")
