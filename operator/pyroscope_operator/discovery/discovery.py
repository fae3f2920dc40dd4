"""All objects over all pods, kept in step with what changes.

A pod that changes is shown to the objects that look at its namespace, and the pods of a
namespace whose labels change to those who look there from then on.  Each of them enters
or withdraws its claims (finding.py), and each claim is settled among those who want the
same (contests.py).  What has another outcome then is in `changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType

from pyroscope_operator.discovery.contests import Changes, Contests
from pyroscope_operator.discovery.finding import Finding
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.selector import Scope
from pyroscope_operator.discovery.steps import Steps, at_once
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.model.ref import ObjectRef

PodsIn = Callable[[frozenset[str] | None], Iterable[Pod]]
"""The pods of these namespaces; of all for None."""
SeenPod = tuple[ObjectRef, Pod | None]
"""A pod and what it is now; None: it is no more."""

Namespaces = Mapping[str, Mapping[str, str]]
"""Labels of namespaces by name."""

_Findings = dict[ObjectRef, Finding]


class Discovery(Mapping[ObjectRef, ObjectPlan]):
    """The plan of each object that is wanted and not suspended, computed when it is asked for.

    While changes are taken over, plans are those of before.
    """

    def __init__(
        self, pods_in: PodsIn, body_limit: int, target_limit: int | None = None, namespaces: Namespaces = MappingProxyType({})
    ) -> None:
        """`body_limit` in bytes is the operator's cap on profiles, `target_limit` that on the targets of an object.

        `namespaces` is looked at, as `pods_in` is, whenever it is needed.
        """
        self._pods_in = pods_in
        self._namespaces = namespaces
        self._body_limit = body_limit
        self._target_limit = target_limit
        self._contests = Contests()
        self._findings: _Findings = {}
        self._looking: dict[str | None, _Findings] = {}
        """By the namespace that they look at; None: at all of them."""
        self._by_labels: _Findings = {}
        """Those who look at other namespaces when labels change."""
        self._plans: dict[ObjectRef, ObjectPlan] = {}
        """The plans as they were when somebody asked last."""
        self._fresh: dict[ObjectRef, ObjectPlan] = {}
        """Those of objects that are new or other ones, from the next `publish` on."""
        self._open = False
        """Changes are being taken over."""

    def want(self, objects: Mapping[ObjectRef, Wanted]) -> None:
        """These are all the objects. One that is the same as before costs nothing."""
        at_once(self.taking(objects, ()))
        self.publish()

    def see(self, pod: ObjectRef, found: Pod | None) -> None:
        """Take over what a pod is now; None: it is no more."""
        at_once(self.taking(None, [(pod, found)]))
        self.publish()

    def see_namespace(self, name: str) -> None:
        """Look again at the labels of a namespace, which may be new or gone."""
        at_once(self.taking(None, (), [name]))
        self.publish()

    def taking(
        self, objects: Mapping[ObjectRef, Wanted] | None, pods: Iterable[SeenPod], namespaces: Iterable[str] = ()
    ) -> Steps[None]:
        """Take over all the objects (None: they are as before), and changed pods and namespaces, in steps of milliseconds.

        What `pods` says is no newer than what `pods_in` tells.  Pods and namespaces may change
        meanwhile: that is for the next time.  After the last step, `publish` makes it what plans say.
        """
        self._open = True
        added: _Findings = {}
        if objects is not None:
            yield from self._want(objects, added)
        for ref, found in pods:
            yield from self._see(ref, found, added)
        for name in namespaces:
            for finding in self._by_labels.values():
                yield from self._follow(finding, name)
        for ref, finding in added.items():
            self._fresh[ref] = yield from finding.plan()

    def publish(self) -> None:
        """From now on plans say what was taken over."""
        self._plans = {ref: plan for ref, plan in self._plans.items() if ref in self._findings} | self._fresh
        self._contests.touched &= self._findings.keys() - self._fresh.keys()
        self._fresh = {}
        self._open = False

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

    def _want(self, objects: Mapping[ObjectRef, Wanted], added: _Findings) -> Steps[None]:
        active = {ref: wanted for ref, wanted in objects.items() if not wanted.spec.suspend}
        for ref, known in list(self._findings.items()):
            if ref not in active or not known.wanted.same(active[ref]):
                yield from self._remove(ref)
        for ref, wanted in active.items():
            if ref not in self._findings:
                finding = added[ref] = Finding(wanted, self._contests, self._body_limit, self._target_limit)
                yield from self._add(finding)

    def _see(self, pod: ObjectRef, found: Pod | None, added: _Findings) -> Steps[None]:
        """Show it to those who look there; `added` ones have seen it."""
        for finding in chain.from_iterable(self._looking.get(key, {}).values() for key in (pod.namespace, None)):
            if finding.wanted.ref in added:
                continue
            yield
            if found is None:
                finding.miss(pod)
            else:
                finding.see(found)

    def _add(self, finding: Finding) -> Steps[None]:
        ref, scope = finding.wanted.ref, finding.scope
        self._findings[ref] = finding
        if scope.labels is None:
            for key in _keys(scope):
                yield from self._turn_to(finding, key)
            return
        self._by_labels[ref] = finding
        for name in tuple(self._namespaces if scope.names is None else scope.names):
            yield from self._follow(finding, name)

    def _remove(self, ref: ObjectRef) -> Steps[None]:
        finding = self._findings.pop(ref)
        self._by_labels.pop(ref, None)
        scope = finding.scope
        for key in _keys(scope) if scope.labels is None else list(self._looking):
            if ref in self._looking[key]:
                self._turn_from(finding, key)
        yield from finding.end()

    def _follow(self, finding: Finding, name: str) -> Steps[None]:
        """Bring a finding in step with the labels of a namespace."""
        labels = self._namespaces.get(name)
        wanted = labels is not None and finding.scope.has(name, labels)
        if wanted == (finding.wanted.ref in self._looking.get(name, ())):
            return
        if wanted:
            yield from self._turn_to(finding, name)
        else:
            self._turn_from(finding, name)
            yield from finding.leave(name)

    def _turn_to(self, finding: Finding, key: str | None) -> Steps[None]:
        self._looking.setdefault(key, {})[finding.wanted.ref] = finding
        for pod in tuple(self._pods_in(None if key is None else frozenset({key}))):
            yield
            finding.see(pod)

    def _turn_from(self, finding: Finding, key: str | None) -> None:
        del self._looking[key][finding.wanted.ref]
        if not self._looking[key]:
            del self._looking[key]

    def __getitem__(self, ref: ObjectRef) -> ObjectPlan:
        if ref in self._contests.touched and not self._open:
            self._contests.touched.discard(ref)
            self._plans[ref] = at_once(self._findings[ref].plan())
        return self._plans[ref]

    def __iter__(self) -> Iterator[ObjectRef]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)


def _keys(scope: Scope) -> Iterable[str | None]:
    """Where to look, of a scope without labels."""
    return (None,) if scope.names is None else sorted(scope.names)
