"""What is wrong with one object: its problems, those of its kind and metadata included."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyroscope_operator.api import API_VERSION, GROUP
from pyroscope_operator.api.formats import HINTS, LABEL_KEY, LABEL_VALUE
from pyroscope_operator.api.kinds import KINDS, kind_meant, kind_named
from pyroscope_operator.api.load import MAX_PROBLEMS, load, no_field
from pyroscope_operator.api.scrape import PyroscopeScrape
from pyroscope_operator.engine.verdict import CROSSING, PRIVILEGED, crossing_credentials, privileged_fields
from pyroscope_operator.errors import Problem, SpecError

_META = (
    "name", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "generateName",
    "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "managedFields", "selfLink",
)  # fmt: skip
"""Fields of metadata, those that only the API server sets last."""
_LONGEST_KEY = 317


@dataclass(frozen=True, slots=True)
class Judged:
    """A problem with the reason that the operator, or the API server in its place, would give."""

    reason: str
    problem: Problem
    note: bool = False
    """It is no error everywhere: the operator's settings decide."""


def ours(manifest: Any) -> bool:
    """Whether a document is meant to be one of our objects, its kind or version misspelt perhaps."""
    if not isinstance(manifest, Mapping):
        return False
    version = manifest.get("apiVersion")
    return kind_meant(manifest.get("kind")) is not None or (isinstance(version, str) and version.partition("/")[0] == GROUP)


def judge(manifest: Mapping[str, Any]) -> list[Judged]:
    """What is wrong with an object of ours. Bounded in number; no message holds a value."""
    wrong = [Judged("InvalidManifest", problem) for problem in _kind_problems(manifest)]
    kind = kind_named(manifest.get("kind"))
    if kind is None:
        return wrong  # it is not known what the rest should be
    metadata = [Judged("InvalidManifest", problem) for problem in _metadata_problems(manifest.get("metadata"))]
    try:
        found = load(kind, {**manifest, "apiVersion": API_VERSION})
    except SpecError as error:
        return (wrong + metadata + [Judged(error.reason, problem) for problem in error.problems])[:MAX_PROBLEMS]
    consequences = _consequences(found) if isinstance(found, PyroscopeScrape) else ()
    return (wrong + metadata + list(consequences))[:MAX_PROBLEMS]


def _kind_problems(manifest: Mapping[str, Any]) -> Iterator[Problem]:
    if manifest.get("apiVersion") != API_VERSION:
        yield Problem(("apiVersion",), f"must be {API_VERSION}")
    name = manifest.get("kind")
    if kind_named(name) is None:
        meant = kind_meant(name)
        known = " or ".join(map(str, KINDS))
        yield Problem(("kind",), f"did you mean {meant}?" if meant else f"must be {known}, the kinds of {GROUP}")


def _metadata_problems(metadata: Any) -> Iterator[Problem]:
    """What the API server refuses in metadata, beside what the models see to: name and namespace."""
    if not isinstance(metadata, Mapping):
        return
    for field in metadata:
        if field not in _META:
            yield Problem(("metadata", field), no_field(field, _META[:4]))
    for field, wanted in (("labels", LABEL_VALUE), ("annotations", None)):
        entries = metadata.get(field)
        if isinstance(entries, Mapping):
            for key, value in entries.items():
                yield from (Problem(("metadata", field, key), message) for message in _entry_problems(key, value, wanted))
        elif entries is not None:
            yield Problem(("metadata", field), "must be an object with fields")


def _entry_problems(key: str, value: Any, wanted: str | None) -> Iterator[str]:
    """What is wrong with a label, or with an annotation (`wanted` None: any text is fine)."""
    if len(key) > _LONGEST_KEY or not re.fullmatch(LABEL_KEY, key if wanted else key.lower()):
        yield HINTS[LABEL_KEY].replace("label", "label" if wanted else "label or annotation")
    if not isinstance(value, str | None):
        yield "must be a string: write it in quotes"
    elif wanted and value and not re.fullmatch(wanted, value):
        yield HINTS[wanted]


def _consequences(found: PyroscopeScrape) -> Iterator[Judged]:
    """What the operator would say of a valid object."""
    for path in privileged_fields(found.spec, found.metadata.namespace):
        message = f"{PRIVILEGED[path]} are for objects in privileged namespaces only (operator setting privilegedNamespaces)"
        yield Judged("NamespaceNotAllowed", Problem(tuple(path.split(".")), message), note=True)
    for path in crossing_credentials(found.spec, found.metadata.namespace):
        message = f"{CROSSING} unless the operator's setting crossNamespaceCredentials is true"
        yield Judged("NamespaceNotAllowed", Problem(tuple(path.split(".")), message), note=True)
