"""The chart and the image on a real node, from install to uninstall: the tests are one story, each goes on where the last has ended."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness.build import ROOT
from e2e.harness.controlplane import ControlPlane
from e2e.harness.wait import eventually
from e2e.node import workload
from e2e.node.images import TAG
from e2e.node.kubectl import Kubectl
from e2e.node.workload import APP_PORT, PYROSCOPE, PYROSCOPE_PORT, SHOP

_RELEASE = "pyroscope-operator"
_CHART = ROOT / "helm/pyroscope-operator"
_DEPLOYMENT = f"deploy/{_RELEASE}"
_OPERATORS_PODS = ("-n", PYROSCOPE, "-l", "app.kubernetes.io/name=pyroscope-operator,app.kubernetes.io/component!=test")
_KINDS = ("pyroscopescrapes", "pyroscopewrites")
_INTERVAL = 5
_SCRAPE = {
    "apiVersion": "pyroscope-operator.dev/v1alpha1",
    "kind": "PyroscopeScrape",
    "metadata": {"namespace": SHOP, "name": "checkout"},
    "spec": {"selector": {"matchLabels": {"app": "checkout"}}, "port": "pprof", "interval": f"{_INTERVAL}s"},
}
_ANNOTATIONS = {
    "profiles.grafana.com/scrape": "true",
    "profiles.grafana.com/port": str(APP_PORT),
    "profiles.grafana.com/types": "cpu,memory,goroutine",
}
_COMES_AND_GOES = re.compile(r"^(events|events\.events\.k8s\.io|leases\.coordination\.k8s\.io .*kube-|endpointslices|componentstatuses)")
"""Of a listing: what changes by itself."""

Object = dict[str, Any]


@pytest.fixture(scope="module")
def before(kubectl: Kubectl) -> list[str]:
    """What was there before the operator."""
    crds = kubectl("get", "crd", "-o", "name")
    assert "pyroscope-operator.dev" not in crds, "the CRDs are there already: the tests need a cluster without the operator"
    kubectl.apply(workload.namespace(PYROSCOPE), workload.namespace(SHOP))
    kubectl.apply(*workload.receiver(), workload.app("checkout", {}), workload.app("stock", _ANNOTATIONS))
    for where in ((PYROSCOPE, "pyroscope"), (SHOP, "checkout"), (SHOP, "stock")):
        rollout(kubectl, *where)
    return everything(kubectl)


@pytest.fixture(scope="module")
def installed(kubectl: Kubectl, before: list[str]) -> Iterator[None]:
    kubectl.script(install_section())
    yield
    kubectl.command("helm", "uninstall", _RELEASE, "-n", PYROSCOPE, check=False)
    kubectl("delete", "crd", *(f"{kind}.pyroscope-operator.dev" for kind in _KINDS), "--ignore-not-found", "--timeout=30s")
    kubectl("delete", "namespace", SHOP, PYROSCOPE, "--timeout=90s")


def install_section() -> str:
    """The commands of the README, with the image that was built here."""
    section = (ROOT / "README.md").read_text().partition("\n## Install\n")[2].partition("\n## ")[0]
    commands = section.partition("```sh\n")[2].partition("```")[0]
    assert "helm install" in commands
    image = workload.image("pyroscope-operator").removesuffix(f":{TAG}")
    return commands.replace("registry.example.com/pyroscope-operator", image) + "\n"


def rollout(kubectl: Kubectl, namespace: str, name: str) -> None:
    kubectl("rollout", "status", "-n", namespace, f"deploy/{name}", "--timeout=90s")


def everything(kubectl: Kubectl) -> list[str]:
    """Resource, namespace and name of all objects that can be listed, without those of the apps, which come and go."""
    resources = kubectl("api-resources", "--verbs=list", "-o", "name", "--cached=false").split()
    columns = "custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name"
    found = []
    for resource in resources:
        listed = kubectl("get", resource, "-A", "--no-headers", "-o", columns, check=False)
        lines = (f"{resource} {' '.join(line.split())}" for line in listed.splitlines() if not line.startswith("No resources"))
        found += [line for line in lines if not _COMES_AND_GOES.match(line) and f" {SHOP} " not in line]
    return sorted(found)


def pods(kubectl: Kubectl, app: str) -> dict[str, Object]:
    """The pods of an app that are there to stay, by name."""
    found = kubectl.items("pods", "-n", SHOP, "-l", f"app={app}")
    return {pod["metadata"]["name"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}


def operators_pod(kubectl: Kubectl) -> Object:
    found = kubectl.items("pods", *_OPERATORS_PODS, "--field-selector=status.phase=Running")
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


def restarts(kubectl: Kubectl) -> int:
    return int(operators_pod(kubectl)["status"]["containerStatuses"][0]["restartCount"])
