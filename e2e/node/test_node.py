"""The chart and the image on a real node, from install to uninstall: each test goes on where the one before has ended."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.harness.build import ROOT
from e2e.harness.controlplane import ControlPlane
from e2e.harness.wait import eventually
from e2e.node import workload
from e2e.node.kubectl import Kubectl
from e2e.node.workload import APP_PORT, PYROSCOPE, PYROSCOPE_PORT, SHOP

_RELEASE = "pyroscope-operator"
_CHART = ROOT / "helm/pyroscope-operator"
_DEPLOYMENT = f"deploy/{_RELEASE}"
_OPERATOR = ("-n", PYROSCOPE, "-l", f"app.kubernetes.io/name={_RELEASE}")
_KINDS = ("pyroscopescrapes", "pyroscopewrites")
_GROUP = "pyroscope-operator.dev"
_CRDS = tuple(f"{kind}.{_GROUP}" for kind in _KINDS)
_INTERVAL = 15
"""Seconds, the default."""
_TYPES = {"process_cpu", "memory", "block", "mutex", "goroutine"}
_ANNOTATIONS = {
    "profiles.grafana.com/scrape": "true",
    "profiles.grafana.com/port": str(APP_PORT),
    "profiles.grafana.com/types": "memory,goroutine",
}
_TRANSIENT = re.compile(r"(events(\.events\.k8s\.io)?|componentstatuses|leases\.coordination\.k8s\.io kube-\S+) ")
"""Of a listing: what comes and goes by itself."""

Object = dict[str, Any]


@pytest.fixture(scope="module")
def before(kubectl: Kubectl) -> list[str]:
    """What was there before the operator, its namespace, a receiver and the apps included."""
    crds = kubectl("get", "crd", "-o", "name")
    assert "pyroscope-operator.dev" not in crds, "the CRDs are there already: the tests need a cluster without the operator"
    kubectl.apply(workload.namespace(PYROSCOPE), workload.namespace(SHOP))
    kubectl.apply(*workload.receiver(), workload.app("checkout", {}), workload.app("stock", _ANNOTATIONS))
    for where in ((PYROSCOPE, "pyroscope"), (SHOP, "checkout"), (SHOP, "stock")):
        kubectl.rollout(*where)
    return everything(kubectl)


@pytest.fixture(scope="module", autouse=True)
def installed(kubectl: Kubectl, before: list[str]) -> Iterator[None]:
    """The first block of the README's install section has been run."""
    kubectl.script(install_section()[0])
    yield
    kubectl.command("helm", "uninstall", _RELEASE, "-n", PYROSCOPE, check=False)
    kubectl("delete", "crd", *_CRDS, "--ignore-not-found", "--timeout=30s")
    kubectl("delete", "namespace", SHOP, PYROSCOPE, "--timeout=90s")


def install_section() -> list[str]:
    """The scripts of the README, with the image that was built here."""
    section = (ROOT / "README.md").read_text().partition("\n## Install\n")[2].partition("\n## ")[0]
    scripts = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
    assert "helm install" in scripts[0]
    return [script.replace("registry.example.com/pyroscope-operator", workload.repository(_RELEASE)) for script in scripts]


def everything(kubectl: Kubectl) -> list[str]:
    """Resource, namespace and name of all objects that can be listed, without those of the apps, which come and go."""
    resources = kubectl("api-resources", "--verbs=list", "-o", "name", "--cached=false").split()
    columns = "custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name"
    found = []
    for resource in resources:
        listed = kubectl("get", resource, "-A", "--no-headers", "-o", columns, check=False)
        lines = (f"{resource} {' '.join(line.split())}" for line in listed.splitlines() if not line.startswith("No resources"))
        found += [line for line in lines if not _TRANSIENT.match(line) and not _belongs_to_apps(line)]
    return sorted(found)


