"""Each right that the chart grants is needed: without it something fails that has a name.

That they are enough, and that nothing else is asked for, e2e/test_policy.py and e2e/node show.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec, open_cluster
from e2e.harness.helm import NAMESPACE, RELEASE, Helm, Manifest
from e2e.harness.parts import Operator, Receiver
from e2e.harness.rights import ServiceAccount
from e2e.harness.wait import eventually

Right = tuple[str, str]
_KINDS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
_SECONDS = 30
_FAILS: dict[Right, str] = {
    ("pods", "list"): "can't list pods, going on with what is known",
    ("pods", "watch"): "the watch missed that pods {namespace}/first was deleted",
    ("pyroscopescrapes", "list"): "waiting for the API server: ",
    ("pyroscopescrapes", "watch"): "the watch missed that pyroscopescrapes {namespace}/plain was deleted",
    ("pyroscopescrapes/status", "patch"): "can't write status: ApiServerRefused: status of {namespace}/plain",
    ("pyroscopewrites", "list"): "waiting for the API server: ",
    ("pyroscopewrites", "watch"): "the watch missed that pyroscopewrites {namespace}/own was deleted",
    ("pyroscopewrites/status", "patch"): "can't write status: ApiServerRefused: status of {namespace}/own",
    ("secrets", "get"): "Secret {namespace}/credentials can't be read",
    ("configmaps", "get"): "ConfigMap {namespace}/credentials can't be read",
    ("events", "create"): "can't create an Event: ",
    ("namespaces", "list"): "can't list namespaces, going on with what is known",
    ("namespaces", "watch"): "the watch missed that namespaces /{namespace}-later was deleted",
    ("leases", "get"): "can't take the lease yet: ",
    ("leases", "create"): "can't take the lease yet: ",
    ("leases", "update"): "can't renew the lease, scraping goes on: ",
}
"""What the operator says without the right; the text that begins with it ends with the reason."""
_SPEC = {
    "selector": {"matchLabels": {"app": "checkout"}},
    "interval": "1s",
    "profilingConfig": {name: {"enabled": False} for name in ("processCPU", "memory", "block", "mutex")},
}
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def cluster(binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with open_cluster(tmp_path_factory.mktemp("controlplane"), audited=True) as cluster:
        cluster.namespace(NAMESPACE)
        yield cluster


@pytest.fixture(scope="module")
def rendered(binaries: None, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """All that grants rights, with every value that grants some."""
    manifests = Helm(tmp_path_factory.mktemp("helm")).template("--set", "policy.namespaceLabels=true")
    return [manifest for manifest in manifests if manifest["kind"] in _KINDS]


def rights(manifests: list[Manifest]) -> list[Right]:
    rules = [rule for manifest in manifests for rule in manifest.get("rules", ())]
    return [(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]]


def without(manifests: list[Manifest], right: Right | None) -> list[Manifest]:
    return [{**one, "rules": _rules(one["rules"], right)} if "rules" in one else one for one in manifests]


def _rules(rules: list[dict[str, Any]], right: Right | None) -> list[dict[str, Any]]:
    """One rule for each resource, the right left out."""
    split = [
        {**rule, "resources": [resource], "verbs": [verb for verb in rule["verbs"] if (resource, verb) != right]}
        for rule in rules
        for resource in rule["resources"]
    ]
    return [rule for rule in split if rule["verbs"]]


@pytest.fixture
def namespace(cluster: Cluster, receiver: Receiver, start_app: StartApp) -> Iterator[str]:
    """Has one of everything that takes a right, and is left empty."""
    name = f"rights-{next(_NUMBERS)}"
    cluster.namespace(name, profiling=name)
    cluster.namespace(f"{name}-later")
    app = start_app(name)
    cluster.run_pod(name, PodSpec("first", app.ip, {"app": "checkout"}))
    meta = {"namespace": name, "name": "credentials"}
    authority = (cluster.plane.folder / "certs/apiserver.crt").read_text()
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"token": "t"}})
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"ca.crt": authority}})
    cluster.scrape(name, "plain", _SPEC)
    cluster.scrape(name, "secret", {**_SPEC, "bearerTokenSecret": {"name": "credentials", "key": "token"}})
    cluster.scrape(name, "authority", {**_SPEC, "tlsConfig": {"ca": {"configMap": {"name": "credentials", "key": "ca.crt"}}}})
    cluster.scrape(name, "refused", {**_SPEC, "namespaceSelector": {"any": True}})
    cluster.scrape(NAMESPACE, name, {**_SPEC, "namespaceSelector": {"matchLabels": {"profiling": name}}})
    cluster.write(name, "own", {"endpoints": [{"name": "only", "url": receiver.url}]})
    yield name
    for where in (name, NAMESPACE):
        cluster.kubectl("delete", "pyscrape,pywrite", "--all", "-n", where, "--timeout=20s")
    cluster.kubectl("delete", "pods", "--all", "-n", name, "--grace-period=0", "--force", "--timeout=20s")


@pytest.fixture
def start(cluster: Cluster, receiver: Receiver, folder: Path, rendered: list[Manifest]) -> Iterator[Callable[..., Operator]]:
    """Starts an operator with the rights of the chart, except one."""
    started: list[Operator] = []

    def start_one(missing: Right | None, sweep: str = "1s") -> Operator:
        items = without(rendered, missing)
        cluster.apply({"apiVersion": "v1", "kind": "List", "items": items})
        name = f"rights-{next(_NUMBERS)}"
        kubeconfig = ServiceAccount(cluster, NAMESPACE, RELEASE).kubeconfig(folder / f"{name}-token")
        flags = ["--pyroscope-url", receiver.url, "--namespace", NAMESPACE, "--name", name, "--allow-destinations", "127.0.0.0/8"]
        flags += ["--status-interval", "1s", "--sweep-period", sweep, "--lease-duration", "6s"]
        started.append(Operator(folder, *flags, name=name, kubeconfig=kubeconfig))
        return started[-1]

    yield start_one
    for operator in started:
        operator.end()


def delete_everything(cluster: Cluster, namespace: str) -> None:
    """One of everything that is watched."""
    cluster.delete_pod(namespace, "first")
    cluster.delete_scrape(namespace, "plain")
    cluster.kubectl("delete", "pywrite", "own", "-n", namespace)
    later = f"/api/v1/namespaces/{namespace}-later"
    cluster.api.delete(later).raise_for_status()
    # No controller-manager does it here.
    nothing_left = {"metadata": {"name": f"{namespace}-later"}, "spec": {"finalizers": []}}
    cluster.api.put(f"{later}/finalize", json=nothing_left).raise_for_status()


def denied(cluster: Cluster, mark: int) -> set[Right]:
    events = cluster.plane.audit(ServiceAccount(cluster, NAMESPACE, RELEASE).user)[mark:]
    refused = [event for event in events if event["responseStatus"]["code"] in {401, 403}]
    return {(_resource(event["objectRef"]), event["verb"]) for event in refused}


def _resource(about: dict[str, str]) -> str:
    return "/".join(about[part] for part in ("resource", "subresource") if part in about)


def messages(operator: Operator) -> list[str]:
    whole = operator.stderr.read_text().rpartition("\n")[0]
    return [json.loads(line)["message"] for line in whole.splitlines()]


def mark(cluster: Cluster) -> int:
    return len(cluster.plane.audit(ServiceAccount(cluster, NAMESPACE, RELEASE).user))


def test_every_right_has_a_row(rendered: list[Manifest]) -> None:
    assert sorted(rights(rendered)) == sorted(_FAILS)


def test_with_all_of_them_nothing_fails(cluster: Cluster, namespace: str, start: Callable[..., Operator]) -> None:
    at = mark(cluster)
    operator = start(None, sweep="1h")
    operator.wait_ready()
    eventually(lambda: cluster.events(namespace, "refused"), "an Event", _SECONDS)
    for name in ("plain", "secret", "authority"):
        cluster.wait_for(namespace, name, "Accepted", "True/Accepted")
    cluster.wait_for(NAMESPACE, namespace, "Accepted", "True/Accepted")
    cluster.wait_for(namespace, "own", "Accepted", "True/Accepted", plural="pyroscopewrites")
    known = len(operator.targets()["objects"])
    delete_everything(cluster, namespace)
    eventually(lambda: len(operator.targets()["objects"]) == known - 1, "the watches tell of it", _SECONDS)
    eventually(lambda: not operator.scrapes(), "the pod is no longer scraped", _SECONDS)
    assert not denied(cluster, at)
    said = messages(operator)
    assert not [text for text in said for wrong in _FAILS.values() if text.startswith(wrong.format(namespace=namespace))]


@pytest.mark.parametrize("right", _FAILS, ids=" ".join)
def test_without(right: Right, cluster: Cluster, namespace: str, start: Callable[..., Operator]) -> None:
    at = mark(cluster)
    operator = start(right)
    told = _FAILS[right].format(namespace=namespace)
    if right[1] == "watch":
        operator.wait_ready()
        delete_everything(cluster, namespace)
    eventually(lambda: any(text.startswith(told) for text in messages(operator)), f"{told!r} is logged", _SECONDS)
    eventually(lambda: denied(cluster, at) == {right}, f"{right} was denied, and nothing else", _SECONDS)
