"""What `check` says of a text."""

from __future__ import annotations

import io

from pyroscope_operator.check.finding import Finding, Report
from pyroscope_operator.check.inspect import Inspector

HEAD = "apiVersion: pyroscope-operator.dev/v1alpha1\nkind: PyroscopeScrape\nmetadata: {name: a}\n"
"""Three lines; `spec` follows in the fourth."""


def report(*texts: str) -> Report:
    """Of the files f0, f1, …"""
    inspector = Inspector()
    for number, text in enumerate(texts):
        inspector.inspect(f"f{number}", io.BytesIO(text.encode()))
    return inspector.report


def findings(*texts: str) -> list[Finding]:
    return report(*texts).findings


def told(*texts: str) -> list[tuple[int, str, str]]:
    """(line, path, reason) of each finding."""
    return [(finding.at.line, finding.path, finding.reason) for finding in findings(*texts)]
