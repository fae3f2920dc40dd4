"""Kubernetes Events: one for each flip of Accepted and Delivering, and none for anything else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import LOOPBACK, StartApp, start_operator
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.parts import Receiver
from e2e.harness.wait import eventually

_GOROUTINE = {
    **{name: {"enabled": False} for name in ("memory", "block", "mutex", "processCPU")},
    "goroutine": {"enabled": True},
}
_SPEC = {
    "selector": {"matchLabels": {"app": "checkout"}},
    "interval": "2s",
    "profilingConfig": _GOROUTINE,
    "forwardTo": [{"name": "main"}],
}
_WRONG = {"relabelings": [{"action": "labeldrop", "regex": "(x"}]}
_TOKEN = {"bearerTokenSecret": {"name": "nowhere", "key": "token"}}
_PLURALS = {"checkout": "pyroscopescrapes", "main": "pyroscopewrites"}
_INTERVAL = 2.0
"""Seconds between two writes of a status, at least."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Story:
    """A PyroscopeScrape `checkout` that forwards to a PyroscopeWrite `main`, and what is told of both."""

    def __init__(self, cluster: Cluster, receiver: Receiver, namespace: str) -> None:
        self._cluster, self._receiver, self._namespace = cluster, receiver, namespace
        self.told: dict[str, list[tuple[str, str, str]]] = {"checkout": [], "main": []}

    def scrape(self, **changes: Any) -> None:
        self._cluster.scrape(self._namespace, "checkout", {**_SPEC, **changes})

    def write(self, **changes: Any) -> None:
        endpoint = {"name": "main", "url": self._receiver.url, "minBackoff": "100ms", "maxBackoff": "500ms"}
        self._cluster.write(self._namespace, "main", {"endpoints": [{**endpoint, **changes}]})

    def events(self, name: str) -> list[tuple[str, str, str]]:
        return self._cluster.events(self._namespace, name)

    def wait(self, name: str, kind: str, wanted: str) -> None:
        self._cluster.wait_for(self._namespace, name, kind, wanted, plural=_PLURALS[name])

    def flips(self, kind: str, wanted: str, *names: str) -> None:
        """A condition of these becomes `<status>/<reason>`: of each there is one more Event, and nothing else is new."""
        status, _, reason = wanted.partition("/")
        for name in names:
            self.wait(name, kind, wanted)
            conditions = self._cluster.status(self._namespace, name, _PLURALS[name])["conditions"]
            message = next(c["message"] for c in conditions if c["type"] == kind)
            self.told[name].append(("Warning" if status == "False" else "Normal", reason, message))
        for name, told in self.told.items():
            eventually(lambda name=name, told=told: len(self.events(name)) >= len(told), f"Events of {name}", 20)  # type: ignore[misc]
        self.check()

    def check(self) -> None:
        """All that was told is what has flipped."""
        assert {name: self.events(name) for name in self.told} == self.told


def test_each_flip_is_told_once(
    cluster: Cluster, receiver: Receiver, folder: Path, namespace: str, start_app: StartApp, stack: ExitStack
) -> None:
    """Both conditions of both kinds, in both directions; a new operator tells nothing that has not flipped."""
    app, story = start_app("app"), Story(cluster, receiver, namespace)
    operator = start_operator(cluster, receiver, folder, *LOOPBACK, name="first")
    stack.callback(lambda: operator.running and operator.kill())
    cluster.run_pod(namespace, PodSpec("app", app.ip, {"app": "checkout"}))
    story.write()
    story.scrape()
    story.wait("checkout", "Ready", "True/AllUp")
    story.wait("checkout", "Delivering", "True/Delivered")
    story.wait("main", "Ready", "True/Delivered")
    story.check()  # nothing was bad before

    story.scrape(**_WRONG)
    story.flips("Accepted", "False/InvalidSpec", "checkout")
    story.scrape()
    story.flips("Accepted", "True/Accepted", "checkout")
    story.write(**_TOKEN)
    story.flips("Accepted", "False/SecretNotFound", "main")
    story.write()
    story.flips("Accepted", "True/Accepted", "main")
    receiver.fault(status=503, count=1_000_000)
    story.flips("Delivering", "False/PushFailing", "checkout", "main")
    receiver.fault(count=0)
    story.flips("Delivering", "True/Delivered", "checkout", "main")
    assert operator.metric("events_total", result="ok") == 8

    assert operator.stop() == 0, operator.log_tail()
    again = start_operator(cluster, receiver, folder, *LOOPBACK, name="second")
    stack.callback(lambda: again.running and again.kill())
    arrived = len(receiver.profiles(pod="app"))
    eventually(lambda: len(receiver.profiles(pod="app")) >= arrived + 2, "the second operator pushes")
    story.scrape(interval="3s")
    eventually(lambda: _generation(cluster, namespace) == 4, "the second operator writes the status")
    story.check()
    assert again.metric("events_total", result="ok") == 0
    assert again.stop() == 0, again.log_tail()


def _generation(cluster: Cluster, namespace: str) -> int:
    """The one that the status is about."""
    found: int = cluster.status(namespace, "checkout").get("observedGeneration", 0)
    return found


def test_what_flaps_is_told_seldom(cluster: Cluster, receiver: Receiver, folder: Path, namespace: str, stack: ExitStack) -> None:
    """An object is right and wrong by turns, far more often than status is written: Events keep to that pace, by turns too."""
    story = Story(cluster, receiver, namespace)
    operator = start_operator(cluster, receiver, folder, "--status-interval", f"{_INTERVAL:g}s", *LOOPBACK, name="flapping")
    stack.callback(lambda: operator.running and operator.kill())
    story.write()
    story.scrape()
    story.wait("checkout", "Accepted", "True/Accepted")
    began, changes = time.monotonic(), 0
    while time.monotonic() < began + 10 or len(story.events("checkout")) < 2:
        story.scrape(**({} if changes % 2 else _WRONG))
        changes += 1
        assert time.monotonic() < began + 60
    told, took = [kind for kind, _, _ in story.events("checkout")], time.monotonic() - began
    assert changes > 2 * len(told)
    assert len(told) <= took / _INTERVAL + 1
    assert told == [("Warning", "Normal")[number % 2] for number in range(len(told))]
    story.scrape()
    story.wait("checkout", "Accepted", "True/Accepted")
    assert operator.stop() == 0, operator.log_tail()
