"""What the image is built from fits together: locks, Dockerfile, .dockerignore. That it runs is shown by e2e/node."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pyroscope_operator import __version__

_ROOT = Path(__file__).parents[2]
_DOCKERFILE = (_ROOT / "Dockerfile").read_text()


def locked(name: str) -> dict[str, list[str]]:
    """Of a lock file: what is pinned, with its marker, by the hashes that are good for it."""
    blocks = re.split(r"^(?=[a-z0-9])", (_ROOT / name).read_text(), flags=re.MULTILINE)
    return {block.partition(" \\")[0]: re.findall(r"--hash=(\S+)", block) for block in blocks if "==" in block}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=;]", one)[0].strip() for one in requirements}


@pytest.mark.parametrize("name", ["requirements-runtime.lock", "requirements-build.lock"])
def test_lock_is_part_of_the_whole_lock(name: str) -> None:
    """The image has what the tests ran with, to the hash; other versions would be another program."""
    part, whole = locked(name), locked("requirements.lock")
    assert part
    assert {pin: hashes for pin, hashes in whole.items() if pin in part} == part


def test_runtime_lock_has_nothing_of_the_developers() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    runtime = {pin.partition("==")[0] for pin in locked("requirements-runtime.lock")}
    assert names(project["project"]["dependencies"]) <= runtime
    developers = names([one for one in project["dependency-groups"]["dev"] if isinstance(one, str)])
    assert not runtime & (developers | {"maturin"})
    assert {pin.partition("==")[0] for pin in locked("requirements-build.lock")} == {"maturin"}


def test_version() -> None:
    assert f"ARG VERSION={__version__}\n" in _DOCKERFILE


def test_what_is_copied_is_not_ignored() -> None:
    lines = (_ROOT / ".dockerignore").read_text().splitlines()
    let_through = [line[1:] for line in lines if line.startswith("!")]
    copies = [line.split()[1:-1] for line in _DOCKERFILE.splitlines() if re.match(r"COPY (?!--from)", line)]
    copied = {source for sources in copies for source in sources}
    assert copied == set(let_through)
    assert all((_ROOT / source).exists() for source in copied)
    ignored = [line for line in lines if line and line[0] not in "#!"]
    assert any(fnmatch(".git", pattern) for pattern in ignored)
