"""What runs periodically: take back expired leases, renew unheeded hints, send what the outbox still holds; now and
then, remove what killed writers left in the object store.

Any number of sweepers may run; each row is taken by one.
"""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType

from meshroom_tasks.child_processes import say_ready
from meshroom_tasks.dispatch import flush
from meshroom_tasks.errors import ServiceError
from meshroom_tasks.handoff.eviction import CacheLimits, evict
from meshroom_tasks.handoff.stage_cache import StageCache
from meshroom_tasks.handoff.verification import Verification
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.logs import configure_logging, logger
from meshroom_tasks.ownership import is_ours
from meshroom_tasks.removal import (
    remove_expired_jobs,
    remove_expired_results,
    remove_left_behind,
    remove_unused_photos,
)
from meshroom_tasks.settings import current_settings
from meshroom_tasks.storage import Storage, open_storage
from meshroom_tasks.uploads import remove_expired_uploads

log = logger(__name__)

_LOOK_SECONDS = 2.0
_SUBMISSIONS_KEPT = timedelta(days=3)
_ABANDONED_SECONDS = 86_400.0
"""A bundle of many gigabytes may take hours to be written."""
_TOLD_AT_A_TIME = 100
_LEFT_BEHIND = timedelta(days=1)


@dataclass(frozen=True)
class Swept:
    """Steps taken back from silent workers, hints renewed, hints sent."""

    reclaimed: int
    renewed: int
    sent: int


def sweep(store: JobStore) -> Swept:
    """One round."""
    reclaimed = store.reclaim_expired()
    renewed = store.renew_hints()
    sent = flush(store)
    if reclaimed or renewed:
        log.info("swept", reclaimed=reclaimed, renewed=renewed, sent=sent)
    return Swept(reclaimed, renewed, sent)


class Tidying:
    """Removes what has expired, what killed writers left and what the stage cache should not keep, forgets old
    idempotency keys: at most `every` so many seconds. From the object store of another installation nothing goes."""

    def __init__(self, store: JobStore, storage: Storage, limits: CacheLimits, every: float = 600.0) -> None:
        self._store = store
        self._storage = storage
        self._limits = limits
        self._every = every
        self._next = 0.0
        self._next_search = 0.0

    def when_due(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every
            self._store.forget_submissions(_SUBMISSIONS_KEPT)
            self._store.tell_expiring(_TOLD_AT_A_TIME)
            if not is_ours(self._store, self._storage):
                return
            self._tidy_jobs()
            self._tidy_cache()
            if expired := remove_expired_uploads(self._store, self._storage):
                log.info("expired uploads removed", count=expired)
            if removed := self._storage.remove_abandoned(older_than_seconds=_ABANDONED_SECONDS):
                log.info("what killed writers left is removed", count=removed)

    def _tidy_jobs(self) -> None:
        if time.monotonic() >= self._next_search:
            if left := remove_left_behind(self._store, self._storage, older_than=_LEFT_BEHIND):
                log.info("objects of no job removed", count=left)
            self._next_search = time.monotonic() + _LEFT_BEHIND.total_seconds()
        if results := remove_expired_results(self._store, self._storage):
            log.info("expired results removed", jobs=results)
        if jobs := remove_expired_jobs(self._store, self._storage):
            log.info("expired jobs removed", count=jobs)
        if photos := remove_unused_photos(self._store, self._storage):
            log.info("photos of no job removed", sets=photos)

    def _tidy_cache(self) -> None:
        evicted = evict(self._store, StageCache(self._storage), self._limits)
        if evicted.entries or evicted.still_over:
            log.info("stage cache evicted", **vars(evicted))
        for orphan in Verification(self._store, self._storage).orphans(repair=True):
            log.info("bundle of a killed worker removed", key=orphan.key, size=orphan.size)

    def keep_on(self, stop: threading.Event) -> None:
        """In a thread of its own: a large bucket takes a while to be looked through, and leases must not wait."""
        while not stop.wait(_LOOK_SECONDS):
            try:
                self.when_due()
            except ServiceError as error:
                log.warning("tidying failed; it is tried again in a while", code=error.code, error=error.message)


def main() -> None:
    settings = current_settings()
    configure_logging(settings.log_level, settings.log_format)
    stop = threading.Event()

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)
    store = open_store(settings)
    tidying = Tidying(store, open_storage(settings), CacheLimits.of(settings), settings.tidy_seconds)
    threading.Thread(target=tidying.keep_on, args=(stop,), name="tidying", daemon=True).start()
    log.info("sweeping", every_seconds=settings.sweep_seconds)
    while not stop.wait(settings.sweep_seconds):
        say_ready()
        try:
            sweep(store)
        except ServiceError as error:
            log.warning("a sweep failed; the next one tries again", code=error.code, error=error.message)


if __name__ == "__main__":
    main()
