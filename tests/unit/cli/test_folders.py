"""Folders in the place of Secrets and ConfigMaps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyroscope_operator.engine.secrets import MAX_BYTES
from pyroscope_operator.errors import OperatorError
from pyroscope_operator.folders import Folders
from pyroscope_operator.model.data import DataRef

SECRET = DataRef("Secret", "shop", "credentials")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "secrets" / "credentials"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def folders(folder: Path, tmp_path: Path) -> Folders:
    return Folders(folder.parent, tmp_path / "configmaps")


async def test_each_file_is_a_key_as_it_is(folder: Path, folders: Folders) -> None:
    (folder / "token").write_bytes(b"hunter2\n\xff")
    (folder / ".dot").write_bytes(b"")
    (folder / "folder").mkdir()
    assert await folders.read(SECRET) == {"token": b"hunter2\n\xff", ".dot": b""}


async def test_missing(folders: Folders) -> None:
    assert await folders.read(DataRef("Secret", "shop", "other")) is None
    assert await folders.read(DataRef("ConfigMap", "shop", "credentials")) is None


async def test_config_maps_are_elsewhere(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "configmaps" / "ca").mkdir(parents=True)
    (tmp_path / "configmaps" / "ca" / "ca.crt").write_text("x")
    assert await folders.read(DataRef("ConfigMap", "any", "ca")) == {"ca.crt": b"x"}
    assert await folders.read(DataRef("Secret", "any", "ca")) is None


@pytest.mark.parametrize(("kind", "flag"), [("Secret", "--secrets-dir"), ("ConfigMap", "--configmaps-dir")])
async def test_without_a_folder_the_flag_is_named(kind: str, flag: str) -> None:
    with pytest.raises(OperatorError, match=flag):
        await Folders(None, None).read(DataRef(kind, "shop", "credentials"))  # type: ignore[arg-type]


async def test_as_kubernetes_mounts_it(folder: Path, folders: Folders) -> None:
    """Keys are links to ..data/key; ..data is a link that is swapped."""
    for version in ("..1", "..2"):
        (folder / version).mkdir()
        (folder / version / "token").write_text(version)
    (folder / "..data").symlink_to("..1")
    (folder / "token").symlink_to("..data/token")
    assert await folders.read(SECRET) == {"token": b"..1"}
    (folder / "..new").symlink_to("..2")
    (folder / "..new").rename(folder / "..data")
    (folder / "gone").symlink_to("..data/gone")  # kubelet takes links away only after the swap
    assert await folders.read(SECRET) == {"token": b"..2"}


@pytest.mark.parametrize("name", ["..", ".", "", "../outside", "a/b", "/etc", "a\0b"])
async def test_no_name_leads_out_of_the_folder(folders: Folders, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "key").write_text("x")
    assert await folders.read(DataRef("Secret", "shop", name)) is None


async def test_what_is_no_file_is_not_waited_for(folder: Path, folders: Folders) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "token").write_text("x")
    assert await folders.read(SECRET) == {"token": b"x"}


async def test_no_more_is_read_than_is_needed_to_refuse_it(folder: Path, folders: Folders) -> None:
    for name in "abc":
        (folder / name).write_bytes(b"x" * MAX_BYTES)
    found = await folders.read(SECRET)
    assert found is not None
    assert sum(map(len, found.values())) == MAX_BYTES + 1


async def test_a_link_to_nowhere_is_told_without_its_path(folder: Path, folders: Folders) -> None:
    """As in the middle of a swap: what is known stays in use."""
    (folder / "token").symlink_to("hunter2")
    with pytest.raises(OperatorError) as caught:
        await folders.read(SECRET)
    assert caught.value.message == "credentials in --secrets-dir: No such file or directory"
