"""The first process of the node's namespaces: makes them a node's, runs the tests, and buries what has lost its parents.

Not to be called by hand; e2e/node/__main__.py does.
"""

from __future__ import annotations

import os
import sys

from e2e.node.node import enter, make_cgroup


def main(command: list[str]) -> int:
    enter()
    make_cgroup(os.environ["E2E_NODE_CGROUP"])
    child = os.posix_spawn(sys.executable, [sys.executable, *command], os.environ)
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
