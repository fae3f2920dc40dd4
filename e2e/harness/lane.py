"""An operator in standalone mode with a Pyroscope of its own that can be made sick, and the books of both."""

from __future__ import annotations

import json
import math
import os
import signal
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from e2e.harness.crafted import Crafted
from e2e.harness.parts import DemoApp, Operator, Receiver
from e2e.harness.process import free_port
from e2e.harness.wait import eventually

FOREVER = 1_000_000
_RECEIVERS = "127.0.1.2"
"""Where receivers listen: while one is down, nobody's connection takes its port."""
PATHS = {
    "memory": "/debug/pprof/allocs",
    "goroutine": "/debug/pprof/goroutine",
    "mutex": "/debug/pprof/mutex",
    "block": "/debug/pprof/block",
}


class Series(NamedTuple):
    """One profile type of one target."""

    host: str
    path: str


class Lane:
    """Several of them may scrape the same apps: each asks with a parameter of its own, which the apps log."""

    def __init__(
        self,
        folder: Path,
        name: str,
        addresses: Sequence[str],
        *flags: str,
        interval: float = 1,
        profiles: Sequence[str] = ("goroutine",),
        custom: Sequence[Mapping[str, Any]] = (),
        journal: bool = True,
    ) -> None:
        """The operator is started but not waited for; `flags` are its. Intervals are seconds.

        `journal` False: what the receiver took ends with it.
        """
        self.name, self.interval = name, interval
        self.unlogged: list[Crafted] = []
        """Targets that it scrapes, or has scraped, besides those of demo apps."""
        self._journal = journal
        self._folder = folder / name
        self._port, self._lives = free_port(_RECEIVERS), 0
        self._spec: dict[str, Any] = {
            "interval": f"{interval * 1000:g}ms",
            "params": {"lane": [name]},
            "profilingConfig": {kind: {"enabled": kind in profiles} for kind in (*PATHS, "processCPU")} | {"custom": custom},
            "staticTargets": [self.target(address) for address in addresses],
        }
        self._manifest = self._folder / "scrape.json"
        self._folder.mkdir(parents=True)
        self.scrape()
        self.receiver = self._new_receiver()
        self.operator = Operator(
            self._folder, "--standalone", str(self._manifest), "--pyroscope-url", self.receiver.url, *flags, name="operator"
        )

    def target(self, address: str, **labels: str) -> dict[str, Any]:
        """A static target."""
        return {"address": address, "labels": {"service_name": self.name, **labels}}

    @property
    def targets(self) -> list[dict[str, Any]]:
        """The usual static targets."""
        targets: list[dict[str, Any]] = self._spec["staticTargets"]
        return targets

    def scrape(self, **changes: Any) -> None:
        """Change the object that says what to scrape; the operator reads it within two seconds."""
        manifest = {
            "apiVersion": "pyroscope-operator.dev/v1alpha1",
            "kind": "PyroscopeScrape",
            "metadata": {"name": "lane", "namespace": self.name},
            "spec": {**self._spec, **changes},
        }
        fresh = self._manifest.with_suffix(".new")
        fresh.write_text(json.dumps(manifest))
        fresh.rename(self._manifest)

    def wait_delivering(self, timeout: float = 60) -> None:
        """Until the operator is ready and something of every series has arrived since."""
        self.operator.wait_ready(timeout)
        since = self.receiver.last_seq()

        def all_arrive() -> bool:
            wanted = self.operator.scrapes().keys()
            labels = [found["labels"] for found in self.receiver.profiles(since)]
            return bool(wanted) and wanted <= {(one["instance"], one["__name__"]) for one in labels}

        eventually(all_arrive, f"all series of {self.name} arrive", timeout, 0.5)

    # Sickness

    def sicken(self, **fault: Any) -> None:
        """From now on all requests meet the fault."""
        self.receiver.fault(**{"count": FOREVER, **fault})

    def heal(self) -> None:
        self.receiver.fault(count=0)

    def recover(self) -> None:
        """Everything as it was in the beginning, but for what was taken."""
        self.scrape()
        if self.receiver.running:
            self.heal()
        else:
            self.bring_up()

    def take_down(self) -> int:
        """End the receiver, so that connections are refused; returns the number of the last profile that it took."""
        number = self.last_request()
        self.sicken(status=503)

        def met() -> bool:
            return any(one["faulted"] and one["durationMs"] for one in self.receiver.requests(number))

        eventually(met, "a request meets the fault: none before it is still on its way, whose answer would be lost", 20)
        last = self.receiver.last_seq()
        self.receiver.kill()
        return last

    def bring_up(self, *flags: str) -> None:
        """A receiver at the same address, which knows what the one before took."""
        if self.receiver.running:
            self.receiver.kill()
        self.receiver = self._new_receiver(*flags)

    def freeze(self) -> None:
        """Connections to the receiver are taken and never read."""
        os.kill(self.receiver.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.receiver.pid, signal.SIGCONT)

    def _new_receiver(self, *flags: str) -> Receiver:
        self._lives += 1
        data = ("--data", str(self._folder / "data")) if self._journal else ()
        return Receiver(self._folder, *data, *flags, host=_RECEIVERS, port=self._port, name=f"receiver-{self._lives}")

    # What the operator says

    def delivering(self) -> dict[str, str]:
        """The object's condition."""
        (found,) = self.operator.targets()["objects"]
        condition: dict[str, str] = found["conditions"]["Delivering"]
        return condition

    def delivery(self) -> tuple[str, str]:
        """Status and reason of the condition."""
        condition = self.delivering()
        return condition["status"], condition["reason"]

    def last_request(self) -> int:
        """Number of the last push request."""
        return max((request["number"] for request in self.receiver.requests()), default=0)

    def queued(self) -> int:
        return int(self.operator.metric("push_queue_profiles"))

    def pushes(self, result: str) -> int:
        """Requests that ended so."""
        return int(self.operator.metric("push_requests_total", result=result))

    def last_words(self) -> dict[str, Any]:
        """The last line of the operator's log, which tells what was pushed and what was lost."""
        return next(line for line in reversed(self.operator.log_lines()) if line["message"].startswith("stopped"))

    def quiesce(self) -> None:
        """No more scrapes, and everything that was scraped is sent or given up."""
        self.scrape(suspend=True)
        eventually(lambda: not self.operator.scrapes() and not self.queued(), f"{self.name} is quiet", 30, 0.5)

    def close(self) -> None:
        """End what still runs, in whatever state."""
        for child in (self.receiver, self.operator):
            if child.running:
                child.kill()

    # The books

    def scraped(self, apps: Iterable[DemoApp], since: int = 0) -> dict[Series, list[float]]:
        """When each series was served, in order; from the apps' own logs after number `since`. Unix seconds.

        To be asked for after what arrived: nothing arrives that isn't in the log.
        """
        found: dict[Series, list[float]] = {}
        for app in apps:
            for entry in app.requests(since=since):
                if entry["status"] == 200 and f"lane={self.name}" in entry["query"]:
                    found.setdefault(Series(entry["host"], entry["path"]), []).append(entry["unixNano"] / 1e9)
        return {series: sorted(times) for series, times in found.items()}


