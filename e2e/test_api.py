"""The CRDs on a real API server: its descriptions, the examples, and what CEL may cost."""

from __future__ import annotations

import pytest
import yaml

from e2e.harness.build import ROOT
from e2e.harness.cluster import SCRAPES, Cluster
from e2e.harness.wait import eventually


def test_explain_and_examples(cluster: Cluster) -> None:
    """Descriptions reach `kubectl explain`, and the examples of the docs are accepted."""
    explain = ("explain", "pyscrape.spec.profilingConfig.custom")
    eventually(lambda: "Profiles of your own" in cluster.kubectl(*explain, check=False), "the description")
    explain = ("explain", "pywrite.spec.endpoints.url")
    eventually(lambda: "the path of the push API" in cluster.kubectl(*explain, check=False), "that of a write")
    for example in sorted((ROOT / "docs/examples").glob("pyroscope*.yaml")):
        cluster.namespace(yaml.safe_load(example.read_text())["metadata"]["namespace"])
        cluster.kubectl("apply", "--dry-run=server", "-f", str(example))


_KEY = f"{'a' * 100}.{'b' * 100}/{'c' * 63}"
_EXPRESSIONS = [{"key": _KEY, "operator": "In", "values": ["v" * 63] * 50}] * 20
_LARGE = {
    "static targets": {
        "staticTargets": [
            {"address": f"{'h' * 240}{n}:65535", "labels": {f"l{k}": "v" * 1500 for k in range(8)}} for n in range(100)
        ]
    },
    "everything else": {
        "selector": {"matchExpressions": _EXPRESSIONS},
        "namespaceSelector": {"matchNames": [f"n{n}{'x' * 55}" for n in range(100)], "matchExpressions": _EXPRESSIONS},
        "relabelings": [{"sourceLabels": ["s" * 256] * 30, "targetLabel": "t" * 256, "regex": "r" * 2000}] * 50,
        "podTargetLabels": [f"{_KEY[:-3]}{n:03}" for n in range(20)],
        "headers": [{"name": f"{'X' * 120}{n}", "value": "v" * 2048} for n in range(20)],
        "profilingConfig": {"custom": [{"name": f"n{n}{'x' * 58}", "enabled": True, "path": f"/{'p' * 511}"} for n in range(20)]},
    },
}


@pytest.mark.parametrize("name", _LARGE)
def test_large_objects_are_within_the_cost_budget(cluster: Cluster, name: str) -> None:
    """The API server bounds what all CEL rules of an object may cost; about 1 MiB of strings must not reach that."""
    manifest = {
        "apiVersion": "pyroscope-operator.dev/v1alpha1",
        "kind": "PyroscopeScrape",
        "metadata": {"name": "large"},
        "spec": {"selector": {}, **_LARGE[name]},
    }
    answer = cluster.api.post(f"{SCRAPES}/namespaces/default/pyroscopescrapes", params={"dryRun": "All"}, json=manifest)
    assert answer.is_success, answer.text[:1000]


def test_large_writes_are_within_the_cost_budget(cluster: Cluster) -> None:
    headers = [{"name": f"{'X' * 120}{n}", "value": "v" * 2048} for n in range(20)]
    endpoint = {"url": f"http://{'h' * 2000}", "tenantID": "t" * 150, "headers": headers, "noProxy": "p" * 2048}
    endpoints = [{"name": f"n{n}{'x' * 58}", "proxyUrl": f"http://{'h' * 2000}", **endpoint} for n in range(10)]
    manifest = {
        "apiVersion": "pyroscope-operator.dev/v1alpha1",
        "kind": "PyroscopeWrite",
        "metadata": {"name": "large"},
        "spec": {"endpoints": endpoints, "externalLabels": {f"l{n}": "v" * 2048 for n in range(20)}},
    }
    answer = cluster.api.post(f"{SCRAPES}/namespaces/default/pyroscopewrites", params={"dryRun": "All"}, json=manifest)
    assert answer.is_success, answer.text[:1000]
