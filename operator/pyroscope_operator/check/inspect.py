"""Files → findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from pyroscope_operator.api.kinds import kind_meant
from pyroscope_operator.api.load import MAX_PROBLEMS
from pyroscope_operator.check.finding import Finding, Report
from pyroscope_operator.check.judgement import Judged, judge, ours
from pyroscope_operator.errors import ManifestError, Problem
from pyroscope_operator.manifest.node import Node, Position
from pyroscope_operator.manifest.objects import is_list, objects
from pyroscope_operator.manifest.read import documents
from pyroscope_operator.model.ref import ObjectRef

_NESTED = "a list must have items, and none of them may be a list: kubectl refuses it"


class Inspector:
    """Looks at files one after the other, and at what they have in common."""

    def __init__(self) -> None:
        self.report = Report()
        self._seen: dict[tuple[str, ObjectRef], str] = {}
        """Where each object was met first."""

    def inspect(self, file: str, stream: BinaryIO) -> None:
        """Look at one file. OSErrors of `stream` pass through."""
        try:
            for document in documents(file, stream):
                for node in objects(document):
                    self._inspect(file, node)
        except ManifestError as error:
            self.report.add(Finding(file, Position(error.line, error.column), "", "", error.reason, error.problem))
        self.report.counts["files"] += 1

    def _inspect(self, file: str, node: Node) -> None:
        manifest = node.plain()
        if isinstance(manifest, Mapping) and is_list(manifest.get("kind")):
            self.report.add(Finding(file, node.at, "", "", "InvalidManifest", _NESTED))
        elif not ours(manifest):
            self.report.counts["others"] += 1
        else:
            self.report.counts["objects"] += 1
            self.report.add(*self._findings(file, node, manifest))

    def _findings(self, file: str, node: Node, manifest: Mapping[str, Any]) -> list[Finding]:
        ref, subject = _named(manifest)
        flaws = [(at, Judged("InvalidManifest", problem)) for at, problem in node.problems()][:MAX_PROBLEMS]
        told = {judged.problem.place for _, judged in flaws}
        judged = [*judge(manifest), *self._repeated(manifest, ref, f"{file}:{node.at.line}")]
        found = flaws + [(node.locate(one.problem.place), one) for one in judged if one.problem.place not in told]
        return [
            Finding(file, at, subject, one.problem.path, one.reason, one.problem.message, one.note)
            for at, one in sorted(found, key=lambda pair: pair[0])
        ]

    def _repeated(self, manifest: Mapping[str, Any], ref: ObjectRef | None, where: str) -> list[Judged]:
        """That this object was there before, if it was."""
        if ref is None:
            return []
        meant = kind_meant(manifest.get("kind"))
        key = (meant.name if meant else "", ref)
        if key not in self._seen:
            self._seen[key] = where
            return []
        message = f"the same object is also in {self._seen[key]}: rename or remove one of them"
        return [Judged("InvalidManifest", Problem(("metadata", "name"), message))]


def _named(manifest: Mapping[str, Any]) -> tuple[ObjectRef | None, str]:
    """The object, None if its name is none; and how to call it."""
    meta = manifest.get("metadata")
    name, namespace = (meta.get("name"), meta.get("namespace")) if isinstance(meta, Mapping) else (None, None)
    kind = manifest.get("kind")
    called = kind[:63] if isinstance(kind, str) else "object"
    if not isinstance(name, str) or not isinstance(namespace, str | None):
        return None, f"{called} without a name"
    ref = ObjectRef(namespace or "default", name)
    return ref, f"{called} {ref.namespace[:63]}/{ref.name[:253]}"
