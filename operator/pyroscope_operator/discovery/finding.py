"""What one object finds, pod by pod."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from pyroscope_operator.discovery import label_limit, selector, targets
from pyroscope_operator.discovery.choice import Candidate, Choice
from pyroscope_operator.discovery.claim import Duplicate, claims
from pyroscope_operator.discovery.contests import Contests
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.selector import Scope
from pyroscope_operator.discovery.steps import Steps
from pyroscope_operator.discovery.targets import Found
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.model.ref import ObjectRef

_NOTHING = Found()


@dataclass(frozen=True, slots=True)
class _Place:
    """A selected pod, or the static targets, and what comes of it."""

    ready: bool = False
    found: Found = _NOTHING
    candidates: tuple[Candidate, ...] = ()
    bug: Exception | None = None


class Finding:
    """Holds the claims of one object, and keeps them in step with the pods that it is shown.

    Only the targets that are chosen are claimed.  While anything of it raises what it never
    should, the object has no claims at all.
    """

    def __init__(self, wanted: Wanted, contests: Contests, body_limit: int, target_limit: int | None = None) -> None:
        """`body_limit` (bytes) and `target_limit` are the operator's: the lower ones win."""
        self.wanted = wanted
        self._contests = contests
        self._body_limit = body_limit
        self._choice = Choice(wanted.ref, wanted.spec, target_limit)
        self._places: dict[ObjectRef, _Place] = {}
        self._bugs: dict[ObjectRef | None, Exception] = {}
        """By pod; None stands for the static targets."""
        self._static = _Place()
        contests.touched.add(wanted.ref)
        try:
            self._static = self._place(False, self._within(targets.of_static(wanted.spec, wanted.ref)))
        except Exception as bug:  # on one object: it must not end scraping for all
            self._bugs[None] = bug
        self._enter(self._choice.replace((), self._static.candidates).joined)

    @property
    def scope(self) -> Scope:
        """The namespaces whose pods it is to be shown."""
        spec = self.wanted.spec
        return Scope(frozenset()) if spec.selector is None else selector.namespaces(spec, self.wanted.ref.namespace)

    @property
    def bug(self) -> Exception | None:
        return next(iter(self._bugs.values()), None)

    def see(self, pod: Pod) -> None:
        """Take over what a pod in its scope is now."""
        self._put(pod.ref, self._look(pod))

    def miss(self, pod: ObjectRef) -> None:
        """Forget a pod that is no more."""
        self._put(pod, None)

    def leave(self, namespace: str) -> Steps[None]:
        """Forget the pods of a namespace that is no longer in its scope, in steps."""
        for pod in [pod for pod in self._places if pod.namespace == namespace]:
            yield
            self.miss(pod)

    def end(self) -> Steps[None]:
        """Withdraw all claims, in steps."""
        self._contests.touched.add(self.wanted.ref)
        for candidate in self._choice.chosen():
            self._leave([candidate])
            yield

    def plan(self) -> Steps[ObjectPlan]:
        """What the object leads to at this moment, in steps: as many as it has pods."""
        if self.bug is not None:
            return ObjectPlan(bug=self.bug)
        own, pods = self.wanted.ref.namespace, sorted(self._places.items())
        found = ObjectPlan(len(pods), sum(place.ready for _, place in pods))
        for place in (*(place for _, place in pods), self._static):
            yield
            self._sort_out(place, found)
        near = (place for ref, place in pods if ref.namespace == own)
        far = (place for ref, place in pods if ref.namespace != own)
        for place in (*near, self._static, *far):  # as their claims rank
            yield
            self._settle(place, found)
        return found

    def _sort_out(self, place: _Place, plan: ObjectPlan) -> None:
        plan.drops += place.found.drops
        for candidate in place.candidates:
            if self._choice.has(candidate):
                plan.targets.append(candidate.target)
            else:
                plan.drops.append(self._choice.drop(candidate))

    def _settle(self, place: _Place, plan: ObjectPlan) -> None:
        for claim in chain.from_iterable(one.claims for one in place.candidates if self._choice.has(one)):
            winner = self._contests.winner(claim)
            if winner is claim.scrape:
                plan.scrapes.append(claim.scrape)
            else:
                plan.duplicates.append(Duplicate(claim.scrape, winner))

    def _look(self, pod: Pod) -> _Place | None:
        """None for a pod that it does not select."""
        spec, known = self.wanted.spec, self._places.get(pod.ref)
        try:
            if spec.selector is None or not selector.matches(spec.selector, pod.labels):
                return None
            found = self._within(targets.of_pod(spec, self.wanted.ref, pod))
            if known and (known.found, known.ready) == (found, pod.ready):
                return known  # the same values again, which loops and contests hold already
            return self._place(pod.ready, found)
        except Exception as bug:  # on one object: it must not end scraping for all
            return _Place(bug=bug)

    def _within(self, found: Found) -> Found:
        return label_limit.within(self.wanted.spec.label_limit, found)

    def _place(self, ready: bool, found: Found) -> _Place:
        return _Place(ready, found, tuple(self._candidates(found)))

    def _candidates(self, found: Found) -> Iterator[Candidate]:
        for number, target in enumerate(found.targets):
            order = self._choice.order(target, number)
            mine = claims(self.wanted, target, number, self._body_limit) if self._choice.may(order) else ()
            yield Candidate(target, order, tuple(mine))

    def _put(self, pod: ObjectRef, after: _Place | None) -> None:
        before = self._places.pop(pod, None)
        if after is not None:
            self._places[pod] = after
        if before is after:
            return
        self._contests.touched.add(self.wanted.ref)
        bug, broken = after.bug if after else None, bool(self._bugs)
        if bug:
            self._leave(self._choice.chosen())
        moves = self._choice.replace(before.candidates if before else (), after.candidates if after else ())
        if not bug:
            self._leave(moves.left)
        self._note(pod, bug)
        self._enter(self._choice.chosen() if broken else moves.joined)

    def _note(self, pod: ObjectRef, bug: Exception | None) -> None:
        """From the first bug on there are no claims, and all of them after the last one."""
        self._bugs.pop(pod, None)
        if bug:
            self._bugs[pod] = bug

    def _enter(self, candidates: Iterable[Candidate]) -> None:
        if not self._bugs:
            for claim in chain.from_iterable(candidate.claims for candidate in candidates):
                self._contests.enter(claim)

    def _leave(self, candidates: Iterable[Candidate]) -> None:
        if not self._bugs:
            for claim in chain.from_iterable(candidate.claims for candidate in candidates):
                self._contests.withdraw(claim)
