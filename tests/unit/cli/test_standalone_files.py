"""Standalone mode: files as the source of objects, followed while they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import Store
from pyroscope_operator.engine.verdict import without_namespaces
from pyroscope_operator.errors import ManifestError
from pyroscope_operator.folders import Folders
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.standalone import Files, read_manifests

A, B = ObjectRef("default", "a"), ObjectRef("default", "b")


def manifest(name: str, interval: str = "15s", spec: str = 'staticTargets: [{address: "10.0.0.1:6060"}]') -> str:
    return (
        "apiVersion: pyroscope-operator.dev/v1alpha1\nkind: PyroscopeScrape\n"
        f"metadata: {{name: {name}}}\nspec: {{{spec}, interval: {interval}}}\n---\n"
    )


@dataclass
class Engine:
    """As far as files need one."""

    store: Store = field(default_factory=lambda: Store(Metrics()))
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    secrets: Secrets = field(default_factory=lambda: Secrets(asyncio.Event(), Metrics()))

    async def run(self) -> None:
        await asyncio.Event().wait()

    def intervals(self) -> dict[ObjectRef, str | None]:
        return {ref: found.spec.interval if found.spec else None for ref, found in self.store.objects.items()}


@asynccontextmanager
async def following(*paths: Path) -> AsyncIterator[Engine]:
    engine = Engine()
    files = Files(engine, paths, Folders(None, None), poll=0.01)  # type: ignore[arg-type]
    assert files.waiting_for
    task = asyncio.create_task(files.run())
    try:
        async with asyncio.timeout(2):
            await engine.synced.wait()
        assert files.waiting_for == ""
        yield engine
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.01)


async def test_objects_come_change_and_go(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(manifest("a"))
    two.write_text("")
    async with following(one, two) as engine:
        assert engine.intervals() == {A: "15s"}
        before = engine.store.objects[A]
        two.write_text(manifest("b", "20s"))
        await until(lambda: B in engine.intervals())
        assert engine.store.objects[A] is before, "what has not changed is not touched"
        one.write_text(manifest("a", "30s"))
        await until(lambda: engine.intervals() == {A: "30s", B: "20s"})
        assert engine.store.objects[A].generation > before.generation
        two.write_text("# nothing\n")
        await until(lambda: engine.intervals() == {A: "30s"})


@pytest.mark.parametrize("broken", ["kind: [", "kind: Pod\n", manifest("a") + manifest("a"), "when: 2001-02-30", "[" * 5000])
async def test_a_file_that_becomes_wrong_changes_nothing(tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(manifest("a"))
    async with following(path) as engine:
        path.write_text(broken)
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(0.2)
        assert [record.levelno for record in caplog.records] == [logging.ERROR], "told once, not at every look"
        assert "file.yaml" in caplog.text
        assert engine.intervals() == {A: "15s"}
        path.write_text(manifest("a", "30s"))
        await until(lambda: engine.intervals() == {A: "30s"})


async def test_a_file_that_vanishes_for_a_while_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Editors replace files, and a ConfigMap is a symlink that is swapped."""
    path = tmp_path / "file.yaml"
    path.write_text(manifest("a"))
    async with following(path) as engine:
        path.unlink()
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(0.1)
        assert len(caplog.records) == 1
        assert engine.intervals() == {A: "15s"}
        path.write_text(manifest("a", "25s"))
        await until(lambda: engine.intervals() == {A: "25s"})


async def test_an_object_that_is_wrong_is_told_and_does_not_harm_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(manifest("a", interval="often") + manifest("b"))
    async with following(path) as engine:
        assert engine.intervals() == {A: None, B: "15s"}
        assert "spec.interval" in caplog.text
        path.write_text(manifest("a") + manifest("b"))
        await until(lambda: engine.intervals() == {A: "15s", B: "15s"})


async def test_selectors_have_no_effect_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(manifest("a", spec="selector: {}"))
    async with following(path):
        assert "spec.selector has no effect" in caplog.text


async def test_nobody_waits_for_namespaces(tmp_path: Path) -> None:
    """Their labels have no effect, as the selector has none."""
    path = tmp_path / "file.yaml"
    path.write_text(manifest("a", spec="selector: {}, namespaceSelector: {matchLabels: {a: b}}"))
    async with following(path) as engine:
        spec = engine.store.objects[A].spec
        assert spec is not None
        assert without_namespaces(spec, engine.store.namespaces.knowledge) is None


@pytest.mark.parametrize("content", ["kind: [", "- 1", None])
async def test_files_that_are_wrong_at_start_are_an_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "file.yaml"
    if content is not None:
        path.write_text(content)
    engine = Engine()
    with pytest.raises(ManifestError):
        await Files(engine, [path], Folders(None, None)).run()  # type: ignore[arg-type]
    assert not engine.synced.is_set()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: b\nc: [1,\n", "file.yaml:3: not valid YAML"),
        (b"a: b\na: *unknown\n", "file.yaml:2: not valid YAML"),
        (b"when: 2001-02-30\n", "file.yaml:1: every document must be"),
        (b"[" * 5000, "not valid YAML"),
        (b"\xff\xfe\xff", "not valid YAML"),
        (b"a: !!python/object/apply:os.system [id]\n", "file.yaml:1: not valid YAML"),
        (b"# " + b"x" * (5 << 20), "larger than 4 MiB"),
        (b"kind: PyroscopeScrape\nmetadata: {name: 1}\n", "metadata.name"),
        (b"kind: PyroscopeScrape\nmetadata: {name: a, namespace: n}\n", "metadata.namespace must be a string"),
        (b"kind: PyroscopeScrape\nmetadata:\n  name: a\n  name: b\n", "file.yaml:4: not valid YAML: metadata.name: is there"),
    ],
    ids=["open list", "unknown alias", "no such day", "deep", "binary", "code", "large", "number as name", "no", "key twice"],
)
def test_where_a_file_is_wrong(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    with pytest.raises(ManifestError) as caught:
        read_manifests([path])
    assert told in caught.value.message
    assert str(path) in caught.value.message


def test_the_same_object_in_two_files(tmp_path: Path) -> None:
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(manifest("a"))
    with pytest.raises(ManifestError) as caught:
        read_manifests([tmp_path / "one.yaml", tmp_path / "two.yaml"])
    assert "two.yaml" in caught.value.message
    assert "default/a is there twice" in caught.value.message


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifests([tmp_path])
    assert str(tmp_path) in caught.value.message


WRITE = """\
apiVersion: pyroscope-operator.dev/v1alpha1
kind: PyroscopeWrite
metadata: {name: a}
spec: {endpoints: [{name: main, url: "http://pyroscope:4040"}]}
"""


async def test_writes_come_change_and_go(tmp_path: Path) -> None:
    """A write may have the name of a scrape."""
    path = tmp_path / "both.yaml"
    path.write_text(f"{manifest('a')}---\n{WRITE}")
    async with following(path) as engine:
        assert engine.intervals() == {A: "15s"}
        assert engine.store.writes[A].generation == 1
        path.write_text(f"{manifest('a')}---\n{WRITE.replace('4040', '4041')}")
        await until(lambda: engine.store.writes[A].generation == 2)
        assert engine.store.objects[A].generation == 1
        path.write_text(manifest("a"))
        await until(lambda: not engine.store.writes)
        assert engine.intervals() == {A: "15s"}


def test_the_same_write_twice(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(f"{WRITE}---\n{WRITE}")
    with pytest.raises(ManifestError, match="PyroscopeWrite default/a is there twice"):
        read_manifests([path])
