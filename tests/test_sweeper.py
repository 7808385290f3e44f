from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

from meshroom_tasks.handoff.eviction import CacheLimits
from meshroom_tasks.jobs.store import open_store
from meshroom_tasks.jobs.uploads import UploadFile
from meshroom_tasks.settings import load_settings
from meshroom_tasks.storage import LocalStorage
from meshroom_tasks.sweeper import Tidying


def test_what_a_killed_writer_left_goes_after_a_day_and_what_is_being_written_stays(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    store, storage = open_store(settings), LocalStorage(tmp_path / "storage")
    with storage.create("a/new") as new:
        new.write(b"half")
        [young] = [path for path in (tmp_path / "storage").rglob("*") if path.is_file()]
        old = young.with_name("old" + young.suffix)
        old.write_bytes(b"half")
        yesterday = time.time() - 90_000
        os.utime(old, (yesterday, yesterday))
        Tidying(store, storage, CacheLimits()).when_due()
        assert young.exists()
        assert not old.exists()
    assert storage.get_bytes("a/new") == b"half"


def test_expired_uploads_go_with_their_files(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    store, storage = open_store(settings), LocalStorage(tmp_path / "storage")
    old = store.create_upload("default", (UploadFile("1.jpg", 5),), timedelta(hours=-2))
    young = store.create_upload("default", (UploadFile("1.jpg", 5),), timedelta(hours=1))
    for upload in (old, young):
        storage.put_bytes(upload.key(0), b"photo")
    Tidying(store, storage, CacheLimits()).when_due()
    assert list(storage.list("uploads")) == [young.key(0)]
    assert store.expired_uploads(timedelta(0), 10) == ()
