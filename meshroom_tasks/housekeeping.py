"""What a worker's machine need not keep: workspaces of photos that no job has any more."""

from __future__ import annotations

import threading

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.handoff.room import Room
from meshroom_tasks.handoff.workspace import workspaces
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.logs import logger
from meshroom_tasks.presence import connected
from meshroom_tasks.settings import Settings

log = logger(__name__)


def photos_to_forget(store: JobStore, room: Room) -> frozenset[str]:
    """Digests of the photos that have a workspace here, and no job."""
    return store.photos_of_no_job({item.photos_digest for item in workspaces(room.root)})


def keep_house(settings: Settings, room: Room) -> None:
    """Remove such workspaces now and then, on a thread of the worker's parent, for as long as it lives.

    A job that comes back to one has it filled again.
    """

    def keep() -> None:
        while not over.wait(settings.tidy_seconds):
            try:
                with connected(settings) as store:
                    digests = photos_to_forget(store, room)
                if digests and (removed := room.forget(digests)):
                    log.info("workspaces of no job removed", count=removed)
            except (ServiceError, OSError) as error:
                log.warning("workspaces could not be looked through; it is tried again", error=str(error))

    over = threading.Event()
    threading.Thread(target=keep, name="housekeeping", daemon=True).start()
