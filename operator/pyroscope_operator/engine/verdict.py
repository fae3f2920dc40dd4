"""Whether an object is accepted: the answer to "is my manifest right?"."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from pyroscope_operator.api import duration
from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery import selector
from pyroscope_operator.engine.access import credentials
from pyroscope_operator.engine.namespaces import Knowledge
from pyroscope_operator.engine.store import ScrapeObject
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.endpoint import FLAGS

PRIVILEGED = {"spec.namespaceSelector": "other namespaces", "spec.staticTargets": "targets that are no pods"}
"""What only objects in privileged namespaces may have: JSON path → in words."""
CROSSING = "credentials are not sent to pods of other namespaces"
_SELECTOR = "spec.namespaceSelector"
_NOT_ALLOWED = "NamespaceNotAllowed"
_PENDING = "NamespacesPending"
_MAX_NAMED = 3
"""Namespaces that a message names."""
_MAX_MESSAGE = 1024
_WRITE_NOT_FOUND = "WriteNotFound"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the admin allows, by settings."""

    privileged_namespaces: frozenset[str] | None
    """Objects here may look at other namespaces and name static targets; None: all may."""
    body_limit: int
    """Bytes of a profile, at most, compressed and uncompressed."""
    cross_namespace_credentials: bool = False
    """Whether pods of other namespaces may see the credentials of an object."""
    default_write: ObjectRef | None = FLAGS
    """Where the profiles of objects without forwardTo go: the flags' write, or a PyroscopeWrite; None: nowhere."""
    watched_namespaces: frozenset[str] | None = None
    """The only ones whose pods and objects the operator knows; None: it knows all."""
    target_limit: int | None = None
    """Targets of one object at most; None: as many as it finds."""
    min_interval: float = 1.0
    """Seconds from one scrape of a target to the next, at least."""

    def paced(self, spec: PyroscopeScrapeSpec) -> PyroscopeScrapeSpec:
        """`spec` with an interval that is allowed; what it says of profiles follows, unless it says it itself."""
        if spec.interval_seconds >= self.min_interval:
            return spec
        return spec.model_copy(update={"interval": duration.render(self.min_interval)})


@dataclass(frozen=True, slots=True)
class Verdict:
    reason: str
    message: str

    @property
    def accepted(self) -> bool:
        return self.reason == "Accepted"

    @property
    def pending(self) -> bool:
        """Whether it will be another one soon, though nobody changes the object."""
        return self.reason == _PENDING


ACCEPTED = Verdict("Accepted", "the object is valid")


def invalid(message: str) -> Verdict:
    """The verdict on an object whose spec is wrong."""
    return Verdict("InvalidSpec", message if len(message) <= _MAX_MESSAGE else message[: _MAX_MESSAGE - 1] + "…")


def judge(found: ScrapeObject, policy: Policy, writes: Container[ObjectRef] = ()) -> Verdict:
    """The verdict on a PyroscopeScrape; a reason of the Accepted condition and a text with the fix.

    `writes` are the PyroscopeWrites that exist.
    """
    if found.spec is None:
        return invalid(found.problem.message if found.problem else "the object is invalid")
    own = found.ref.namespace
    wrong = _permitted(found.spec, own, policy) or _written(found.spec.writes(own), policy.default_write, writes)
    return wrong or _accepted(found.spec, policy)


def _accepted(spec: PyroscopeScrapeSpec, policy: Policy) -> Verdict:
    interval = policy.paced(spec).interval
    if interval == spec.interval:
        return ACCEPTED
    return Verdict("Accepted", f"{ACCEPTED.message}; spec.interval is raised to {interval} (operator setting minInterval)")


def without_namespaces(spec: PyroscopeScrapeSpec, knowledge: Knowledge) -> Verdict | None:
    """What keeps a valid object from being used: it selects namespaces by labels, which are not known."""
    if knowledge is Knowledge.LISTED or not selector.needs_namespaces(spec):
        return None
    if knowledge is Knowledge.PENDING:
        return Verdict(_PENDING, f"{_SELECTOR}: the API server has not listed the namespaces and their labels yet")
    return Verdict(
        "NamespacesUnreadable",
        f"{_SELECTOR}: the operator may not list namespaces: have the administrator grant list and watch on namespaces, "
        "or select them by matchNames",
    )


def _written(names: Sequence[ObjectRef], default: ObjectRef | None, writes: Container[ObjectRef]) -> Verdict | None:
    """Whether there is where the profiles are to go."""
    if missing := [str(write) for write in names if write not in writes]:
        return Verdict(
            _WRITE_NOT_FOUND, f"spec.forwardTo: there is no PyroscopeWrite {', '.join(missing)}: create it or rename it"
        )
    if names or default == FLAGS:
        return None
    if default is None:
        return Verdict(_WRITE_NOT_FOUND, "no default write: set spec.forwardTo or the operator's --pyroscope-url")
    if default not in writes:
        message = f"no default write: set spec.forwardTo, or create the PyroscopeWrite {default} (operator setting defaultWrite)"
        return Verdict(_WRITE_NOT_FOUND, message)
    return None


def privileged_fields(spec: PyroscopeScrapeSpec, own: str) -> list[str]:
    """JSON paths of what only objects in privileged namespaces may have; `own` is the namespace of this one."""
    elsewhere = not selector.namespaces(spec, own).within(frozenset({own}))
    return [_SELECTOR] * elsewhere + ["spec.staticTargets"] * bool(spec.static_targets)


def crossing_credentials(spec: PyroscopeScrapeSpec, own: str) -> list[str]:
    """JSON paths of credentials that pods of other namespaces than `own` would see; static targets are its own choice."""
    crossing = spec.selector is not None and not selector.namespaces(spec, own).within(frozenset({own}))
    return credentials(spec) if crossing else []


def _permitted(spec: PyroscopeScrapeSpec, own: str, policy: Policy) -> Verdict | None:
    privileged = policy.privileged_namespaces
    if privileged is not None and own not in privileged:
        for path in privileged_fields(spec, own):
            return Verdict(
                _NOT_ALLOWED,
                f"{path}: {PRIVILEGED[path]} are for objects in privileged namespaces; "
                f"{own!r} is none of them (operator setting privilegedNamespaces)",
            )
    if not policy.cross_namespace_credentials:
        for path in crossing_credentials(spec, own):
            return Verdict(
                _NOT_ALLOWED,
                f"{path}: {CROSSING}: remove spec.namespaceSelector, or have the administrator allow it "
                "(operator setting crossNamespaceCredentials)",
            )
    return next(_unwatched(spec, own, policy.watched_namespaces), None)


def _unwatched(spec: PyroscopeScrapeSpec, own: str, watched: frozenset[str] | None) -> Iterator[Verdict]:
    """What an object can't have of an operator that watches these namespaces only."""
    if watched is None:
        return
    if selector.needs_namespaces(spec):
        yield Verdict(
            _NOT_ALLOWED,
            f"{_SELECTOR}: labels of namespaces are not known to an operator that watches some namespaces only "
            "(operator setting watchNamespaces): name them in matchNames",
        )
    names = selector.namespaces(spec, own).names
    if missing := sorted((names or frozenset()) - watched):
        named = ", ".join(map(repr, missing[:_MAX_NAMED])) + (
            f" and {len(missing) - _MAX_NAMED} more" * (len(missing) > _MAX_NAMED)
        )
        yield Verdict(
            _NOT_ALLOWED,
            f"{_SELECTOR}.matchNames: the operator does not watch {named} (operator setting watchNamespaces): "
            "remove it, or have the administrator add it",
        )
