"""Uploads between the job store, which knows what was announced, and the object store, which knows what has arrived."""

from __future__ import annotations

from collections.abc import Set
from datetime import timedelta

from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.uploads import Upload, UploadFile
from meshroom_tasks.storage import Storage

_GRACE = timedelta(hours=1)
"""A file that was on its way when its upload expired has arrived by then, and goes with the others."""
_AT_A_TIME = 100


def arrived(storage: Storage, upload: Upload) -> frozenset[int]:
    """The numbers of the files that are there with the size that was announced: one listing, however many they are."""
    sizes = dict(storage.sizes(upload.prefix))
    return frozenset(number for number, file in enumerate(upload.files) if sizes.get(upload.key(number)) == file.size)


def missing(upload: Upload, there: Set[int]) -> tuple[UploadFile, ...]:
    """The files that are not among the numbers `there`."""
    return tuple(file for number, file in enumerate(upload.files) if number not in there)


def remove_upload(store: JobStore, storage: Storage, upload_id: str) -> bool:
    """Remove an upload with its files; False where a live job needs it."""
    if not store.give_up_upload(upload_id):
        return False
    # The row goes last: should the rest fail, the next round finds it.
    storage.delete_prefix(f"uploads/{upload_id}")
    store.forget_upload(upload_id)
    return True


def remove_expired_uploads(store: JobStore, storage: Storage) -> int:
    """Remove what has expired and no live job needs; returns how many. One round takes a limited number."""
    return sum(remove_upload(store, storage, id_) for id_ in store.expired_uploads(_GRACE, _AT_A_TIME))
