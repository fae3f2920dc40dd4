"""Vets and tests the testbed's own Go code.

python -m e2e.harness.gotest
"""

import itertools
import subprocess
import sys

from e2e.harness.build import ROOT, go_environment

_MODULES = ("e2e/testbed", "e2e/tools/relabel")
_COMMANDS = (["gofmt", "-l", "."], ["go", "vet", "./..."], ["go", "test", "./..."])


def main() -> int:
    for module, command in itertools.product(_MODULES, _COMMANDS):
        done = subprocess.run(command, cwd=ROOT / module, env=go_environment(), stdout=subprocess.PIPE, text=True, check=False)
        sys.stdout.write(done.stdout)
        if done.returncode or (command[0] == "gofmt" and done.stdout):
            return done.returncode or 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
