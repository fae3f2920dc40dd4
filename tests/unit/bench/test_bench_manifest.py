"""What the operator is given to scrape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.mix import DEFAULT, hosts, manifest
from bench.pods import BenchPod
from pyroscope_operator.api.scrape import PyroscopeScrape
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.standalone import read_manifests


@pytest.mark.parametrize("profiles", [DEFAULT, ("mutex",), ("process_cpu", "goroutine")])
def test_manifest(tmp_path: Path, profiles: tuple[str, ...]) -> None:
    addresses = [f"{host}:6060" for host in hosts(250)]
    (tmp_path / "targets.yaml").write_text(manifest(addresses, profiles, 15.0))
    objects = [PyroscopeScrape.model_validate(found) for found in read_manifests([tmp_path / "targets.yaml"]).values()]
    assert sorted(target.address for one in objects for target in one.spec.static_targets) == sorted(addresses)
    for one in objects:
        assert {request.type for request in one.spec.profiles()} == set(profiles)
        assert one.spec.interval_seconds == 15


def test_hosts_differ() -> None:
    assert len(set(hosts(10_000))) == 10_000
    assert not set(hosts(3000)) & set(hosts(3000, 72))


def test_a_pod_is_as_large_as_real_ones_and_can_be_a_target() -> None:
    stored = BenchPod("target", "127.64.0.1", 6060, "up-to-300").stored("11111111-2222-4333-8444-000000000000")
    assert 7_000 < len(json.dumps(stored, separators=(",", ":"))) < 9_000
    pod = Pod.from_manifest(stored)
    assert (pod.phase, pod.ip, pod.ready, pod.uid[-3:]) == ("Running", "127.64.0.1", True, "000")
    assert [(port.name, port.number) for port in pod.containers[0].ports] == [("http", 8080), ("pprof", 6060)]
