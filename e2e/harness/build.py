"""Builds the pinned Go programs of the testbed, once, and says what takes long.

python -m e2e.harness.build
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("PYROSCOPE_OPERATOR_CACHE", ROOT / ".cache"))
BIN = CACHE / "bin"
_TICK_SECONDS = 15
_KUBERNETES = "v1.36.3"
_VERSION_FLAGS = " ".join(
    f"-X k8s.io/component-base/version.{name}={value}"
    # An API server without a version calls itself v0.0.0-master, and clients refuse it.
    for name, value in (("gitVersion", _KUBERNETES), ("gitMajor", "1"), ("gitMinor", "36"))
)
# Without them, Helm takes what it renders without a cluster to be for Kubernetes 1.20, and the chart refuses that.
_HELM_FLAGS = " ".join(
    f"-X helm.sh/helm/v3/pkg/{package}.k8sVersion{name}={value}"
    for package in ("chartutil", "lint/rules")
    for name, value in (("Major", "1"), ("Minor", "36"))
)


@dataclass(frozen=True)
class Program:
    name: str
    module: Path
    """Folder of its go.mod."""
    package: str
    ldflags: str = "-s -w"
    note: str = ""
    """How long the first build takes on two cores."""

    @property
    def binary(self) -> Path:
        return BIN / self.name

    def fingerprint(self) -> str:
        """Changes with everything that the build depends on."""
        digest = hashlib.sha256(f"{self.package} {self.ldflags}".encode())
        files = [self.module / "go.mod", self.module / "go.sum", *self.module.rglob("*.go")]
        for file in sorted(files):
            digest.update(file.relative_to(self.module).as_posix().encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()


_TOOLS, _TESTBED = ROOT / "e2e/tools", ROOT / "e2e/testbed"
PROGRAMS = (
    Program("etcd", _TOOLS / "etcd", "go.etcd.io/etcd/server/v3", note="about 1 min"),
    Program(
        "kube-apiserver",
        _TOOLS / "kubernetes",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        f"-s -w {_VERSION_FLAGS}",
        "about 4 min",
    ),
    Program("kubectl", _TOOLS / "kubernetes", "k8s.io/kubernetes/cmd/kubectl", f"-s -w {_VERSION_FLAGS}", "about 30 s"),
    Program("helm", _TOOLS / "helm", "helm.sh/helm/v3/cmd/helm", f"-s -w {_HELM_FLAGS}", "about 90 s"),
    Program("relabel", _TOOLS / "relabel", ".", note="about 20 s"),
    Program("rules", _TOOLS / "relabel", "./rules", note="about 20 s"),
    Program("demoapp", _TESTBED, "./cmd/demoapp"),
    Program("hostile", _TESTBED, "./cmd/hostile"),
    Program("receiver", _TESTBED, "./cmd/receiver"),
    Program("profcheck", _TESTBED, "./cmd/profcheck"),
    Program("genkey", _TESTBED, "./cmd/genkey"),
    Program("gziploop", _TESTBED, "./cmd/gziploop"),
    Program("gate", _TESTBED, "./cmd/gate"),
    Program("proxy", _TESTBED, "./cmd/proxy"),
    Program("replay", _TESTBED, "./cmd/replay"),
    Program("sink", _TESTBED, "./cmd/sink"),
    Program("floor", _TESTBED, "./cmd/floor"),
    Program("pause", _TESTBED, "./cmd/pause"),
)
_NODE = {"kubelet": "2 min", "kube-controller-manager": "1 min", "kube-scheduler": "5 s", "kube-proxy": "10 s"}
NODE_PROGRAMS = tuple(
    Program(name, _TOOLS / "kubernetes", f"k8s.io/kubernetes/cmd/{name}", f"-s -w {_VERSION_FLAGS}", f"about {note}")
    for name, note in _NODE.items()
)
"""What makes a control plane a cluster with a node; only e2e/node needs it."""


def go_environment() -> dict[str, str]:
    """Everything that Go fetches or compiles stays in the project's cache folder."""
    return {
        **os.environ,
        "GOMODCACHE": str(CACHE / "go/mod"),
        "GOCACHE": str(CACHE / "go/build"),
        "GOFLAGS": "-modcacherw -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }


def build_all(programs: Sequence[Program] = PROGRAMS) -> None:
    """Build what is missing or out of date. Raises SystemExit with the compiler's words."""
    BIN.mkdir(parents=True, exist_ok=True)
    for program in programs:
        stamp = BIN / f".{program.name}.stamp"
        wanted = program.fingerprint()
        if program.binary.exists() and stamp.exists() and stamp.read_text() == wanted:
            continue
        _build(program)
        stamp.write_text(wanted)


def _build(program: Program) -> None:
    _say(f"building {program.name}" + (f" ({program.note} the first time)" if program.note else ""))
    started = time.monotonic()
    command = ["go", "build", "-v", "-ldflags", program.ldflags, "-o", str(program.binary), program.package]
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=program.module, env=go_environment(), stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
        reader.start()
        while process.poll() is None:
            reader.join(_TICK_SECONDS)
            if process.poll() is None and reader.is_alive():
                _say(f"  {program.name}: {len(lines)} modules and packages so far, {time.monotonic() - started:.0f} s")
        reader.join()
    if process.returncode:
        raise SystemExit(f"building {program.name} failed:\n" + "".join(lines[-30:]))
    _say(f"  {program.name}: done in {time.monotonic() - started:.0f} s")


def _say(text: str) -> None:
    print(f"[build] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    build_all()
