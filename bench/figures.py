"""What was measured: values that are kept as JSON between runs and end up in the report. Times in seconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from bench.schedule import Punctuality
from e2e.delta_bench import Row


@dataclass(frozen=True)
class Cost:
    """One scraper in one window, and what served it."""

    scrapes: int
    """Requests that arrived at the target server."""
    cpu: float
    rss: int
    """The median in the window."""
    peak: int
    """Since the start of the process."""
    pushes: int
    profiles: int
    failed: int
    """Scrapes and pushes together, since its start."""
    replay_cpu: float
    sink_cpu: float
    punctuality: Punctuality
    first_profile: float
    """From the start of the process until the first profile was at the sink."""

    @property
    def per_1000(self) -> float:
        """CPU seconds for 1,000 scrapes."""
        return 1000 * self.cpu / self.scrapes if self.scrapes else 0.0

    @property
    def pushes_per_scrape(self) -> float:
        return self.pushes / self.scrapes if self.scrapes else 0.0


@dataclass(frozen=True)
class Surroundings:
    """What else the machine did in the window."""

    seconds: float
    """Length of the window."""
    others: float
    """CPU seconds of everything that is no part of the run."""
    steal: float
    load: float
    """Load average at the end."""


@dataclass(frozen=True)
class Run:
    """One number of targets, some profile types, the operator and mostly the floor."""

    app: str
    """Whose profiles the targets have."""
    profiles: tuple[str, ...]
    targets: int
    interval: float
    delay: float
    operator: Cost
    floor: Cost | None
    stall: float | None
    """Bucket of the longest stall of the operator's event loop; None where it does not measure them."""
    around: Surroundings
    own_lateness: float | None = None
    """Bucket of the latest start of a scrape, as the operator itself says; None where it does not."""

    @property
    def ratio(self) -> float | None:
        """CPU per scrape, the operator's to the floor's."""
        return self.operator.per_1000 / self.floor.per_1000 if self.floor and self.floor.per_1000 else None


@dataclass(frozen=True)
class Reaction:
    """From a pod that runs, as the API server has answered, to scrape loops that exist, as /metrics says."""

    changes: int
    p50: float
    longest: float
    resolution: float
    """Time between two looks."""


@dataclass(frozen=True)
class InCluster:
    """The operator with a real API server."""

    name: str
    pods: int
    """In the watch."""
    targets: int
    """That are there all the time."""
    synced: float
    """From the start of the process until all scrape loops exist."""
    operator: Cost
    stall: float | None
    events: float
    """Watch events of pods in a second."""
    reaction: Reaction | None
    around: Surroundings
    interval: float = 15.0


@dataclass(frozen=True)
class About:
    """Where a part of the results is from."""

    command: str
    commit: str
    date: str
    machine: str


@dataclass(frozen=True)
class RecordedSeries:
    """Sizes of the last of several answers."""

    app: str
    profile: str
    snapshots: int
    packed: int
    raw: int


@dataclass
class Results:
    """Everything; a part that was not run yet is empty."""

    about: dict[str, About] = field(default_factory=dict)
    recordings: Sequence[RecordedSeries] = ()
    mix: Sequence[Run] = ()
    types: Sequence[Run] = ()
    cluster: Sequence[InCluster] = ()
    delta: Sequence[Row] = ()
    failures: dict[str, str] = field(default_factory=dict)
    """Why a part has not all of its figures."""


_ADAPTER = TypeAdapter(Results)


def load(path: Path) -> Results:
    """Empty ones where there are none."""
    return _ADAPTER.validate_json(path.read_bytes()) if path.exists() else Results()


def save(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_ADAPTER.dump_json(results, indent=1))
