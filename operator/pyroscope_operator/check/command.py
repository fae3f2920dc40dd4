"""The command line of `check`."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pyroscope_operator.check.finding import Report
from pyroscope_operator.check.inspect import Inspector

STDIN = "<stdin>"

_DESCRIPTION = """\
Checks PyroscopeScrapes and PyroscopeWrites in files, without a cluster: what the API server would refuse, what the operator
would not accept, keys and objects that are there twice. Each problem is told as FILE:LINE:COLUMN: OBJECT: FIELD: what to do.
A note tells what depends on the operator's settings; it is no error. Documents of other kinds are not looked at. An object
without namespace counts as one of the namespace default.
"""
_EPILOG = """\
exit code:
  0  everything is fine, notes aside
  1  something is wrong, or there is no object of ours at all
  2  a FILE can't be read, or the command line is wrong
"""


def run(arguments: Sequence[str]) -> int:
    """Check files; prints what was found and returns the exit code."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a message must not fail because of the terminal
    inspector = Inspector()
    unreadable = [name for name in options.files if not _inspected(inspector, name)]
    report = inspector.report
    _print(_as_json(report) if options.output == "json" else _as_text(report))
    nothing = not report.counts["objects"] and not report.findings
    if nothing and not unreadable:
        sys.stderr.write(
            "pyroscope-operator: nothing was checked: there is no PyroscopeScrape or PyroscopeWrite in these files\n"
        )
    return 2 if unreadable else 1 if report.counts["errors"] or nothing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyroscope-operator check",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="YAML or JSON, with one or more documents; - is standard input")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="for people (the default), or for programs")
    return parser


def _inspected(inspector: Inspector, name: str) -> bool:
    """Look at a file; False, and told, if it can't be read."""
    try:
        if name == "-":
            inspector.inspect(STDIN, sys.stdin.buffer)
        else:
            with Path(name).open("rb") as stream:
                inspector.inspect(name, stream)
    except OSError as error:
        sys.stderr.write(f"pyroscope-operator: {name}: {error.strerror}\n")
        return False
    return True


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # as in `check … | head`: who reads has seen enough, and Python must not complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_text(report: Report) -> str:
    lines = [str(finding) for finding in report.findings]
    if report.left_out:
        lines.append(f"… and {report.left_out} more")
    return "\n".join([*lines, report.summary()]) + "\n"


def _as_json(report: Report) -> str:
    counts = {name: report.counts[name] for name in ("files", "objects", "others", "errors", "notes")}
    return json.dumps({**counts, "findings": [finding.as_json() for finding in report.findings]}, indent=2) + "\n"
