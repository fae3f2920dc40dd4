"""What one object leads to: what is scraped for it, what is not, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyroscope_operator.discovery.claim import Duplicate
from pyroscope_operator.discovery.targets import Drop
from pyroscope_operator.model.target import Scrape, Target


@dataclass(slots=True)
class ObjectPlan:
    """What one object leads to. Pods and what comes of them are in the order of their names."""

    pods: int = 0
    """Selected pods, dropped ones included."""
    healthy_pods: int = 0
    """Those of them that are ready."""
    targets: list[Target] = field(default_factory=list)
    """Those that it scrapes, or leaves to another object."""
    drops: list[Drop] = field(default_factory=list)
    """Pods that became no target, and targets that sampling or a limit leaves out."""
    scrapes: list[Scrape] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    bug: Exception | None = None
    """What discovery raised and never should; nothing of the object is scraped then."""
