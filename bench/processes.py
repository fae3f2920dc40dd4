"""The processes of a run, and what each of them costs."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from e2e.harness.build import BIN
from e2e.harness.process import Child

_SCHEDULED = 2
"""With a process's ID: the clock that clock_getcpuclockid(3) gives."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_HTTP = build_opener(ProxyHandler({}))  # without the proxies of the environment


def cpu_seconds(pid: int) -> float:
    """In user and kernel mode, of all threads, those that have ended included. To the nanosecond, unlike /proc's ticks."""
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


def rss(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def peak_rss(pid: int) -> int:
    """Bytes, since its start."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


class MemoryWatch:
    """Samples of a process's RSS, one a second, until `stop`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self.samples: list[int] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(1):
            try:
                self.samples.append(rss(self._pid))
            except FileNotFoundError:
                return

    def stop(self) -> Sequence[int]:
        self._ended.set()
        self._thread.join()
        return self.samples


class _Counting(Child):
    """One of the testbed's programs that says over HTTP what it has seen."""

    _control: str

    def _get(self, path: str) -> Any:
        with _HTTP.open(f"http://{self._control}{path}", timeout=30) as answer:
            return json.load(answer)

    def stats(self) -> dict[str, float]:
        found: dict[str, float] = self._get("/-/stats")
        return found


@dataclass(frozen=True)
class Arrivals:
    """When the requests for one path of one target came: unix seconds, in order."""

    address: str
    """Without the port."""
    path: str
    at: Sequence[float]


class Replay(_Counting):
    """The target server: every loopback address at `port` is a target that has one recorded process's profiles."""

    def __init__(self, folder: Path, recording: Path, name: str, delay: float = 0.0) -> None:
        command: list[str | Path] = [BIN / "replay", "--listen", "0.0.0.0:0", "--recording", recording, "--delay", f"{delay:f}s"]
        super().__init__(name, command, folder)
        about = self.announcement()
        self._control = about["control"]
        self.port = int(about["listening"].rpartition(":")[2])

    def arrivals(self, since: float = 0.0) -> Sequence[Arrivals]:
        found = self._get(f"/-/arrivals?since={int(since * 1e9)}")
        return [Arrivals(one["address"], one["path"], [at / 1e9 for at in one["at"]]) for one in found]


class Sink(_Counting):
    """Takes every push and counts."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(name, [BIN / "sink"], folder)
        self._control = self.announcement()["listening"]
        self.url = f"http://{self._control}"


class Floor(_Counting):
    """The least that a scraper in Go does."""

    def __init__(
        self, folder: Path, offsets: Mapping[str, float], url: str, interval: float, profiles: Sequence[str], name: str = "floor"
    ) -> None:
        """`offsets`: of the slots of each target (host:port), in seconds; `profiles`: names of types."""
        targets = folder / f"{name}-targets"
        targets.write_text("".join(f"{address} {offset:.6f}\n" for address, offset in offsets.items()))
        flags = ["--push", url, "--interval", f"{interval:f}s", "--profiles", ",".join(profiles)]
        super().__init__(name, [BIN / "floor", "--targets", targets, *flags], folder)
        self._control = self.announcement()["listening"]
