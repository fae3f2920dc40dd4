"""Runs make targets one after another and says how long each took: the table in docs/testing.md.

python -m e2e.harness.stage check unit …
"""

from __future__ import annotations

import subprocess
import sys
import time


def main(stages: list[str]) -> int:
    """Stops at the first stage that fails; returns its exit code."""
    took: list[tuple[str, float]] = []
    code = 0
    for stage in stages:
        print(f"[test] {stage}", file=sys.stderr, flush=True)
        started = time.monotonic()
        code = subprocess.run(["make", "--no-print-directory", stage], check=False).returncode
        took.append((stage, time.monotonic() - started))
        if code:
            break
    for stage, seconds in [*took, ("all", sum(seconds for _, seconds in took))]:
        print(f"[test] {stage:<10} {int(seconds) // 60:3d} min {seconds % 60:4.0f} s", file=sys.stderr)
    if code:
        print(f"[test] {took[-1][0]} failed", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
