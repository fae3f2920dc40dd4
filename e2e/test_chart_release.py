"""Releases of the chart on a real API server, by the real Helm: what comes, changes and stays, and what its rights are good for.

There is no kubelet: the operator runs beside the cluster, as the Deployment would run it. The tests on a node do the rest.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.conftest import StartApp
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.controlplane import ControlPlane
from e2e.harness.helm import CHART, NAMESPACE, RELEASE, Helm
from e2e.harness.parts import Operator, Receiver
from e2e.harness.rights import ServiceAccount
from e2e.harness.wait import eventually

_DISCOVERY = f"{RELEASE}-annotations"
_ON, _OFF = "annotationDiscovery.enabled=true", "annotationDiscovery.enabled=false"
_ANNOTATED = {
    "profiles.grafana.com/scrape": "true",
    "profiles.grafana.com/port": "6060",
    "profiles.grafana.com/types": "goroutine",
}
_FAST = {"annotationDiscovery": {"enabled": True, "spec": {"interval": "2s"}}, "settings": {"status-interval": "1s"}}


@pytest.fixture(scope="module")
def cluster(binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One that does not know our kinds."""
    plane = ControlPlane(tmp_path_factory.mktemp("controlplane"), audited=True)
    try:
        cluster = Cluster(plane, plane.port)
        cluster.namespace(NAMESPACE)
        cluster.namespace("shop")
        yield cluster
        cluster.close()
    finally:
        plane.stop()


@pytest.fixture
def helm(cluster: Cluster, tmp_path: Path) -> Iterator[Helm]:
    """At the end the cluster is as it was."""
    helm = Helm(tmp_path, cluster.plane.kubeconfig)
    yield helm
    if RELEASE in helm.run("list", "-n", NAMESPACE, "-q", "-a"):
        helm.run("uninstall", RELEASE, "-n", NAMESPACE)
    cluster.kubectl("delete", "crd", "--all", "--timeout=30s")
    cluster.kubectl("delete", "pods", "--all", "-A", "--grace-period=0", "--force")


def install(helm: Helm, *flags: str, chart: Path = CHART, verb: str = "install") -> None:
    helm.run(verb, RELEASE, str(chart), "-n", NAMESPACE, *flags)


def install_awaiting(helm: Helm, cluster: Cluster, *flags: str) -> None:
    """Like `install`, with the pod that waits for the CRDs, which ends when somebody says so."""
    awaiting(helm, cluster, "install", RELEASE, str(CHART), "-n", NAMESPACE, *flags)


def awaiting(helm: Helm, cluster: Cluster, *arguments: str) -> None:
    process = helm.start(*arguments)
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{RELEASE}-wait"
    eventually(lambda: cluster.api.get(path).is_success, "the pod that waits")
    pod = cluster.api.get(path).json()
    served = "/apis/pyroscope-operator.dev/v1alpha1"
    eventually(lambda: cluster.api.get(served).is_success and _waits(cluster, pod), "the pod's program ends")
    assert process.poll() is None
    ended = {"status": {"phase": "Succeeded"}}
    merge = {"Content-Type": "application/merge-patch+json"}
    cluster.api.patch(f"{path}/status", json=ended, headers=merge).raise_for_status()
    code, out, err = helm.ended(process)
    assert code == 0, out + err


def _waits(cluster: Cluster, pod: dict[str, Any]) -> bool:
    """Run the program of the pod that waits, as far as it goes without a kubelet."""
    command = pod["spec"]["containers"][0]["command"]
    assert command[:3] == ["python3", "-I", "-c"]
    folder = cluster.plane.folder / "serviceaccount"
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(ServiceAccount(cluster, NAMESPACE, pod["spec"]["serviceAccountName"]).token())
    shutil.copy(cluster.plane.folder / "certs/apiserver.crt", folder / "ca.crt")
    program = command[3].replace("/var/run/secrets/kubernetes.io/serviceaccount", str(folder))
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(cluster.plane.port)}
    done = subprocess.run([sys.executable, "-I", "-c", program], env=environment, timeout=30, capture_output=True, check=False)
    return done.returncode == 0


