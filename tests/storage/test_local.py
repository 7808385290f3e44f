from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from meshroom_tasks.errors import DiskFull, StorageUnavailable
from meshroom_tasks.settings import Settings, load_settings
from meshroom_tasks.storage import LocalStorage, open_storage
from tests.storage.contract import StorageContract


class TestLocalStorage(StorageContract):
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return load_settings(storage_url=(tmp_path / "objects here").as_uri())


@pytest.mark.parametrize(
    "url", ["/srv/objects", "file://host/share", "file:relative", "http://127.0.0.1/", "s3:/bucket"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="STORAGE_URL"):
        open_storage(load_settings(storage_url=url))


def test_there_is_no_url_to_give(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.put_bytes("k", b"")
    assert storage.url("k", seconds=60) is None


def test_abandoned_parts_go_and_living_ones_stay(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.check()
    for name, age in (("old", 7200), ("young", 10)):
        path = tmp_path / ".incoming" / name
        path.write_bytes(b"")
        os.utime(path, (time.time() - age,) * 2)
    assert storage.remove_abandoned(older_than_seconds=3600) == 1
    assert [path.name for path in (tmp_path / ".incoming").iterdir()] == ["young"]


def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    storage = LocalStorage(tmp_path / "file")
    with pytest.raises(StorageUnavailable):
        storage.check()
    with pytest.raises(StorageUnavailable):
        storage.put_bytes("k", b"")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    storage = LocalStorage(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull):
        storage.put_bytes("a/b", b"x")
    assert storage.stat("a/b") is None
    assert list((tmp_path / ".incoming").iterdir()) == []


def test_folders_emptied_by_a_delete_go_too(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.put_bytes("a/b/c/d", b"")
    storage.put_bytes("a/x", b"")
    storage.delete("a/b/c/d")
    assert not (tmp_path / "a" / "b").exists()
    assert storage.get_bytes("a/x") == b""
