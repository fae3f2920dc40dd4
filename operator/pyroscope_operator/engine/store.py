"""What is known of the world: objects and pods, as the last event left them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, Generic, Self, TypeVar

from pyroscope_operator.api.kinds import KINDS, SCRAPE, WRITE, Kind
from pyroscope_operator.api.load import load
from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.api.write import PyroscopeWriteSpec
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.engine.namespaces import Namespaces
from pyroscope_operator.errors import SpecError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

Spec = TypeVar("Spec", PyroscopeScrapeSpec, PyroscopeWriteSpec)


@dataclass(frozen=True)
class KnownObject(Generic[Spec]):
    """An object of ours: its specification, or what is wrong with it."""

    kind: ClassVar[Kind]
    ref: ObjectRef
    uid: str
    generation: int
    created: str
    """creationTimestamp, RFC 3339."""
    spec: Spec | None
    problem: SpecError | None = None
    status: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """As it was when the object was first seen: transition times are taken over from it."""

    @classmethod
    def from_manifest(cls, raw: Mapping[str, Any]) -> Self:
        """Read an object as the API server sends it. Never raises for a wrong spec."""
        meta = raw["metadata"]
        spec: Any = None
        problem: SpecError | None = None
        try:
            spec = load(cls.kind, raw).spec
        except SpecError as error:
            problem = error
        return cls(
            ref=ObjectRef(meta["namespace"], meta["name"]),
            uid=meta.get("uid", ""),
            generation=meta.get("generation", 0),
            created=meta.get("creationTimestamp", ""),
            spec=spec,
            problem=problem,
            status=raw.get("status") or {},
        )


class ScrapeObject(KnownObject[PyroscopeScrapeSpec]):
    """A PyroscopeScrape."""

    kind = SCRAPE


class WriteObject(KnownObject[PyroscopeWriteSpec]):
    """A PyroscopeWrite."""

    kind = WRITE


TYPES: Mapping[Kind, type[ScrapeObject | WriteObject]] = {SCRAPE: ScrapeObject, WRITE: WriteObject}


class Store:
    """Objects and pods, and what is new of them. `changed` is set whenever something that matters is different."""

    def __init__(self, metrics: Metrics) -> None:
        self.objects: dict[ObjectRef, ScrapeObject] = {}
        self.writes: dict[ObjectRef, WriteObject] = {}
        self.changed = asyncio.Event()
        self.edition = 0
        """Another one for each change of an object."""
        self.since: float | None = None
        """Time of the oldest change of a pod or an object that nobody has acted upon, by the monotonic clock."""
        self.namespaces = Namespaces(self._touch)
        self._pods: dict[str, dict[str, Pod]] = {}
        self._new_pods: set[ObjectRef] = set()
        self._metrics = metrics

    def of_kind(self, kind: Kind) -> Mapping[ObjectRef, ScrapeObject | WriteObject]:
        """The objects of a kind."""
        return self.objects if kind is SCRAPE else self.writes

    def put_object(self, found: ScrapeObject | WriteObject) -> None:
        before = self.of_kind(found.kind).get(found.ref)
        # A change of status or metadata alone changes nothing here: we write status ourselves.
        if before is not None and (before.uid, before.generation) == (found.uid, found.generation):
            return
        if isinstance(found, ScrapeObject):
            self.objects[found.ref] = found
        else:
            self.writes[found.ref] = found
        self._new_object()

    def remove_object(self, ref: ObjectRef, uid: str | None = None, kind: Kind = SCRAPE) -> None:
        """Forget an object; with `uid`, only if it is still that one."""
        found = self.of_kind(kind).get(ref)
        if found is not None and uid in {None, found.uid}:
            (self.objects if kind is SCRAPE else self.writes).pop(ref)
            self._new_object()

    def put_pod(self, pod: Pod) -> None:
        namespace = self._pods.setdefault(pod.namespace, {})
        if namespace.get(pod.name) != pod:
            self._metrics.pods.inc(pod.name not in namespace)
            namespace[pod.name] = pod
            self._new_pod(pod.ref)

    def remove_pod(self, ref: ObjectRef, uid: str | None = None) -> None:
        """Forget a pod; with `uid`, only if it is still that one."""
        namespace = self._pods.get(ref.namespace, {})
        found = namespace.get(ref.name)
        if found is not None and uid in {None, found.uid}:
            del namespace[ref.name]
            if not namespace:
                del self._pods[ref.namespace]
            self._metrics.pods.dec()
            self._new_pod(ref)

    def pod(self, ref: ObjectRef) -> Pod | None:
        return self._pods.get(ref.namespace, {}).get(ref.name)

    def take_pods(self) -> set[ObjectRef]:
        """The pods that came, changed or went since this was last asked for."""
        taken, self._new_pods = self._new_pods, set()
        return taken

    def pods_in(self, namespaces: frozenset[str] | None) -> Iterator[Pod]:
        """The pods of these namespaces; all pods for None."""
        groups: Iterable[Mapping[str, Pod]]
        groups = self._pods.values() if namespaces is None else (self._pods.get(name, {}) for name in sorted(namespaces))
        return chain.from_iterable(group.values() for group in groups)

    def pod_uids(self, namespace: str | None = None) -> dict[ObjectRef, str]:
        """Of one namespace; of all for None."""
        pods = self.pods_in(None if namespace is None else frozenset({namespace}))
        return {ObjectRef(pod.namespace, pod.name): pod.uid for pod in pods}

    def object_uids(self, kind: Kind = SCRAPE, namespace: str | None = None) -> dict[ObjectRef, str]:
        """Of one namespace; of all for None."""
        known = self.of_kind(kind).items()
        return {ref: found.uid for ref, found in known if namespace in {None, ref.namespace}}

    def _new_object(self) -> None:
        self.edition += 1
        for kind in KINDS:
            self._metrics.objects.labels(kind.name).set(len(self.of_kind(kind)))
        self._touch()

    def _new_pod(self, ref: ObjectRef) -> None:
        self._new_pods.add(ref)
        self._touch()

    def _touch(self) -> None:
        self.since = time.monotonic() if self.since is None else self.since
        self.changed.set()
