from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshroom_tasks.errors import BundleCorrupt, ObjectMissing
from meshroom_tasks.ingest import fetch_photos, photo_key
from meshroom_tasks.jobs.records import Photo
from meshroom_tasks.stops import JobCancelled
from meshroom_tasks.storage import LocalStorage

DIGEST = "d" * 64
BODIES = [bytes([number]) * 1000 for number in range(6)]


def photo(index: int, body: bytes) -> Photo:
    sha256 = hashlib.sha256(body).hexdigest()
    return Photo(index, f"{index:04d}_{sha256[:8]}.jpg", sha256, len(body), 4, 3, "image/jpeg")


PHOTOS = [photo(index, body) for index, body in enumerate(BODIES)]


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    storage = LocalStorage(tmp_path / "storage")
    for item, body in zip(PHOTOS, BODIES, strict=True):
        storage.put_bytes(photo_key(DIGEST, item.name), body)
    return storage


def test_photos_appear_whole_under_their_names_with_a_constant_time(storage: LocalStorage, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "photos"
    fetch_photos(storage, DIGEST, PHOTOS, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        item.name: body for item, body in zip(PHOTOS, BODIES, strict=True)
    }
    assert {path.stat().st_mtime for path in folder.iterdir()} == {946684800.0}


def test_photos_that_are_there_are_left_alone(storage: LocalStorage, tmp_path: Path) -> None:
    fetch_photos(storage, DIGEST, PHOTOS[:3], tmp_path / "photos")
    before = {path.name: path.stat().st_ino for path in (tmp_path / "photos").iterdir()}
    storage.delete(photo_key(DIGEST, PHOTOS[0].name))
    fetch_photos(storage, DIGEST, PHOTOS, tmp_path / "photos")
    after = {path.name: path.stat().st_ino for path in (tmp_path / "photos").iterdir()}
    assert len(after) == 6
    assert before.items() <= after.items()


@pytest.mark.parametrize("damage", ["size", "time"])
def test_a_photo_that_is_not_as_it_was_put_is_fetched_again(storage: LocalStorage, tmp_path: Path, damage: str) -> None:
    fetch_photos(storage, DIGEST, PHOTOS, tmp_path / "photos")
    path = tmp_path / "photos" / PHOTOS[2].name
    if damage == "size":
        path.write_bytes(b"")
        os.utime(path, (946684800, 946684800))
    else:
        path.write_bytes(b"x" * PHOTOS[2].size)
    fetch_photos(storage, DIGEST, PHOTOS, tmp_path / "photos")
    assert path.read_bytes() == BODIES[2]


def test_other_bytes_than_recorded_are_refused(storage: LocalStorage, tmp_path: Path) -> None:
    storage.put_bytes(photo_key(DIGEST, PHOTOS[1].name), b"y" * PHOTOS[1].size)
    with pytest.raises(BundleCorrupt):
        fetch_photos(storage, DIGEST, PHOTOS[:2], tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] in ([], [PHOTOS[0].name])


def test_a_missing_photo(storage: LocalStorage, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing):
        fetch_photos(storage, "e" * 64, PHOTOS[:1], tmp_path / "photos")


def test_two_at_once(storage: LocalStorage, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(fetch_photos, storage, DIGEST, PHOTOS, tmp_path / "photos") for _ in range(8)]:
            future.result()
    assert sorted(path.name for path in (tmp_path / "photos").iterdir()) == [item.name for item in PHOTOS]


def test_stop(storage: LocalStorage, tmp_path: Path) -> None:
    with pytest.raises(JobCancelled):
        fetch_photos(storage, DIGEST, PHOTOS, tmp_path / "photos", lambda: JobCancelled("the job was cancelled"))
