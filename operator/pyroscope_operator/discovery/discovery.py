"""All objects over all pods, kept in step with what changes.

A pod that changes is shown to the objects that look at its namespace; each of them
enters or withdraws its claims (finding.py), and each claim is settled among those who
want the same (contests.py).  What has another outcome then is in `changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from pyroscope_operator.discovery.contests import Changes, Contests
from pyroscope_operator.discovery.finding import Finding
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.model.ref import ObjectRef

PodsIn = Callable[[frozenset[str] | None], Iterable[Pod]]
"""The pods of these namespaces; of all for None."""

_Findings = dict[ObjectRef, Finding]


class Discovery(Mapping[ObjectRef, ObjectPlan]):
    """The plan of each object that is wanted and not suspended, computed when it is asked for."""

    def __init__(self, pods_in: PodsIn, body_limit: int) -> None:
        """`body_limit` in bytes is the operator's cap on profiles."""
        self._pods_in = pods_in
        self._body_limit = body_limit
        self._contests = Contests()
        self._findings: _Findings = {}
        self._looking: dict[str | None, _Findings] = {}
        """By the namespace that they look at; None: at all of them."""
        self._plans: dict[ObjectRef, ObjectPlan] = {}
        """Those that were asked for and still hold."""

    def want(self, objects: Mapping[ObjectRef, Wanted]) -> None:
        """These are all the objects. One that is the same as before costs nothing."""
        active = {ref: wanted for ref, wanted in objects.items() if not wanted.spec.suspend}
        for ref, known in list(self._findings.items()):
            if ref not in active or not known.wanted.same(active[ref]):
                self._remove(ref)
        for ref, wanted in active.items():
            if ref not in self._findings:
                self._add(wanted)

    def see(self, pod: ObjectRef, found: Pod | None) -> None:
        """Take over what a pod is now; None: it is no more."""
        for key in (pod.namespace, None):
            for finding in self._looking.get(key, {}).values():
                if found is None:
                    finding.miss(pod)
                else:
                    finding.see(found)

    def changes(self) -> Changes:
        """What is to be scraped otherwise than when this was last asked for."""
        changes, self._contests.changes = self._contests.changes, {}
        return changes

    def bugs(self) -> dict[ObjectRef, Exception]:
        """Objects of which nothing is scraped because of a bug, and what was raised."""
        return {ref: bug for ref, finding in self._findings.items() if (bug := finding.bug) is not None}

    def looks_at(self, ref: ObjectRef, namespace: str) -> bool:
        """Whether an object is shown the pods of a namespace; False for one that is not wanted, or is suspended."""
        finding = self._findings.get(ref)
        return finding is not None and (finding.scope is None or namespace in finding.scope)

    def _add(self, wanted: Wanted) -> None:
        finding = self._findings[wanted.ref] = Finding(wanted, self._contests, self._body_limit)
        for key in _keys(finding):
            self._looking.setdefault(key, {})[wanted.ref] = finding
        for pod in self._pods_in(finding.scope):
            finding.see(pod)

    def _remove(self, ref: ObjectRef) -> None:
        finding = self._findings.pop(ref)
        for key in _keys(finding):
            del self._looking[key][ref]
            if not self._looking[key]:
                del self._looking[key]
        finding.end()

    def __getitem__(self, ref: ObjectRef) -> ObjectPlan:
        touched = self._contests.touched
        for other in touched:
            self._plans.pop(other, None)
        touched.clear()
        if ref not in self._plans:
            self._plans[ref] = self._findings[ref].plan()
        return self._plans[ref]

    def __iter__(self) -> Iterator[ObjectRef]:
        return iter(self._findings)

    def __len__(self) -> int:
        return len(self._findings)


def _keys(finding: Finding) -> Iterable[str | None]:
    return (None,) if finding.scope is None else finding.scope
