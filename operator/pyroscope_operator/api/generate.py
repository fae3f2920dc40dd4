"""Writes the files that are made from the models: `python -m pyroscope_operator.api.generate [--check]`.

Run in the root of the repository. With `--check` nothing is written, and the exit code
is 1 when a file differs from what would be written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pyroscope_operator.api import crd, reference

EXAMPLES = {
    "A minimal one": "docs/examples/pyroscopescrape-minimal.yaml",
    "One with every field": "docs/examples/pyroscopescrape-full.yaml",
}
_HEADER = "# Made by `make generate` from the models in operator/pyroscope_operator/api: do not edit.\n"


def generated(root: Path) -> dict[str, str]:
    """Path below `root` → contents of every generated file."""
    examples = {title: (root / path).read_text(encoding="utf-8") for title, path in EXAMPLES.items()}
    crds = {f"crds/{name}": _HEADER + text for name, text in crd.documents().items()}
    return {**crds, "docs/api.md": reference.reference(examples)}


def outdated(root: Path) -> list[str]:
    """Generated files below `root` that differ from what the models say, or are missing."""
    files = generated(root)
    return [p for p, text in files.items() if not (root / p).is_file() or (root / p).read_text(encoding="utf-8") != text]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes or checks; the exit code."""
    parser = argparse.ArgumentParser(description="Generate the CRDs and the API reference from the models.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file is out of date")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository (default: .)")
    args = parser.parse_args(argv)
    differing = outdated(args.root)
    if not args.check:
        for path in differing:
            (args.root / path).write_text(generated(args.root)[path], encoding="utf-8")
    for path in differing:
        sys.stdout.write(f"{path} is out of date: run make generate\n" if args.check else f"wrote {path}\n")
    return 1 if args.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