def everything(cluster: Cluster) -> set[str]:
    """All objects of all kinds but Events, as kind/namespace/name."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name", "--cached=false").split()
    listed = cluster.kubectl("get", ",".join(sorted(set(kinds) - {"events", "events.events.k8s.io"})), "-A", "-o", "json")
    found = json.loads(listed)["items"]
    return {f"{one['kind']}/{one['metadata'].get('namespace', '')}/{one['metadata']['name']}" for one in found}


def discovery(cluster: Cluster) -> dict[str, Any] | None:
    found = cluster.kubectl("get", "pyscrape", "-n", NAMESPACE, _DISCOVERY, "-o", "json", "--ignore-not-found")
    return json.loads(found) if found else None


def uid(cluster: Cluster) -> str:
    found = discovery(cluster)
    assert found
    return str(found["metadata"]["uid"])


def older(folder: Path) -> Path:
    """A chart of an earlier version, whose PyroscopeScrape had no `suspend` yet."""
    chart = folder / "older"
    shutil.copytree(CHART, chart)
    file = chart / "files/crds/pyroscope-operator.dev_pyroscopescrapes.yaml"
    crd = yaml.safe_load(file.read_text())
    del _schema(crd)["suspend"]
    file.write_text(yaml.safe_dump(crd, sort_keys=False))
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "0.0.1"}))
    return chart


def _schema(crd: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return found


def test_a_life(helm: Helm, cluster: Cluster, tmp_path: Path) -> None:
    """Install, upgrade with newer CRDs, uninstall: CRDs and objects stay, and no other trace; install again."""
    before = everything(cluster)
    install(helm, chart=older(tmp_path))
    crd = "pyroscopescrapes.pyroscope-operator.dev"
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{crd}", "--timeout=30s")
    eventually(lambda: "pyscrape" in cluster.kubectl("api-resources", "--cached=false"), "the kind is known")
    assert "suspend" not in _schema(json.loads(cluster.kubectl("get", "crd", crd, "-o", "json")))
    cluster.scrape("shop", "mine", {"selector": {}})
    mine = cluster.get("shop", "mine")["metadata"]["uid"]

    install(helm, verb="upgrade")
    assert "suspend" in _schema(json.loads(cluster.kubectl("get", "crd", crd, "-o", "json")))
    assert cluster.get("shop", "mine")["metadata"]["uid"] == mine

    helm.run("uninstall", RELEASE, "-n", NAMESPACE)
    left = everything(cluster) - before
    assert left == {
        "CustomResourceDefinition//pyroscopescrapes.pyroscope-operator.dev",
        "CustomResourceDefinition//pyroscopewrites.pyroscope-operator.dev",
        "APIService//v1alpha1.pyroscope-operator.dev",  # what the API server makes of them
        "PyroscopeScrape/shop/mine",
    }
    assert cluster.get("shop", "mine")["metadata"]["uid"] == mine

    install(helm)
    assert cluster.get("shop", "mine")["metadata"]["uid"] == mine


def test_without_keep_nothing_stays(helm: Helm, cluster: Cluster) -> None:
    before = everything(cluster)
    install_awaiting(helm, cluster, "--set", f"crds.keep=false,{_ON}")
    helm.run("uninstall", RELEASE, "-n", NAMESPACE)
    eventually(lambda: "pyroscopescrapes" not in cluster.kubectl("get", "crd", "-o", "name"), "the CRDs are gone")
    eventually(lambda: everything(cluster) == before, "everything is as it was")


def test_another_release_leaves_the_crds_alone(helm: Helm, cluster: Cluster) -> None:
    install(helm)
    said = helm.refuses("install", "other", str(CHART), "-n", NAMESPACE)
    assert "CustomResourceDefinition" in said and "release-name" in said
    helm.run("install", "other", str(CHART), "-n", "shop", "--set", "crds.install=false")
    helm.run("uninstall", "other", "-n", "shop")
    helm.run("uninstall", RELEASE, "-n", NAMESPACE)
    helm.run("install", "other", str(CHART), "-n", NAMESPACE, "--take-ownership")
    helm.run("uninstall", "other", "-n", NAMESPACE)


# The object of annotation discovery, whose kind Helm may not know yet


@pytest.fixture
def discovering(helm: Helm, cluster: Cluster) -> str:
    """A first release with annotation discovery; the object's UID."""
    install_awaiting(helm, cluster, "--set", _ON)
    assert not cluster.kubectl("get", "pods", "-n", NAMESPACE, "-o", "name")
    return uid(cluster)


