"""What `check` found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pyroscope_operator.manifest.node import Position

MAX_FINDINGS = 1000
"""Findings kept in all; more are only counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong in a file, or (`note`) that depends on where the object is applied."""

    file: str
    at: Position
    """0 where it is about the file as a whole."""
    subject: str
    """Kind, namespace and name of the object; empty: it is about the file."""
    path: str
    """JSON path of the wrong field; may be empty."""
    reason: str
    """That of the condition Accepted which the operator would set; InvalidManifest where it would not come to that."""
    message: str
    note: bool = False

    def __str__(self) -> str:
        where = [self.file, *(str(number) for number in self.at if number)]
        what = ["note"] * self.note + [part for part in (self.subject, self.path) if part]
        return _printable(f"{':'.join(where)}: {': '.join([*what, self.message])}")

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.at.line,
            "column": self.at.column,
            "object": self.subject,
            "path": self.path,
            "reason": self.reason,
            "message": self.message,
            "severity": "note" if self.note else "error",
        }


@dataclass
class Report:
    """All that was found, in the order of the files."""

    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """files, objects, others (documents of other kinds), errors, notes."""

    def add(self, *findings: Finding) -> None:
        for finding in findings:
            self.counts["notes" if finding.note else "errors"] += 1
            if len(self.findings) < MAX_FINDINGS:
                self.findings.append(finding)

    @property
    def left_out(self) -> int:
        """Findings that were only counted."""
        return self.counts["errors"] + self.counts["notes"] - len(self.findings)

    def summary(self) -> str:
        """One line about everything."""
        count = self.counts
        found = f"checked {_number(count['objects'], 'object')} in {_number(count['files'], 'file')}: "
        found += f"{_number(count['errors'], 'error')}, {_number(count['notes'], 'note')}"
        return found + (f" ({_number(count['others'], 'document')} of other kinds not looked at)" if count["others"] else "")


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _printable(text: str) -> str:
    """`text` on one line and without control characters: keys of maps, and names, may have anything in them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