def _belongs_to_apps(line: str) -> bool:
    return f" {SHOP} " in line and not line.startswith(_CRDS)


def pods(kubectl: Kubectl, app: str) -> dict[str, Object]:
    """The pods of an app that are there to stay, by name."""
    found = kubectl.items("pods", "-n", SHOP, "-l", f"app={app}")
    return {pod["metadata"]["name"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}


def operators_pod(kubectl: Kubectl) -> Object:
    found = kubectl.items("pods", *_OPERATOR, "--field-selector=status.phase=Running")
    living = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
    assert len(living) == 1, [pod["metadata"]["name"] for pod in found]
    return living[0]


def profiles(kubectl: Kubectl, query: str) -> list[Object]:
    """What has arrived at the receiver, oldest first."""
    found: list[Object] = kubectl.service(PYROSCOPE, PYROSCOPE, PYROSCOPE_PORT, f"/api/profiles?{query}")
    return found


def last_seq(kubectl: Kubectl) -> int:
    return max((one["seq"] for one in profiles(kubectl, "")), default=0)


def arrived(kubectl: Kubectl, pod: str, since: int = 0) -> set[str]:
    """Names of the profiles of a pod that have arrived."""
    return {one["labels"]["__name__"] for one in profiles(kubectl, f"pod={pod}&since={since}")}


def ready_since(pod: Object) -> float:
    at = next(one["lastTransitionTime"] for one in pod["status"]["conditions"] if one["type"] == "Ready")
    return datetime.fromisoformat(at).timestamp()


def first_request(kubectl: Kubectl, pod: str) -> float:
    """When a pod was asked for a profile first."""
    asked: list[Object] = kubectl.pod(SHOP, pod, APP_PORT, "/-/requests")
    assert asked, f"nobody has asked {pod} for a profile"
    return min(float(one["unixNano"]) for one in asked) / 1e9


def in_operators_pod(kubectl: Kubectl, code: str) -> str:
    """What a few lines of Python print there; the image has no other use for a shell."""
    return kubectl("exec", "-n", PYROSCOPE, _DEPLOYMENT, "--", "python3", "-c", code).strip()


def finalizers(kubectl: Kubectl) -> dict[str, list[str]]:
    """Of all objects in the two namespaces that have any."""
    found = {}
    for resource in kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split():
        for namespace in (PYROSCOPE, SHOP):
            for item in kubectl.items(resource, "-n", namespace):
                if item["metadata"].get("finalizers"):
                    found[f"{resource} {namespace}/{item['metadata']['name']}"] = item["metadata"]["finalizers"]
    return found


def healthy(kubectl: Kubectl, name: str, count: int = 3) -> None:
    """So many targets are up, and no failure is told."""
    status = kubectl.json("get", "pyscrape", name, "-n", SHOP)["status"]
    ready = next(one for one in status["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "AllUp"), status
    assert status["summary"] == f"{count}/{count}" and not status.get("failures"), status


# A first installation


def test_operator_is_ready(kubectl: Kubectl) -> None:
    """The README's first script has waited for it and run helm's test; this is how it runs."""
    pod = operators_pod(kubectl)
    (status,) = pod["status"]["containerStatuses"]
    assert status["ready"] and status["restartCount"] == 0
    assert kubectl.helm("status", _RELEASE, "-n", PYROSCOPE, "-o", "json")
    (container,) = pod["spec"]["containers"]
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert container["resources"]["limits"]["memory"] and container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_pod_is_confined(kubectl: Kubectl) -> None:
    """The namespace takes nothing that pod security forbids; this is what the process itself sees."""
    seen = json.loads(
        in_operators_pod(
            kubectl,
            """
import json, os
def writable(folder):
    try:
        open(folder + "/probe", "w").close()
    except OSError as error:
        return os.strerror(error.errno)
status = dict(line.split(":", 1) for line in open("/proc/1/status"))
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "capabilities": int(status["CapEff"], 16),
    "no_new_privileges": int(status["NoNewPrivs"]), "seccomp": int(status["Seccomp"]),
    "folders": {folder: writable(folder) for folder in ("/", "/tmp", "/opt/pyroscope-operator/lib", "/root")},
    "command": open("/proc/1/cmdline").read().split(chr(0)),
}))
""",
        )
    )
    assert (seen["uid"], seen["gid"]) == (65532, 65532)
    assert seen["capabilities"] == 0 and seen["no_new_privileges"] == 1
    assert seen["seccomp"] == 2
    assert all(seen["folders"].values()), seen["folders"]
    assert seen["command"][1:3] == ["/opt/pyroscope-operator/bin/pyroscope-operator", "run"], "no shell in between"


def test_first_object(kubectl: Kubectl) -> None:
    """The README's second script: three pods scraped by their addresses, everything arrives behind a Service."""
    shown = kubectl.script(install_section()[1])
    assert re.search(r"^checkout +True +3/3 +", shown, flags=re.MULTILINE), shown
    mine = pods(kubectl, "checkout")
    assert len(mine) == 3
    for name in mine:
        eventually(lambda name=name: arrived(kubectl, name) >= _TYPES, f"all profiles of {name}", 3 * _INTERVAL, 0.5)  # type: ignore[misc]
    for one in profiles(kubectl, "namespace=shop"):
        labels = one["labels"]
        assert labels["instance"] == f"{mine[labels['pod']]['status']['podIP']}:{APP_PORT}"
        assert labels["service_name"] == "shop/app"
    healthy(kubectl, "checkout")


def test_explain(kubectl: Kubectl) -> None:
    """The command of the README's section on pods that are not scraped."""
    (pod, *_) = pods(kubectl, "checkout")
    said = kubectl("exec", "-n", PYROSCOPE, _DEPLOYMENT, "--", "pyroscope-operator", "explain", f"pod/{pod}", "-n", SHOP)
    assert "process_cpu" in said and f'pod="{pod}"' in said


def test_secrets_and_writes(kubectl: Kubectl) -> None:
    """An object with credentials, a CA and a Pyroscope of its own; and one that is refused and told so by an Event."""
    meta = {"namespace": SHOP, "name": "own"}
    kind = {"apiVersion": "pyroscope-operator.dev/v1alpha1"}
    certificate = kubectl.json("get", "configmap", "kube-root-ca.crt", "-n", SHOP)["data"]["ca.crt"]
    url = f"http://{PYROSCOPE}.{PYROSCOPE}.svc:{PYROSCOPE_PORT}"
    goroutines = {name: {"enabled": False} for name in ("processCPU", "memory", "block", "mutex")}
    selection = {"selector": {"matchLabels": {"app": "stock"}}, "port": "pprof", "interval": "2s", "profilingConfig": goroutines}
    refused = {"namespaceSelector": {"any": True}, "selector": {}}
    access = {
        "bearerTokenSecret": {"name": "own", "key": "token"},
        "tlsConfig": {"ca": {"configMap": {"name": "own", "key": "ca.crt"}}},
        "forwardTo": [{"name": "own"}],
    }
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"token": "s3cr3t"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"ca.crt": certificate}},
        {**kind, "kind": "PyroscopeWrite", "metadata": meta, "spec": {"endpoints": [{"name": "only", "url": url}]}},
        {**kind, "kind": "PyroscopeScrape", "metadata": meta, "spec": {**selection, **access}},
        {**kind, "kind": "PyroscopeScrape", "metadata": {**meta, "name": "refused"}, "spec": refused},
    )
    kubectl("wait", "-n", SHOP, "--for=condition=Ready", "pyscrape/own", "--timeout=60s")
    eventually(
        lambda: kubectl.condition("pywrite", SHOP, "own", "Ready").startswith("True/"), "the PyroscopeWrite is Ready", 60, 0.5
    )
    eventually(
        lambda: kubectl.condition("pyscrape", SHOP, "refused", "Accepted") == "False/NamespaceNotAllowed",
        "it is told so",
        60,
        0.5,
    )
    about_it = ("events", "-n", SHOP, "--field-selector=involvedObject.name=refused")
    eventually(lambda: kubectl.items(*about_it), "an Event", 30, 0.5)
    kubectl("delete", "pyscrape", "refused", "-n", SHOP)
    eventually(lambda: profiles(kubectl, "job=shop/own"), "profiles by the PyroscopeWrite", 60, 0.5)


