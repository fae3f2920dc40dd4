"""The machine: what it is, and what else it had to do while something was measured."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Moment:
    """CPU seconds of all cores together, since boot."""

    busy: float
    steal: float
    """Taken by other machines on the same host."""
    load: float
    """Load average of the last minute."""


def moment(proc: Path = Path("/proc")) -> Moment:
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(ticks) / _TICKS for ticks in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return Moment(user + nice + system + irq + softirq, steal, float((proc / "loadavg").read_text().split()[0]))


def description() -> str:
    """Cores, processor, memory and kernel in one line."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU"
    )
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    system, python = f"Linux {platform.release()}", f"Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {cpu}, {memory / 2**20:.0f} GiB, {system}, {python}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
