"""Removing jobs, results and photos: what they left in the object store, then their rows.

Nothing goes that another job has, whoever it belongs to: photos and what was computed from them go with the last job
that has these photos.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.storage import Storage

_AT_A_TIME = 100
_OF_JOBS = ("results", "jobs")
_INPUTS, _MANIFEST = "inputs", "manifest.json"


def remove_job(
    store: JobStore, storage: Storage, job_id: str, *, tenant: str | None = None, photos: bool = True
) -> None:
    """Forget an ended job with its results, graph and logs.

    Without `photos`, those that no job has any more are left to the next round of the sweeper: for the web app, which
    may not change them.

    Raises NotFound, also for a job of another than `tenant`, unless that is None; Conflict for one that has not ended.
    """
    store.give_up_job(job_id, tenant=tenant)
    _remove_given_up(store, storage, job_id, photos=photos)


def remove_expired_jobs(store: JobStore, storage: Storage) -> int:
    """Remove jobs that have expired, and those that somebody began to remove; returns how many.

    Like the others here, one round takes a limited number.
    """
    gone = [job_id for job_id in store.expired_jobs(_AT_A_TIME) if store.give_up_expired_job(job_id)]
    for job_id in gone:
        _remove_given_up(store, storage, job_id)
    return len(gone)


def remove_expired_results(store: JobStore, storage: Storage) -> int:
    """Remove the results that have expired of jobs that have not; returns of how many."""
    gone = [job_id for job_id in store.expired_results(_AT_A_TIME) if store.give_up_results(job_id)]
    for job_id in gone:
        storage.delete_prefix(f"results/{job_id}")
        store.forget_results(job_id)
    return len(gone)


def remove_unused_photos(store: JobStore, storage: Storage) -> int:
    """Remove the photos that no job has, with all that was computed from them; returns how many sets."""
    return sum(remove_photos(store, storage, digest) for digest in store.unused_photos(_AT_A_TIME))


def remove_photos(store: JobStore, storage: Storage, photos_digest: str) -> bool:
    """Remove one set of photos with all that was computed from it; False where a job has it."""
    if not store.give_up_photos(photos_digest):
        return False
    for folder in (*store.folders_of_photos(photos_digest), f"{_INPUTS}/{photos_digest}"):
        storage.delete_prefix(folder)
    # The rows go last: should the rest fail, the next round finds them.
    store.forget_entries_of_photos(photos_digest)
    store.forget_photos(photos_digest)
    return True


def remove_left_behind(store: JobStore, storage: Storage, *, older_than: timedelta) -> int:
    """Look through the object store for what is of no job: what a step wrote that was still at work when its job went,
    and photos that an earlier version left. Returns how many objects are removed; the photos go in the next round.
    """
    before = datetime.now(UTC) - older_than
    for key in storage.list(_INPUTS):
        if key.endswith(f"/{_MANIFEST}") and _is_older(storage, key, before):
            store.adopt_photos(key.split("/")[1])
    removed = 0
    for folder in _OF_JOBS:
        for job_id in store.ids_of_no_job({key.split("/")[1] for key in storage.list(folder)}):
            for key in tuple(storage.list(f"{folder}/{job_id}")):
                if _is_older(storage, key, before):
                    storage.delete(key)
                    removed += 1
    return removed


def _is_older(storage: Storage, key: str, moment: datetime) -> bool:
    found = storage.stat(key)
    return found is not None and found.modified < moment


def _remove_given_up(store: JobStore, storage: Storage, job_id: str, *, photos: bool = True) -> None:
    for folder in _OF_JOBS:
        storage.delete_prefix(f"{folder}/{job_id}")
    photos_digest = store.forget_job(job_id)
    if photos_digest is not None and photos:
        remove_photos(store, storage, photos_digest)
