"""Debian's packages, installed on demand where we may."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

_SECONDS = 300


class NotInstalled(Exception):
    """What is missing and can't be installed; says why."""


def install(packages: Sequence[str], part: str, cost: str) -> None:
    """Install packages. Needs root and apt; else, and where apt fails, NotInstalled.

    `part` and `cost` are for the line that says what takes so long.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotInstalled(f"as root, apt-get install {' '.join(packages)}")
    print(f"[{part}] installing {' '.join(packages)} from Debian ({cost})", file=sys.stderr, flush=True)
    started = time.monotonic()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        try:
            done = subprocess.run(
                ["apt-get", *command], env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise NotInstalled(f"apt-get {command[0]} took more than {_SECONDS} s") from error
        if done.returncode:
            raise NotInstalled(f"apt-get {command[0]} failed: {done.stderr[-500:]}")
    print(f"[{part}]   done in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
