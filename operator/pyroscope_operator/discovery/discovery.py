"""All objects over all pods, kept in step with what changes.

A pod that changes is shown to the objects that look at its namespace, and the pods of a
namespace whose labels change to those who look there from then on.  Each of them enters
or withdraws its claims (finding.py), and each claim is settled among those who want the
same (contests.py).  What has another outcome then is in `changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from pyroscope_operator.discovery.contests import Changes, Contests
from pyroscope_operator.discovery.finding import Finding
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.selector import Scope
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.model.ref import ObjectRef

PodsIn = Callable[[frozenset[str] | None], Iterable[Pod]]
"""The pods of these namespaces; of all for None."""

Namespaces = Mapping[str, Mapping[str, str]]
"""Labels of namespaces by name."""

_Findings = dict[ObjectRef, Finding]


class Discovery(Mapping[ObjectRef, ObjectPlan]):
    """The plan of each object that is wanted and not suspended, computed when it is asked for."""

    def __init__(self, pods_in: PodsIn, body_limit: int, namespaces: Namespaces = MappingProxyType({})) -> None:
        """`body_limit` in bytes is the operator's cap on profiles; `namespaces` is looked at, too, whenever it is needed."""
        self._pods_in = pods_in
        self._namespaces = namespaces
        self._body_limit = body_limit
        self._contests = Contests()
        self._findings: _Findings = {}
        self._looking: dict[str | None, _Findings] = {}
        """By the namespace that they look at; None: at all of them."""
        self._by_labels: _Findings = {}
        """Those who look at other namespaces when labels change."""
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

    def see_namespace(self, name: str) -> None:
        """Look again at the labels of a namespace, which may be new or gone."""
        for finding in self._by_labels.values():
            self._follow(finding, name)

    def changes(self) -> Changes:
        """What is to be scraped otherwise than when this was last asked for."""
        changes, self._contests.changes = self._contests.changes, {}
        return changes

    def bugs(self) -> dict[ObjectRef, Exception]:
        """Objects of which nothing is scraped because of a bug, and what was raised."""
        return {ref: bug for ref, finding in self._findings.items() if (bug := finding.bug) is not None}

    def looks_at(self, ref: ObjectRef, namespace: str) -> bool:
        """Whether an object is shown the pods of a namespace; False for one that is not wanted, or is suspended."""
        return any(ref in self._looking.get(key, ()) for key in (namespace, None))

    def _add(self, wanted: Wanted) -> None:
        finding = self._findings[wanted.ref] = Finding(wanted, self._contests, self._body_limit)
        scope = finding.scope
        if scope.labels is not None:
            self._by_labels[wanted.ref] = finding
            for name in self._namespaces if scope.names is None else scope.names:
                self._follow(finding, name)
            return
        for key in _keys(scope):
            self._turn_to(finding, key)

    def _remove(self, ref: ObjectRef) -> None:
        finding = self._findings.pop(ref)
        self._by_labels.pop(ref, None)
        scope = finding.scope
        for key in _keys(scope) if scope.labels is None else list(self._looking):
            if ref in self._looking[key]:
                self._turn_from(finding, key)
        finding.end()

    def _follow(self, finding: Finding, name: str) -> None:
        """Bring a finding in step with the labels of a namespace."""
        labels = self._namespaces.get(name)
        wanted = labels is not None and finding.scope.has(name, labels)
        if wanted == (finding.wanted.ref in self._looking.get(name, ())):
            return
        if wanted:
            self._turn_to(finding, name)
        else:
            self._turn_from(finding, name)
            finding.leave(name)

    def _turn_to(self, finding: Finding, key: str | None) -> None:
        self._looking.setdefault(key, {})[finding.wanted.ref] = finding
        for pod in self._pods_in(None if key is None else frozenset({key})):
            finding.see(pod)

    def _turn_from(self, finding: Finding, key: str | None) -> None:
        del self._looking[key][finding.wanted.ref]
        if not self._looking[key]:
            del self._looking[key]

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


def _keys(scope: Scope) -> Iterable[str | None]:
    """Where to look, of a scope without labels."""
    return (None,) if scope.names is None else sorted(scope.names)
