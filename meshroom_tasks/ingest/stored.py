"""A job's photos in the object store, and from there in a workspace.

    inputs/<photos digest>/0000_1a2b3c4d.jpg ...   the files as they came
    inputs/<photos digest>/manifest.json           written last: with it, the set is complete

The digest covers the order, names and content of the photos, so that jobs with the same photos share them.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from meshroom_tasks.errors import BundleCorrupt
from meshroom_tasks.handoff.disk import disk_errors
from meshroom_tasks.ingest.threads import Stop, completed, never_stop
from meshroom_tasks.jobs.records import Photo
from meshroom_tasks.stops import Stopped
from meshroom_tasks.storage.base import Progress, Storage

PHOTO_MTIME = 946_684_800
"""2000-01-01 UTC, the same on every machine: engines put it into what they compute addresses from."""

_CHUNK_BYTES = 1 << 20


def digest_of(photos: Sequence[Photo]) -> str:
    """The sha256 (hex) that names this sequence of photos."""
    return hashlib.sha256("".join(f"{photo.name} {photo.sha256}\n" for photo in photos).encode()).hexdigest()


def photo_key(photos_digest: str, name: str) -> str:
    return f"inputs/{photos_digest}/{name}"


def store_photos(
    storage: Storage,
    photos_digest: str,
    files: Sequence[tuple[Photo, Path]],
    *,
    progress: Callable[[float], None],
    stop: Stop,
) -> None:
    """Put in storage what is not there yet. Every photo is looked for, since old objects may expire one by one."""

    def put(file: tuple[Photo, Path]) -> None:
        photo, path = file
        key = photo_key(photos_digest, photo.name)
        if storage.stat(key) is None:
            storage.put_file(key, path, if_absent=True, media_type=photo.media_type)

    for count, _ in enumerate(completed(put, files, stop), start=1):
        progress(count / len(files))
    # What a client calls its photos stays with its job: others may share the files.
    told = [asdict(replace(photo, source="")) for photo, _ in files]
    manifest = {"photos_digest": photos_digest, "photos": told}
    key = photo_key(photos_digest, "manifest.json")
    storage.put_bytes(key, json.dumps(manifest, indent=1).encode(), if_absent=True, media_type="application/json")


def fetch_photos(
    storage: Storage, photos_digest: str, photos: Sequence[Photo], folder: Path, stop: Stop = never_stop
) -> None:
    """Make every photo appear in `folder` under its name, whole, verified, and with a constant time stamp.

    Photos that are there already are left alone. Several processes may do this to one folder at once. `stop` is heeded
    within a photo. Raises BundleCorrupt when stored bytes are not those that were recorded, ObjectMissing,
    StorageUnavailable, DiskFull.
    """
    with disk_errors():
        folder.mkdir(parents=True, exist_ok=True)
    missing = [photo for photo in photos if not _is_there(photo, folder)]
    over = threading.Event()

    def moved(_bytes: int) -> None:
        if over.is_set():
            raise Stopped("the photos are not needed any more")

    for _ in completed(lambda photo: _fetch(storage, photos_digest, photo, folder, moved), missing, stop, over.set):
        pass


def _is_there(photo: Photo, folder: Path) -> bool:
    try:
        found = (folder / photo.name).stat()
    except FileNotFoundError:
        return False
    return found.st_size == photo.size and int(found.st_mtime) == PHOTO_MTIME


def _fetch(storage: Storage, photos_digest: str, photo: Photo, folder: Path, progress: Progress) -> None:
    key = photo_key(photos_digest, photo.name)
    part = folder / f".{photo.name}.{uuid.uuid4().hex}.part"
    try:
        storage.get_file(key, part, progress=progress)
        with disk_errors():
            if _sha256(part) != photo.sha256:
                raise BundleCorrupt("a stored photo is not what was recorded; send the job again", key=key)
            os.utime(part, (PHOTO_MTIME, PHOTO_MTIME))
            part.replace(folder / photo.name)
    finally:
        part.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_CHUNK_BYTES):
            digest.update(data)
    return digest.hexdigest()
