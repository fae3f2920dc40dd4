"""Against a real Pyroscope, where E2E_PYROSCOPE_URL names one."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path

import httpx
import pytest

from e2e.conftest import StartApp
from e2e.harness.parts import Operator
from e2e.harness.wait import eventually

_URL = os.environ.get("E2E_PYROSCOPE_URL", "")


@pytest.mark.skipif(not _URL, reason="E2E_PYROSCOPE_URL is not set")
def test_profiles_can_be_queried(start_app: StartApp, tmp_path: Path) -> None:
    service = f"e2e-{uuid.uuid4().hex[:8]}"
    app = start_app("app")
    manifest = {
        "apiVersion": "pyroscope-operator.dev/v1alpha1",
        "kind": "PyroscopeScrape",
        "metadata": {"name": "real"},
        "spec": {"interval": "3s", "staticTargets": [{"address": app.address, "labels": {"service_name": service}}]},
    }
    (tmp_path / "scrape.yaml").write_text(json.dumps(manifest))
    operator = Operator(tmp_path, "--standalone", str(tmp_path / "scrape.yaml"), "--pyroscope-url", _URL)
    try:
        for profile_type in ("process_cpu:cpu:nanoseconds:cpu:nanoseconds", "memory:alloc_space:bytes:space:bytes"):
            eventually(lambda kind=profile_type: _total(service, kind) > 0, f"{profile_type} can be queried", 120, 2)
    finally:
        assert operator.stop(30) == 0


def _total(service: str, profile_type: str) -> int:
    now = int(time.time() * 1000)
    query = {"profileTypeID": profile_type, "labelSelector": f'{{service_name="{service}"}}', "start": now - 600_000, "end": now}
    url = f"{_URL}/querier.v1.QuerierService/SelectMergeStacktraces"
    answer = httpx.post(url, json=query, trust_env=False, timeout=30)
    return int(answer.json().get("flamegraph", {}).get("total", 0)) if answer.is_success else 0
