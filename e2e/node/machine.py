"""Whether this machine can be a node, and what must be installed for that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from e2e.harness.debian import NotInstalled, install

_PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
}
"""The package of each program."""
CNI_PLUGINS = Path("/usr/lib/cni")
_CNI_PACKAGE = "containernetworking-plugins"
CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
"""The command before a command: whatever that mounts, starts or routes is gone when it ends."""


class Unfit(Exception):
    """This machine can't be a node; says why, and what would help."""


def prepare() -> None:
    """Install what is missing. Raises Unfit."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Unfit("a node needs root on Linux: sudo make e2e-node")
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    wanted = {package for program, package in _PROGRAMS.items() if shutil.which(program, path=path) is None}
    if not (CNI_PLUGINS / "ptp").exists():
        wanted.add(_CNI_PACKAGE)
    if wanted:
        _install(sorted(wanted))
    _try("namespaces", *NAMESPACES, "true")
    for hierarchy in cgroup_hierarchies():
        _check_writable(hierarchy)


def _install(packages: list[str]) -> None:
    try:
        install(packages, "node", "about 300 MB, 20 s")
    except NotInstalled as reason:
        raise Unfit(str(reason)) from reason
    if "containerd" in packages and Path("/run/systemd/system").exists():
        # Ours is another one, which ends with the tests.
        subprocess.run(["systemctl", "disable", "--now", "containerd"], check=False, capture_output=True)


def _try(what: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unfit(f"{what} of its own can't be had here, as in a container without privileges: {done.stderr.strip()[-300:]}")


def cgroup_hierarchies() -> list[Path]:
    """Where cgroups are mounted: one folder with version 2, one for each controller before."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return sorted(folder for folder in CGROUPS.iterdir() if (folder / "cgroup.procs").exists())


def _check_writable(hierarchy: Path) -> None:
    probe = hierarchy / f"e2e-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise Unfit(f"cgroups can't be made in {hierarchy}: {error.strerror}; run privileged") from error


def overlays(folder: Path) -> bool:
    """Whether overlay file systems can be mounted from this folder: not where that is one itself."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        parts = {name: Path(scratch) / name for name in ("lowerdir", "upperdir", "workdir", "merged")}
        for part in parts.values():
            part.mkdir()
        options = ",".join(f"{name}={parts[name]}" for name in ("lowerdir", "upperdir", "workdir"))
        command = ["mount", "-t", "overlay", "overlay", "-o", options, parts["merged"]]
        inside = ["unshare", "--mount", *map(str, command)]
        return subprocess.run(inside, capture_output=True, check=False).returncode == 0
