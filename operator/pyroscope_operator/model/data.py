"""References to Secrets and ConfigMaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class DataRef:
    """A whole Secret or ConfigMap; in standalone mode, a folder with a file for each key."""

    kind: Literal["Secret", "ConfigMap"]
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
