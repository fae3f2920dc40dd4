"""What somebody asks about: a pod, or a static target; and why an object does not mean it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery import selector
from pyroscope_operator.discovery.discovery import Discovery
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.relabeled import ADDRESS
from pyroscope_operator.discovery.targets import Drop
from pyroscope_operator.engine.store import ScrapeObject
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import STATIC, Target


class Stranger(NamedTuple):
    """Why an object does not mean it."""

    outcome: Literal["NotSelected", "Elsewhere"]
    """NotSelected: it looks at the namespace of the pod, but its selector doesn't match."""
    reason: str
    message: str
    distance: int = 0
    """Conditions of its selector that the pod doesn't meet."""


class Subject(Protocol):
    """What is asked about."""

    @property
    def namespace(self) -> str:
        """Where it is; empty for what is in none."""

    def stranger(self, found: ScrapeObject) -> Stranger | None:
        """None for an object that means it."""

    def is_at(self, target: Target) -> bool:
        """Whether it became this target."""

    def is_dropped(self, drop: Drop) -> bool:
        """Whether this is told of it, by an object that means it."""


@dataclass(frozen=True)
class PodSubject:
    """A pod that is known."""

    pod: Pod
    plans: Mapping[ObjectRef, ObjectPlan] = field(default_factory=dict)
    """Of the objects that are acted upon."""

    @property
    def namespace(self) -> str:
        return self.pod.namespace

    def stranger(self, found: ScrapeObject) -> Stranger | None:
        spec = found.spec
        if spec is None:  # what it would select can't be told
            near = found.ref.namespace == self.namespace
            return None if near else Stranger("Elsewhere", "NotAccepted", "not accepted, and in another namespace")
        if spec.selector is None:
            return Stranger("Elsewhere", "NoSelector", "it has no spec.selector: it names static targets only")
        if not self._is_looked_at(found.ref, spec):
            return Stranger("Elsewhere", "OtherNamespace", f"it doesn't look at the namespace {self.namespace}")
        unmet = list(selector.unmet(spec.selector, self.pod.labels))
        if not unmet:
            return None
        more = f" (and {len(unmet) - 1} more)" if len(unmet) > 1 else ""
        return Stranger("NotSelected", "NotSelected", f"spec.selector.{unmet[0]}{more}", len(unmet))

    def _is_looked_at(self, ref: ObjectRef, spec: PyroscopeScrapeSpec) -> bool:
        if isinstance(self.plans, Discovery) and ref in self.plans:
            return self.plans.looks_at(ref, self.namespace)
        scope = selector.namespaces(spec, ref.namespace)  # of one that is not accepted, or suspended
        return scope.names is None or self.namespace in scope.names

    def is_at(self, target: Target) -> bool:
        return target.pod == self.pod.name and target.namespace == self.namespace and target.pod_uid != STATIC

    def is_dropped(self, drop: Drop) -> bool:
        return drop.pod == self.pod.ref


@dataclass(frozen=True)
class StaticSubject:
    """A static target, by its address as the object has it, or as relabelings made it."""

    address: str

    @property
    def namespace(self) -> str:
        return ""

    def stranger(self, found: ScrapeObject) -> Stranger | None:
        named = found.spec.static_targets if found.spec else ()
        if any(static.address == self.address for static in named):
            return None
        return Stranger("Elsewhere", "NotNamed", "it has no such address in spec.staticTargets")

    def is_at(self, target: Target) -> bool:
        return target.pod_uid == STATIC and self.address in {target.address, target.discovered.get(ADDRESS)}

    def is_dropped(self, drop: Drop) -> bool:
        return drop.pod.name == self.address