# Changes


def test_rolling_update(kubectl: Kubectl) -> None:
    """New pods are scraped within an interval or so, and nothing of the old ones is left in the status."""
    old = pods(kubectl, "checkout")
    kubectl("rollout", "restart", "-n", SHOP, "deploy/checkout")
    kubectl.rollout(SHOP, "checkout")
    eventually(lambda: not old.keys() & pods(kubectl, "checkout").keys(), "the old pods are gone", 60, 0.5)
    new = pods(kubectl, "checkout")
    assert len(new) == 3
    for name, pod in new.items():
        asked = eventually(lambda name=name: first_request(kubectl, name), f"{name} is scraped", 2 * _INTERVAL, 0.5)  # type: ignore[misc]
        assert asked - ready_since(pod) < _INTERVAL + 5
        eventually(lambda name=name: arrived(kubectl, name) >= _TYPES, f"all profiles of {name}", 3 * _INTERVAL, 0.5)  # type: ignore[misc]

    def untroubled() -> bool:
        healthy(kubectl, "checkout")
        return True

    eventually(untroubled, "the status tells of the new pods only", 60, 0.5)


def test_operators_pod_is_deleted(kubectl: Kubectl) -> None:
    """Back and pushing within 30 seconds; nothing holds a finalizer that the operator would have to take off."""
    old, mark = operators_pod(kubectl)["metadata"]["name"], last_seq(kubectl)
    started = time.monotonic()
    kubectl("delete", "pod", old, "-n", PYROSCOPE, "--timeout=60s")
    kubectl.rollout(PYROSCOPE, _RELEASE)
    assert operators_pod(kubectl)["metadata"]["name"] != old
    while_it_ended = last_seq(kubectl)
    eventually(lambda: last_seq(kubectl) > while_it_ended >= mark, "the new one pushes", 30, 0.5)
    took = time.monotonic() - started
    print(f"[node] the operator was back and had pushed {took:.1f} s after its pod was deleted")
    assert took < 30
    assert not finalizers(kubectl)


