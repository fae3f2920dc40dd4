"""Whether an object is accepted: the answer to "is my manifest right?"."""

from __future__ import annotations

from dataclasses import dataclass

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.api.unbuilt import unbuilt
from pyroscope_operator.discovery import selector
from pyroscope_operator.engine.access import credentials
from pyroscope_operator.engine.store import ScrapeObject

PRIVILEGED = {"spec.namespaceSelector": "other namespaces", "spec.staticTargets": "targets that are no pods"}
"""What only objects in privileged namespaces may have: JSON path → in words."""
CROSSING = "credentials are not sent to pods of other namespaces"
_MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Policy:
    """What the admin allows, by settings."""

    privileged_namespaces: frozenset[str] | None
    """Objects here may look at other namespaces and name static targets; None: all may."""
    body_limit: int
    """Bytes of a profile, at most, compressed and uncompressed."""
    cross_namespace_credentials: bool = False
    """Whether pods of other namespaces may see the credentials of an object."""


@dataclass(frozen=True, slots=True)
class Verdict:
    reason: str
    message: str

    @property
    def accepted(self) -> bool:
        return self.reason == "Accepted"


def judge(found: ScrapeObject, policy: Policy) -> Verdict:
    """The verdict on one object; a reason of the Accepted condition and a text with the fix."""
    if found.spec is None:
        message = found.problem.message if found.problem else "the object is invalid"
        return Verdict("InvalidSpec", message if len(message) <= _MAX_MESSAGE else message[: _MAX_MESSAGE - 1] + "…")
    if missing := unbuilt(found.spec):
        return Verdict("NotImplemented", f"this release can't do {', '.join(missing)} yet: remove it from the object")
    return _permitted(found.spec, found.ref.namespace, policy) or Verdict("Accepted", "the object is valid")


def privileged_fields(spec: PyroscopeScrapeSpec, own: str) -> list[str]:
    """JSON paths of what only objects in privileged namespaces may have; `own` is the namespace of this one."""
    elsewhere = selector.namespaces(spec, own) != frozenset({own})
    return ["spec.namespaceSelector"] * elsewhere + ["spec.staticTargets"] * bool(spec.static_targets)


def crossing_credentials(spec: PyroscopeScrapeSpec, own: str) -> list[str]:
    """JSON paths of credentials that pods of other namespaces than `own` would see; static targets are its own choice."""
    crossing = spec.selector is not None and selector.namespaces(spec, own) != frozenset({own})
    return credentials(spec) if crossing else []


def _permitted(spec: PyroscopeScrapeSpec, own: str, policy: Policy) -> Verdict | None:
    privileged = policy.privileged_namespaces
    if privileged is not None and own not in privileged:
        for path in privileged_fields(spec, own):
            return Verdict(
                "NamespaceNotAllowed",
                f"{path}: {PRIVILEGED[path]} are for objects in privileged namespaces; "
                f"{own!r} is none of them (operator setting privilegedNamespaces)",
            )
    if not policy.cross_namespace_credentials:
        for path in crossing_credentials(spec, own):
            return Verdict(
                "NamespaceNotAllowed",
                f"{path}: {CROSSING}: remove spec.namespaceSelector, or have the administrator allow it "
                "(operator setting crossNamespaceCredentials)",
            )
    return None
