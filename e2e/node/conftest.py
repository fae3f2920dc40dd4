"""One cluster with one node for all tests here, or the one that E2E_KUBECONFIG names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.harness.cluster import open_cluster
from e2e.harness.controlplane import ControlPlane
from e2e.node.images import images
from e2e.node.kubectl import Kubectl
from e2e.node.node import ADDRESS, open_node


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane | None]:
    """The control plane, if it is ours."""
    cgroup = os.environ.get("E2E_NODE_CGROUP")
    if os.environ.get("E2E_KUBECONFIG"):
        yield None
        return
    if not cgroup:
        pytest.skip("these tests need namespaces of their own: make e2e-node")
    folder = tmp_path_factory.mktemp("cluster")
    with (
        open_cluster(folder / "plane", crds=False, audited=True, address=ADDRESS) as cluster,
        open_node(folder / "node", cluster, images(), cgroup),
    ):
        yield cluster.plane


@pytest.fixture(scope="session")
def kubectl(plane: ControlPlane | None, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    kubeconfig = plane.kubeconfig if plane else Path(os.environ["E2E_KUBECONFIG"])
    return Kubectl(kubeconfig, tmp_path_factory.mktemp("caches"))
