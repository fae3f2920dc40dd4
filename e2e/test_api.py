"""The CRD on a real API server: it says the same as the models, row by row."""

from __future__ import annotations

import runpy

import pytest
import yaml

from e2e.harness.build import ROOT
from e2e.harness.cluster import SCRAPES, Cluster
from e2e.harness.wait import eventually
from pyroscope_operator.api.load import load_scrape

_TABLE = runpy.run_path(str(ROOT / "tests/unit/cases.py"))
"""The table of the unit tests: the very same rows."""
CASES = _TABLE["CASES"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_server_and_model_agree(cluster: Cluster, case: object) -> None:
    found = cluster.api.post(
        f"{SCRAPES}/namespaces/default/pyroscopescrapes",
        params={"dryRun": "All", "fieldValidation": "Strict"},
        json=case.manifest(),  # type: ignore[attr-defined]
    )
    accepted_by_server = case.error_path is None or case.model_only  # type: ignore[attr-defined]
    assert found.is_success == accepted_by_server, found.text
    if case.error_path is None:  # type: ignore[attr-defined]
        model = load_scrape(case.manifest())  # type: ignore[attr-defined]
        stored = load_scrape(found.json())
        assert stored.spec == model.spec, "defaults filled in by the server differ from the model's"


def test_explain_and_examples(cluster: Cluster) -> None:
    """Descriptions reach `kubectl explain`, and the examples of the docs are accepted."""
    explain = ("explain", "pyscrape.spec.profilingConfig.custom")
    eventually(lambda: "Profiles of your own" in cluster.kubectl(*explain, check=False), "the description")
    for example in sorted((ROOT / "docs/examples").glob("pyroscopescrape-*.yaml")):
        cluster.namespace(yaml.safe_load(example.read_text())["metadata"]["namespace"])
        cluster.kubectl("apply", "--dry-run=server", "-f", str(example))
