"""Standalone mode: files as the source of objects, no cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyroscope_operator.api.kinds import KINDS, Kind, kind_named
from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.secrets import DataSource
from pyroscope_operator.engine.store import TYPES
from pyroscope_operator.errors import ManifestError
from pyroscope_operator.manifest.node import Node
from pyroscope_operator.manifest.objects import objects
from pyroscope_operator.manifest.read import documents
from pyroscope_operator.model.ref import ObjectRef

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 2.0

Key = tuple[Kind, ObjectRef]


class Files:
    """Feeds an engine from manifests, and again whenever a file changes."""

    def __init__(self, engine: Engine, paths: Sequence[Path], data: DataSource, poll: float = _POLL_SECONDS) -> None:
        """`data` stands for Secrets and ConfigMaps."""
        self._engine = engine
        self._data = data
        self._paths = paths
        self._poll = poll
        self._manifests: dict[Key, dict[str, Any]] = {}
        self._generations: dict[Key, int] = {}
        self._stamps: list[tuple[int, int]] = []
        self._problem = ""
        self.waiting_for = "the first read of the files"
        """For /readyz; empty once they were read."""

    async def run(self) -> None:
        """Run until cancelled. Raises ManifestError when the files are wrong at start; later that is only logged."""
        await self._load()
        self._engine.store.namespaces.listed()  # there are none, nor pods
        self.waiting_for = ""
        self._engine.synced.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._engine.secrets.run(self._data), name="secrets")
            group.create_task(self._engine.run(), name="engine")
            group.create_task(self._follow(), name="files")

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll)
            try:
                await self._load()
            except ManifestError as error:
                if error.message != self._problem:
                    _LOG.error("files not reloaded, going on as before: %s", error)
                self._problem = error.message
            else:
                self._problem = ""

    async def _load(self) -> None:
        """Read the files if one has changed, and bring the store in step."""
        stamps = await asyncio.to_thread(_stamps, self._paths)
        if stamps == self._stamps:
            return
        self._stamps = stamps  # also when they are wrong: told once, not every two seconds
        manifests = await asyncio.to_thread(read_manifests, self._paths)
        for kind, ref in self._manifests.keys() - manifests.keys():
            self._engine.store.remove_object(ref, kind=kind)
        for key, manifest in manifests.items():
            if manifest != self._manifests.get(key):
                self._put(key, manifest)
        self._manifests = manifests

    def _put(self, key: Key, manifest: dict[str, Any]) -> None:
        kind, ref = key
        generation = self._generations[key] = self._generations.get(key, 0) + 1
        meta = {"namespace": ref.namespace, "name": ref.name, "generation": generation}
        found = TYPES[kind].from_manifest({**manifest, "metadata": meta})
        if found.problem is not None:
            _LOG.error("not accepted: %s", found.problem, extra={"object": str(ref)})
        elif isinstance(found.spec, PyroscopeScrapeSpec) and found.spec.selector is not None:
            _LOG.warning("spec.selector has no effect without a cluster", extra={"object": str(ref)})
        self._engine.store.put_object(found)


def read_manifests(paths: Sequence[Path]) -> dict[Key, dict[str, Any]]:
    """The objects in these files. Raises ManifestError."""
    found: dict[Key, dict[str, Any]] = {}
    for path in paths:
        for node in _nodes(path):
            key, manifest = _manifest(path, node)
            if key in found:
                raise ManifestError(str(path), f"{key[0]} {key[1]} is there twice: rename one of them", node.at.line)
            found[key] = manifest
    return found


def _nodes(path: Path) -> Iterator[Node]:
    try:
        with path.open("rb") as file:
            for document in documents(str(path), file):
                yield from objects(document)
    except OSError as error:
        raise ManifestError(str(path), str(error.strerror)) from error


def _manifest(path: Path, node: Node) -> tuple[Key, dict[str, Any]]:
    for at, problem in node.problems():
        raise ManifestError(str(path), f"not valid YAML: {problem}", *at)
    manifest = node.plain()
    kind = kind_named(manifest.get("kind")) if isinstance(manifest, dict) else None
    if kind is None:
        known = " or a ".join(map(str, KINDS))
        raise ManifestError(str(path), f"every document must be a {known}: set kind and apiVersion", node.at.line)
    meta = manifest.get("metadata")
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        raise ManifestError(str(path), f"a {kind} without metadata.name: add it", node.at.line)
    namespace = meta.get("namespace")
    if not isinstance(namespace, str | None):
        line = node.locate(("metadata", "namespace")).line
        raise ManifestError(str(path), "metadata.namespace must be a string: write it in quotes", line)
    return (kind, ObjectRef(namespace or "default", meta["name"])), manifest


def _stamps(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Changes whenever a file does."""
    stamps = []
    for path in paths:
        try:
            found = path.stat()
        except OSError as error:
            raise ManifestError(str(path), str(error.strerror)) from error
        stamps.append((found.st_mtime_ns, found.st_size))
    return stamps
