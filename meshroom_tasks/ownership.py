"""Whether the object store is that of this database, by a mark that it bears.

What no row names is rubbish to the sweeper. Beside an empty database, or that of another installation, all that there
is would be: nothing may go there before somebody has looked.
"""

from __future__ import annotations

from meshroom_tasks.errors import ObjectMissing
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.logs import logger
from meshroom_tasks.storage import Storage

MARK = "installation"
"""The key of the object that holds the installation's id."""

_OF_JOBS = ("results", "jobs")

log = logger(__name__)


def is_ours(store: JobStore, storage: Storage) -> bool:
    """Look, and mark a store that bears no mark where nothing in it is of jobs that this database does not know.

    Of several installations that come at once, the first one's mark stands.
    """
    own = store.installation()
    mark = mark_of(storage)
    if mark is None and (own.is_older or not _holds_unknown_jobs(store, storage)):
        storage.put_bytes(MARK, own.id.encode(), if_absent=True)
        mark = mark_of(storage)
    ours = mark == own.id
    if not ours:
        log.warning(
            "nothing is removed from the object store: it is not that of this database; see docs/backup.md",
            installation=own.id,
            storage_is_of=mark or "a database that is not known",
        )
    if own.storage_is_anothers == ours:
        store.note_storage(is_anothers=not ours)
    return ours


def adopt(store: JobStore, storage: Storage) -> str | None:
    """Make it that of this database, whatever it holds; returns the mark that it bore."""
    before = mark_of(storage)
    storage.put_bytes(MARK, store.installation().id.encode())
    store.note_storage(is_anothers=False)
    return before


def mark_of(storage: Storage) -> str | None:
    """The id of the installation that marked it."""
    try:
        return storage.get_bytes(MARK).decode(errors="replace")
    except ObjectMissing:
        return None


def _holds_unknown_jobs(store: JobStore, storage: Storage) -> bool:
    return any(store.ids_of_no_job({key.split("/")[1] for key in storage.list(folder)}) for folder in _OF_JOBS)
