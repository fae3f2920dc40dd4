"""The images, built by buildah: the operator's from its Dockerfile, and one for each program of the testbed that runs in pods.

    python -m e2e.node.images      builds those that are out of date, and says where they are

The bases that the Dockerfile names can't be fetched everywhere. What stands in for them is made the same way as they
are, by debootstrap from Debian's packages; Rust is this machine's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from e2e.harness.build import BIN, CACHE, ROOT, build_all
from e2e.node.machine import Unfit, overlays, prepare
from pyroscope_operator import __version__

TAG = __version__
"""Of all, so that the chart finds the operator's without being told."""
ARCHIVES = CACHE / "images"
_SUITE = "trixie"
_MIRROR = "http://deb.debian.org/debian"
_DEBIAN, _RUST = f"localhost/e2e-debian:{_SUITE}", f"localhost/e2e-rust:{_SUITE}"
_RUST_FILE = f"""
FROM {_DEBIAN}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev
ENV PATH=/usr/local/rust/bin:/usr/local/bin:/usr/bin:/bin
"""
_UNWANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian")
"""Debian's slim images are without these."""
_SOURCES = (
    "Dockerfile",
    ".dockerignore",
    "pyproject.toml",
    "requirements-build.lock",
    "requirements-runtime.lock",
    "CHANGELOG.md",
)
_FOLDERS = {"operator": "*.py", "native": "*.*", "crds": "*.yaml"}
_PROGRAMS = ("demoapp", "receiver", "pause")
_CA_IN_BUILD = "/run/host-ca.pem"
_BUILD_SECONDS = 900


@dataclass(frozen=True)
class Image:
    name: str
    sources: tuple[Path, ...]
    """What it is built from."""

    @property
    def archive(self) -> Path:
        return ARCHIVES / f"{self.name}.tar"

    @property
    def reference(self) -> str:
        return f"localhost/{self.name}:{TAG}"

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.reference.encode())
        for source in self.sources:
            digest.update(f"{source.relative_to(ROOT) if source.is_relative_to(ROOT) else source.name}\n".encode())
            digest.update(source.read_bytes())
        return digest.hexdigest()


def _operator_sources() -> Iterable[Path]:
    yield from (ROOT / name for name in _SOURCES)
    for folder, pattern in _FOLDERS.items():
        found = sorted(path for path in (ROOT / folder).rglob(pattern) if path.is_file())
        yield from (path for path in found if not {"target", "fuzz"} & set(path.relative_to(ROOT).parts))


def images() -> tuple[Image, ...]:
    programs = (Image(name, (ROOT / "e2e/testbed/Dockerfile", BIN / name)) for name in _PROGRAMS)
    return (Image("pyroscope-operator", tuple(_operator_sources())), *programs)


def build_images() -> None:
    """Build what is missing or out of date, programs excepted. Raises SystemExit with the builder's words, or Unfit."""
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    for image in images():
        stamp, wanted = ARCHIVES / f".{image.name}.stamp", image.fingerprint()
        if image.archive.exists() and stamp.exists() and stamp.read_text() == wanted:
            continue
        started = time.monotonic()
        _say(f"building {image.reference}")
        if image.name == "pyroscope-operator":
            _build_operator(image)
        else:
            _build(image, ROOT / "e2e/testbed/Dockerfile", BIN, f"--build-arg=PROGRAM={image.name}")
        image.archive.unlink(missing_ok=True)
        _buildah("push", "-q", image.reference, f"docker-archive:{image.archive}:{image.reference}")
        stamp.write_text(wanted)
        _say(f"  {image.name}: done in {time.monotonic() - started:.0f} s, {image.archive.stat().st_size / 1e6:.0f} MB")


def _build_operator(image: Image) -> None:
    _ensure_bases()
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout.strip()
    if not (Path(sysroot) / "bin/cargo").exists() or sysroot == "/usr":
        raise Unfit(f"no cargo in {sysroot}/bin: the image is built with the toolchain of rustup")
    authorities = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().openssl_cafile
    _build(
        image,
        ROOT / "Dockerfile",
        ROOT,
        f"--build-arg=DEBIAN={_DEBIAN}",
        f"--build-arg=RUST={_RUST}",
        # A machine may see the registries through a proxy with an authority of its own.
        f"--build-arg=SSL_CERT_FILE={_CA_IN_BUILD}",
        f"--volume={Path(authorities).resolve()}:{_CA_IN_BUILD}:ro",
        f"--volume={Path(sysroot).resolve()}:/usr/local/rust:ro",
    )


def _build(image: Image, file: Path, context: Path, *flags: str) -> None:
    # chroot asks for fewer rights than a container would, and has the machine's network.
    _buildah("build", "-q", "--isolation=chroot", "--layers", *flags, f"--file={file}", f"--tag={image.reference}", str(context))


def _ensure_bases() -> None:
    present = _buildah("images", "-q", "--no-trunc", "--filter", f"reference={_DEBIAN}", check=False)
    if not present.strip():
        _make_debian()
    present = _buildah("images", "-q", "--no-trunc", "--filter", f"reference={_RUST}", check=False)
    if not present.strip():
        _say("  a compiler beside it (60 MB, about 15 s)")
        with tempfile.TemporaryDirectory() as empty:
            (Path(empty) / "Dockerfile").write_text(_RUST_FILE)
            _buildah("build", "-q", "--isolation=chroot", f"--tag={_RUST}", empty)


def _make_debian() -> None:
    _say(f"  Debian {_SUITE} by debootstrap (60 MB, about 40 s)")
    with tempfile.TemporaryDirectory(dir=ARCHIVES) as folder:
        root = Path(folder) / "root"
        _run("debootstrap", "--variant=minbase", _SUITE, str(root), _MIRROR)
        for unwanted in (*_UNWANTED, "var/lib/apt/lists", "var/cache/apt"):
            shutil.rmtree(root / unwanted, ignore_errors=True)
        for of_this_machine in ("etc/resolv.conf", "etc/hostname"):
            (root / of_this_machine).unlink(missing_ok=True)
        container = _buildah("from", "scratch").strip()
        _buildah("add", "-q", container, str(root), "/")
        _buildah("config", "--cmd", "bash", container)
        _buildah("commit", "-q", "--rm", container, _DEBIAN)


def _buildah(*arguments: str, check: bool = True) -> str:
    """Run buildah on a store of our own. Returns what it printed."""
    driver = "overlay" if overlays(ARCHIVES) else "vfs"
    store = ARCHIVES / "store"
    place = (f"--root={store}", f"--runroot={store}/run", f"--storage-driver={driver}")
    return _run("buildah", *place, *arguments, check=check)


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command[:5])} … failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def _say(text: str) -> None:
    print(f"[images] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        prepare()
        build_all()
        build_images()
    except Unfit as reason:
        raise SystemExit(f"[images] {reason}") from reason
    for built in images():
        print(built.reference, built.archive)