def test_lease_is_deleted(kubectl: Kubectl) -> None:
    """Whoever deletes it by hand stops nothing: it is there again soon."""
    lease = ("lease", _RELEASE, "-n", PYROSCOPE)
    kubectl("delete", *lease)
    eventually(lambda: "holderIdentity" in kubectl("get", *lease, "-o", "yaml", check=False), "the Lease is held again", 60, 0.5)


def test_upgrade(kubectl: Kubectl, tmp_path: Path) -> None:
    """To a chart with another CRD: that changes, the objects stay the same; and pods with annotations are scraped from now on."""
    chart = shutil.copytree(_CHART, tmp_path / "chart", symlinks=False)
    (crd,) = chart.glob("files/crds/*pyroscopescrapes.yaml")
    definition = yaml.safe_load(crd.read_text())
    column = {"jsonPath": ".spec.port", "name": "Port", "type": "string"}
    definition["spec"]["versions"][0]["additionalPrinterColumns"].append(column)
    crd.write_text(yaml.safe_dump(definition, sort_keys=False))
    uids = {item["metadata"]["name"]: item["metadata"]["uid"] for item in kubectl.items("pyscrape", "-n", SHOP)}
    kubectl.helm(
        "upgrade", _RELEASE, str(chart), "-n", PYROSCOPE, "--reuse-values", "--wait", "--timeout=90s",
        "--set", "annotationDiscovery.enabled=true", "--set", "annotationDiscovery.spec.interval=5s",
    )  # fmt: skip
    assert "PORT" in kubectl("get", "pyscrape", "-n", SHOP).splitlines()[0]
    assert {item["metadata"]["name"]: item["metadata"]["uid"] for item in kubectl.items("pyscrape", "-n", SHOP)} == uids
    for name in pods(kubectl, "stock"):
        eventually(lambda name=name: arrived(kubectl, name) == {"memory", "goroutine"}, f"profiles of {name}", 60, 0.5)  # type: ignore[misc]
    mark = last_seq(kubectl)
    eventually(lambda: profiles(kubectl, f"job=shop/checkout&since={mark}"), "the first object is scraped on", 60, 0.5)
    kubectl.helm("test", _RELEASE, "-n", PYROSCOPE)


