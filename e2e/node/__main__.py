"""The tests on a real node: builds what they need, then runs them in namespaces of their own.

    python -m e2e.node [PYTEST-FLAGS]

With E2E_KUBECONFIG they run on that cluster instead, and build nothing: docs/testing.md. On a machine that can't be a
node they are skipped, loudly; with REQUIRE_NODE=1 that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from e2e.harness.build import NODE_PROGRAMS, ROOT, build_all
from e2e.node.images import build_images
from e2e.node.machine import NAMESPACES, Unfit, prepare
from e2e.node.node import remove_cgroup

_TESTS = ("-m", "pytest", "e2e/node", "-p", "no:cacheprovider")


def main(flags: list[str]) -> int:
    """Returns the exit code of the tests."""
    if os.environ.get("E2E_KUBECONFIG"):
        return subprocess.run([sys.executable, *_TESTS, *flags], cwd=ROOT, check=False).returncode
    try:
        prepare()
        build_all()
        build_all(NODE_PROGRAMS)
        build_images()
    except Unfit as reason:
        if os.environ.get("REQUIRE_NODE"):
            print(f"[node] FAILED, and REQUIRE_NODE is set: {reason}", file=sys.stderr)
            return 1
        print(f"[node] SKIPPED, nothing is known of the chart on a real node: {reason}", file=sys.stderr)
        return 0
    return _run(flags)


def _run(flags: list[str]) -> int:
    folder = Path(tempfile.mkdtemp(prefix="e2e-node-"))
    cgroup = folder.name
    environment = {**os.environ, "E2E_NODE_CGROUP": cgroup}
    command = [*NAMESPACES, sys.executable, "-m", "e2e.node.inside", *_TESTS, f"--basetemp={folder / 'tests'}", *flags]
    try:
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    finally:
        remove_cgroup(cgroup)
        for store in folder.glob("tests/**/containerd"):
            shutil.rmtree(store, ignore_errors=True)
    if code:
        print(f"[node] logs of all parts are in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
