"""Series of cumulative profiles, recorded from real Go processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from e2e.harness.controlplane import ADMIN_TOKEN, ControlPlane
from e2e.harness.parts import DemoApp
from e2e.harness.process import free_port

TYPES = ("allocs", "heap", "mutex", "block")
_OBJECTS = 30
"""Made, listed and deleted between two profiles: something has to happen in the processes."""


@dataclass
class Series:
    """The bodies of one profile type of one process, and after how many of them it was started anew."""

    name: str
    bodies: list[bytes] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)

    def write(self, folder: Path) -> Sequence[Path]:
        paths = [folder / f"{self.name}-{number}.pb.gz" for number in range(len(self.bodies))]
        for path, body in zip(paths, self.bodies, strict=True):
            path.write_bytes(body)
        return paths


class Recorder:
    """A control plane and a demo app that serve every type of profile, and what they have served."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._plane = ControlPlane(folder / "plane", profiled=True)
        self._apps = 0
        self._app = self._start_app()
        self.series = {
            f"{app}-{type_}": Series(f"{app}-{type_}") for app in ("demoapp", "kube-apiserver", "etcd") for type_ in TYPES
        }

    def _start_app(self) -> DemoApp:
        self._apps += 1
        return DemoApp(f"demoapp-{self._apps}", self._folder, "127.0.0.1", free_port(), record=False)

    def record(self, rounds: int) -> None:
        """Some load and one profile of each type, so many times."""
        with self._plane.client(ADMIN_TOKEN) as cluster, httpx.Client(trust_env=False) as plain:
            etcd = f"http://127.0.0.1:{self._plane.etcd_port}"
            for number in range(rounds):
                _load(cluster, number)
                self._take("demoapp", lambda path: plain.get(f"http://{self._app.address}{path}"))
                self._take("kube-apiserver", cluster.get)
                self._take("etcd", lambda path: plain.get(etcd + path))

    def _take(self, app: str, get: Callable[[str], httpx.Response]) -> None:
        for type_ in TYPES:
            self.series[f"{app}-{type_}"].bodies.append(get(f"/debug/pprof/{type_}").raise_for_status().content)

    def restart(self) -> None:
        """Start all three anew."""
        self._plane.stop()
        self._plane.etcd = self._plane.start_etcd()
        self._plane.apiserver = self._plane.start_apiserver()
        self._app.stop()
        self._app = self._start_app()
        for series in self.series.values():
            series.restarts.append(len(series.bodies))

    def stop(self) -> None:
        self._app.stop()
        self._plane.stop()


def _load(cluster: httpx.Client, number: int) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    for index in range(_OBJECTS):
        body = {"metadata": {"name": f"load-{number}-{index}"}, "data": {"text": "x" * 1000}}
        cluster.post(path, json=body).raise_for_status()
    cluster.get(path).raise_for_status()
    cluster.get("/openapi/v2" if number % 2 else "/apis").raise_for_status()
    for index in range(_OBJECTS):
        cluster.delete(f"{path}/load-{number}-{index}").raise_for_status()
