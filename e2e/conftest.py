"""Fixtures: one control plane for all tests; receiver and operator anew for each file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness.build import build_all
from e2e.harness.cluster import Cluster, open_cluster
from e2e.harness.parts import DemoApp, Operator, Receiver
from e2e.harness.reasons import SHOWN, marked

collect_ignore = ["node"]
"""It has a conftest.py and a command of its own: make e2e-node."""

_HOSTS = itertools.count(1)

StartApp = Callable[..., DemoApp]

LOOPBACK = ("--allow-destinations", "127.0.0.0/8")
"""For PyroscopeWrites that lead to the testbed."""


@pytest.fixture(scope="module", autouse=True)
def _nothing_shown() -> None:
    """A reason that another file has brought about does not count."""
    SHOWN.clear()


@pytest.fixture(autouse=True)
def _reached(request: pytest.FixtureRequest) -> Iterator[None]:
    """A mark says nothing that is not so."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed == failed:
        assert marked(request.node) <= SHOWN, "what `reaches` says was not read from the API server"


@pytest.fixture(scope="session")
def binaries() -> None:
    build_all()


@pytest.fixture(scope="session")
def cluster(binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with open_cluster(tmp_path_factory.mktemp("controlplane")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs and recordings of this file's processes."""
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def receiver(binaries: None, folder: Path) -> Iterator[Receiver]:
    receiver = Receiver(folder)
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def operator(cluster: Cluster, receiver: Receiver, folder: Path) -> Iterator[Operator]:
    operator = start_operator(cluster, receiver, folder, *LOOPBACK)
    yield operator
    assert operator.stop() == 0, operator.log_tail()
    # What the operator says must be JSON, and nothing of it a bug or a leak.
    assert not [line for line in operator.log_lines() if line["level"] in {"ERROR", "CRITICAL"}]


def start_operator(
    cluster: Cluster, receiver: Receiver | None, folder: Path, *flags: str, name: str = "operator", **options: Any
) -> Operator:
    """An operator on the control plane that writes status fast, ready."""
    url = ("--pyroscope-url", receiver.url) if receiver else ()
    flags = (*url, "--status-interval", "1s", *flags)
    operator = Operator(folder, *flags, name=name, kubeconfig=cluster.plane.kubeconfig, **options)
    operator.wait_ready()
    return operator


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of its own for each test; nothing stays in it."""
    name = request.node.name.removeprefix("test_").split("[")[0].replace("_", "-")[:50]
    cluster.namespace(name)
    yield name
    cluster.kubectl("delete", "pyscrape,pywrite", "--all", "-n", name, "--timeout=10s")
    cluster.kubectl("delete", "pods", "--all", "-n", name, "--grace-period=0", "--force", "--timeout=10s")


@pytest.fixture
def start_app(binaries: None, folder: Path, request: pytest.FixtureRequest) -> Iterator[StartApp]:
    """Starts demo apps, each on a loopback address of its own; stops them after the test."""
    apps: list[DemoApp] = []

    def start(name: str, ip: str | None = None, **options: object) -> DemoApp:
        number = next(_HOSTS)
        unique = f"{request.node.name.split('[')[0]}-{name}-{number}"
        app = DemoApp(unique, folder, ip or f"127.0.20.{number}", **options)  # type: ignore[arg-type]
        apps.append(app)
        return app

    yield start
    for app in apps:
        if app.running:
            app.stop()