def by_series(profiles: Iterable[Mapping[str, Any]]) -> dict[Series, list[float]]:
    """When the profiles of each series were made, in the order in which they arrived. Unix seconds."""
    found: dict[Series, list[float]] = {}
    for profile in profiles:
        series = Series(profile["labels"]["instance"].split(":")[0], PATHS[profile["labels"]["__name__"]])
        found.setdefault(series, []).append(profile["timeNanos"] / 1e9)
    return found


def missing(scraped: Sequence[float], arrived: Iterable[float]) -> list[int]:
    """Numbers of the scrapes (0 is the first) of which no profile arrived. Each profile must belong to a scrape of its own."""
    found = [bisect_right(scraped, made) - 1 for made in arrived]
    assert len(set(found)) == len(found), "a profile arrived twice"
    assert -1 not in found, "a profile that nobody served"
    return sorted(set(range(len(scraped))) - set(found))


def missed_slots(times: Sequence[float], interval: float) -> int:
    """How many slots between the first and the last scrape had none. A scrape may be late by less than an interval."""
    late = [(moment - times[0] + interval / 2) % interval for moment in times]
    first = times[0] - interval / 2 + min(late)
    slots = {math.floor((moment - first) / interval + 1e-6) for moment in times}
    return max(slots) - min(slots) + 1 - len(slots)


def pauses(requests: Sequence[Mapping[str, Any]]) -> list[float]:
    """Seconds between the end of each push request and the beginning of the next."""
    times = [(one["unixNano"] / 1e9, one["durationMs"] / 1e3) for one in requests]
    return [begun - (before + took) for (before, took), (begun, _) in pairwise(times)]