def test_discovery_from_the_first_install_on(helm: Helm, cluster: Cluster, discovering: str) -> None:
    """Made anew by the first upgrade, with what has changed; never again."""
    install(helm, "--set", f"{_ON},annotationDiscovery.spec.interval=30s", verb="upgrade")
    again = uid(cluster)
    assert again != discovering
    for interval in ("30s", "20s"):
        install(helm, "--set", f"{_ON},annotationDiscovery.spec.interval={interval}", verb="upgrade")
        assert uid(cluster) == again
        assert (discovery(cluster) or {})["spec"]["interval"] == interval
    install(helm, "--set", _OFF, verb="upgrade")
    assert discovery(cluster) is None
    install(helm, "--set", _ON, verb="upgrade")
    assert uid(cluster)


def test_discovery_ends_with_the_next_upgrade(helm: Helm, cluster: Cluster, discovering: str) -> None:
    install(helm, "--set", _OFF, verb="upgrade")
    assert discovery(cluster) is None
    install(helm, "--set", _OFF, verb="upgrade")
    assert discovery(cluster) is None


def test_discovery_survives_a_rollback(helm: Helm, cluster: Cluster, discovering: str) -> None:
    install(helm, "--set", f"{_ON},annotationDiscovery.spec.interval=30s", verb="upgrade")
    awaiting(helm, cluster, "rollback", RELEASE, "1", "-n", NAMESPACE)
    assert (discovery(cluster) or {})["spec"]["interval"] == "15s"
    helm.run("rollback", RELEASE, "2", "-n", NAMESPACE)
    install(helm, "--set", f"{_ON},annotationDiscovery.spec.interval=20s", verb="upgrade")
    awaiting(helm, cluster, "rollback", RELEASE, "1", "-n", NAMESPACE)
    helm.run("rollback", RELEASE, "5", "-n", NAMESPACE)
    assert (discovery(cluster) or {})["spec"]["interval"] == "20s"


@pytest.mark.parametrize("upgraded", [False, True])
def test_discovery_ends_with_the_release(helm: Helm, cluster: Cluster, discovering: str, upgraded: bool) -> None:
    if upgraded:
        install(helm, "--set", _ON, verb="upgrade")
    helm.run("uninstall", RELEASE, "-n", NAMESPACE)
    assert discovery(cluster) is None


def test_discovery_of_a_later_upgrade(helm: Helm, cluster: Cluster) -> None:
    """Where the kind is known nothing is waited for."""
    install(helm)
    eventually(lambda: "pyscrape" in cluster.kubectl("api-resources", "--cached=false"), "the kind is known")
    install(helm, "--set", _ON, verb="upgrade")
    assert uid(cluster)


def test_objects_of_others_are_left_alone(helm: Helm, cluster: Cluster) -> None:
    install(helm)
    eventually(lambda: "pyscrape" in cluster.kubectl("api-resources", "--cached=false"), "the kind is known")
    cluster.scrape(NAMESPACE, _DISCOVERY, {"selector": {}})
    mine = uid(cluster)
    install(helm, verb="upgrade")
    assert uid(cluster) == mine
    assert "invalid ownership" in helm.refuses("upgrade", RELEASE, str(CHART), "-n", NAMESPACE, "--set", _ON)
    assert uid(cluster) == mine


# What the rights of a release are good for


