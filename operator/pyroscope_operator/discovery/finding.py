"""What one object finds, pod by pod."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from pyroscope_operator.discovery import selector, targets
from pyroscope_operator.discovery.claim import Claim, Duplicate, claims
from pyroscope_operator.discovery.contests import Contests
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.selector import Scope
from pyroscope_operator.discovery.targets import Found
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.model.ref import ObjectRef

_NOTHING = Found()


@dataclass(frozen=True, slots=True)
class _Place:
    """A selected pod, or the static targets, and what comes of it."""

    ready: bool = False
    found: Found = _NOTHING
    claims: tuple[Claim, ...] = ()
    bug: Exception | None = None


class Finding:
    """Holds the claims of one object, and keeps them in step with the pods that it is shown.

    While anything of it raises what it never should, the object has no claims at all.
    """

    def __init__(self, wanted: Wanted, contests: Contests, body_limit: int) -> None:
        self.wanted = wanted
        self._contests = contests
        self._body_limit = body_limit
        self._places: dict[ObjectRef, _Place] = {}
        self._bugs: dict[ObjectRef | None, Exception] = {}
        """By pod; None stands for the static targets."""
        self._static = _Place()
        contests.touched.add(wanted.ref)
        try:
            self._static = self._place(False, targets.of_static(wanted.spec, wanted.ref))
        except Exception as bug:  # on one object: it must not end scraping for all
            self._bugs[None] = bug
        self._enter(self._static)

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

    def leave(self, namespace: str) -> None:
        """Forget the pods of a namespace that is no longer in its scope."""
        for pod in [pod for pod in self._places if pod.namespace == namespace]:
            self.miss(pod)

    def end(self) -> None:
        """Withdraw all claims."""
        for place in self._all():
            self._leave(place)
        self._contests.touched.add(self.wanted.ref)

    def plan(self) -> ObjectPlan:
        """What the object leads to at this moment; costs as much as it has pods."""
        if self.bug is not None:
            return ObjectPlan(bug=self.bug)
        pods = [place for _, place in sorted(self._places.items())]
        found = ObjectPlan(len(pods), sum(place.ready for place in pods))
        for place in (*pods, self._static):
            found.targets += place.found.targets
            found.drops += place.found.drops
        mine = chain.from_iterable(place.claims for place in self._all())
        for claim in sorted(mine, key=lambda claim: claim.order):
            winner = self._contests.winner(claim)
            if winner is claim.scrape:
                found.scrapes.append(claim.scrape)
            else:
                found.duplicates.append(Duplicate(claim.scrape, winner))
        return found

    def _look(self, pod: Pod) -> _Place | None:
        """None for a pod that it does not select."""
        spec, known = self.wanted.spec, self._places.get(pod.ref)
        try:
            if spec.selector is None or not selector.matches(spec.selector, pod.labels):
                return None
            found = targets.of_pod(spec, self.wanted.ref, pod)
            if known and (known.found, known.ready) == (found, pod.ready):
                return known  # the same values again, which loops and contests hold already
            return self._place(pod.ready, found)
        except Exception as bug:  # on one object: it must not end scraping for all
            return _Place(bug=bug)

    def _place(self, ready: bool, found: Found) -> _Place:
        mine = (claims(self.wanted, target, number, self._body_limit) for number, target in enumerate(found.targets))
        return _Place(ready, found, tuple(chain.from_iterable(mine)))

    def _put(self, pod: ObjectRef, after: _Place | None) -> None:
        before = self._places.get(pod)
        if before is after:
            return
        self._contests.touched.add(self.wanted.ref)
        if before:
            self._leave(before)
            del self._places[pod]
        self._note(pod, after.bug if after else None)
        if after:
            self._places[pod] = after
            self._enter(after)

    def _note(self, pod: ObjectRef, bug: Exception | None) -> None:
        """Have no claims from the first bug on, and all of them after the last one."""
        broken = bool(self._bugs)
        if bug and not broken:
            for place in self._all():
                self._leave(place)
        self._bugs.pop(pod, None)
        if bug:
            self._bugs[pod] = bug
        elif broken and not self._bugs:
            for place in self._all():
                self._enter(place)

    def _all(self) -> chain[_Place]:
        return chain(self._places.values(), (self._static,))

    def _enter(self, place: _Place) -> None:
        if not self._bugs:
            for claim in place.claims:
                self._contests.enter(claim)

    def _leave(self, place: _Place) -> None:
        if not self._bugs:
            for claim in place.claims:
                self._contests.withdraw(claim)
