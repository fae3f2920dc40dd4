"""Folders in the place of Secrets and ConfigMaps, for standalone mode: DIR/<name>/<key>, one file for each key."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyroscope_operator.engine.secrets import MAX_BYTES
from pyroscope_operator.errors import OperatorError
from pyroscope_operator.model.data import DataRef

PERIOD = 3.0
"""Seconds between two reads of the same folder."""
_MAX_FILES = 1000
_MOUNTED = "..data"
"""Link to the folder with the files, as Kubernetes mounts Secrets: it is swapped as a whole."""


@dataclass(frozen=True, slots=True)
class Folders:
    """A DataSource. The namespace of what is read makes no difference."""

    secrets: Path | None
    config_maps: Path | None

    async def read(self, ref: DataRef) -> Mapping[str, bytes] | None:
        """The files of a folder. Raises OperatorError."""
        flag, parent = ("secrets-dir", self.secrets) if ref.kind == "Secret" else ("configmaps-dir", self.config_maps)
        if parent is None:
            raise OperatorError("FolderUnreadable", f"set --{flag}, the folder in which it is {ref.name}/<key>")
        try:
            return await asyncio.to_thread(_read, parent, ref.name)
        except OSError as error:  # without the path, which may be anything
            raise OperatorError("FolderUnreadable", f"{ref.name} in --{flag}: {error.strerror}") from error


def _read(parent: Path, name: str) -> dict[str, bytes] | None:
    """None where there is no such folder. Keys are what is there: none that is asked for becomes a part of a path."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        return None
    folder = parent / name
    if not folder.is_dir():
        return None
    mounted = folder / _MOUNTED
    if mounted.is_dir():
        folder = mounted.resolve()  # all files of one version, even if the link is swapped now
    data: dict[str, bytes] = {}
    for path in sorted(folder.iterdir())[:_MAX_FILES]:
        # Kubernetes has no such keys either. What is no file may never end.
        if not path.name.startswith("..") and stat.S_ISREG(path.stat().st_mode):
            data[path.name] = _content(path, MAX_BYTES + 1 - sum(map(len, data.values())))
    return data


def _content(path: Path, limit: int) -> bytes:
    """At most `limit` bytes of it: one more than is accepted, so that the folder is refused as too large."""
    with path.open("rb") as file:
        return file.read(max(0, limit))