# How it was, and the end


def test_least_rights(kubectl: Kubectl, plane: ControlPlane | None) -> None:
    """So far nothing was denied, and each right of the chart was used; e2e/test_rights.py tells what fails without it."""
    if plane is None:
        pytest.skip("only our own API server has an audit log that can be read")
    events = plane.audit(f"system:serviceaccount:{PYROSCOPE}:{_RELEASE}")
    denied = [event for event in events if event["responseStatus"]["code"] in {401, 403}]
    assert not denied, denied[0]
    used = {(about.get("apiGroup", ""), _resource(about), event["verb"]) for event in events if (about := event.get("objectRef"))}
    assert used == granted(kubectl)


def _resource(about: Object) -> str:
    return "/".join(about[part] for part in ("resource", "subresource") if part in about)


def granted(kubectl: Kubectl) -> set[tuple[str, str, str]]:
    """Group, resource and verb of all rules of the release."""
    mine = kubectl.items("clusterroles,roles", "-A", "-l", f"app.kubernetes.io/instance={_RELEASE}")
    rules = [rule for role in mine for rule in role["rules"]]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_no_trouble_so_far(kubectl: Kubectl) -> None:
    pod = operators_pod(kubectl)
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    log = [json.loads(line) for line in kubectl("logs", "-n", PYROSCOPE, pod["metadata"]["name"]).splitlines()]
    assert not [line for line in log if line["level"] in {"ERROR", "CRITICAL"}]
    memory = int(in_operators_pod(kubectl, 'print(open("/proc/1/status").read().partition("VmHWM:")[2].split()[0])')) / 1024
    print(f"[node] at most {memory:.0f} MiB were resident")
    assert memory < 200
    rejected: Object = kubectl.service(PYROSCOPE, PYROSCOPE, PYROSCOPE_PORT, "/api/stats")
    assert rejected["rejected"] == 0 and rejected["profiles"] > 100


def test_uninstall(kubectl: Kubectl, before: list[str]) -> None:
    """CRDs and objects stay, and nothing else."""
    objects = {
        f"{kind}.{_GROUP} {SHOP} {name}" for kind, name in (("pyroscopescrapes", "checkout"), *((kind, "own") for kind in _KINDS))
    }
    assert objects <= set(everything(kubectl))
    kubectl.helm("uninstall", _RELEASE, "-n", PYROSCOPE, "--wait", "--timeout=90s")
    stays = objects | {f"customresourcedefinitions.apiextensions.k8s.io <none> {crd}" for crd in _CRDS}
    stays.add(f"apiservices.apiregistration.k8s.io <none> v1alpha1.{_GROUP}")  # the API server's own, by the CRDs

    def only_that() -> bool:
        left = set(everything(kubectl)) ^ set(before)
        assert left == stays, sorted(left ^ stays)
        return True

    eventually(only_that, "nothing else is left", 60, 1)
    assert not finalizers(kubectl)