def run_released(cluster: Cluster, folder: Path, *flags: str) -> tuple[Operator, ServiceAccount]:
    """The operator as the Deployment of the release would run it, with its service account; on another port."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}"
    pod = cluster.api.get(path).raise_for_status().json()["spec"]["template"]["spec"]
    arguments = [argument for argument in pod["containers"][0]["args"][1:] if not argument.startswith("--listen=")]
    account = ServiceAccount(cluster, NAMESPACE, pod["serviceAccountName"])
    name = f"released-{time.monotonic_ns()}"
    environment = {"POD_NAME": name, "POD_NAMESPACE": NAMESPACE}
    kubeconfig = account.kubeconfig(folder / f"{name}-token")
    return Operator(folder, *arguments, *flags, name=name, kubeconfig=kubeconfig, environment=environment), account


@pytest.mark.parametrize("scope", ["cluster", "namespaces"])
def test_the_rights_of_the_release_are_enough(
    helm: Helm, cluster: Cluster, receiver: Receiver, folder: Path, start_app: StartApp, tmp_path: Path, scope: str
) -> None:
    """Annotated pods and objects are scraped, status is written, Secrets are read; the API server denies nothing."""
    before = everything(cluster)
    values = {**_FAST, "defaultWrite": {"url": receiver.url, "externalLabels": {"scope": scope}}}
    if scope == "namespaces":
        values["watch"] = {"namespaces": ["shop", NAMESPACE]}
    (tmp_path / "values.yaml").write_text(json.dumps(values))
    install_awaiting(helm, cluster, "-f", str(tmp_path / "values.yaml"))
    app = start_app("annotated")
    cluster.run_pod("shop", PodSpec("annotated", app.ip, {"app": "annotated"}, annotations=_ANNOTATED))
    other = start_app("chosen")
    cluster.run_pod("shop", PodSpec("chosen", other.ip, {"app": "chosen"}))
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "token", "namespace": "shop"},
        "stringData": {"token": "t"},
    }
    cluster.apply(secret)
    chosen = {
        "selector": {"matchLabels": {"app": "chosen"}},
        "interval": "2s",
        "bearerTokenSecret": {"name": "token", "key": "token"},
    }
    cluster.scrape("shop", "chosen", chosen)
    operator, account = run_released(cluster, folder)
    try:
        operator.wait_ready()
        cluster.wait_for(NAMESPACE, _DISCOVERY, "Ready", "True/AllUp")
        cluster.wait_for("shop", "chosen", "Ready", "True/AllUp")
        eventually(lambda: receiver.profiles(pod="annotated", scope=scope), "profiles of the annotated pod")
        cluster.kubectl("delete", "secret", "-n", "shop", "token")
        cluster.scrape("shop", "broken", {**chosen, "bearerTokenSecret": {"name": "missing", "key": "token"}})
        cluster.wait_for("shop", "broken", "Accepted", "False/SecretNotFound")
        eventually(lambda: cluster.events("shop", "broken"), "an Event")
        _probe(helm, operator)
        install(helm, "-f", str(tmp_path / "values.yaml"), "--set", "commonLabels.upgraded=yes", verb="upgrade")
        lease = json.loads(cluster.kubectl("get", "lease", "-n", NAMESPACE, RELEASE, "-o", "json"))
        assert lease["metadata"]["labels"]["upgraded"] == "yes"
        assert lease["spec"]["holderIdentity"] == operator.name
        cluster.wait_for(NAMESPACE, _DISCOVERY, "Ready", "True/AllUp")
    finally:
        operator.end()
    asked = cluster.plane.audit(account.user)
    assert {event["objectRef"]["resource"] for event in asked if "objectRef" in event} >= {"pods", "leases", "secrets", "events"}
    denied = [event for event in asked if event["responseStatus"]["code"] in {401, 403}]
    assert not denied, denied[0]

    helm.run("uninstall", RELEASE, "-n", NAMESPACE)
    left = {one.split("/")[0] for one in everything(cluster) - before}
    assert left == {"CustomResourceDefinition", "APIService", "PyroscopeScrape", "Pod"}


def _probe(helm: Helm, operator: Operator) -> None:
    """Run the program of the pod of `helm test`, where the Service would be."""
    test = next(one for one in helm.template() if one["metadata"]["name"] == f"{RELEASE}-test")
    *command, name, port, seconds = test["spec"]["containers"][0]["command"]
    assert (command[:3], name, port, seconds) == (["python3", "-I", "-c"], RELEASE, "8080", "60")
    host = operator.url.removeprefix("http://").partition(":")[0]
    for where, code in ((str(operator.port), 0), ("1", 1)):
        environment = {"PYROSCOPE_OPERATOR_SERVICE_HOST": host}
        done = subprocess.run(
            [sys.executable, "-I", "-c", command[3], name, where, "2"],
            env=environment,
            timeout=30,
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
