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
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.logs import configure_logging, logger
from meshroom_tasks.settings import current_settings
from meshroom_tasks.storage import Storage, open_storage

log = logger(__name__)

_TIDY_SECONDS = 3600.0
_SUBMISSIONS_KEPT = timedelta(days=3)
_PATIENCE_SECONDS = 3.0  # Leases must not wait for an object store that is away.
_ABANDONED_SECONDS = 86_400.0
"""A bundle of many gigabytes may take hours to be written."""


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
    """Removes abandoned uploads and forgets old idempotency keys, at most once an hour."""

    def __init__(self, store: JobStore, storage: Storage) -> None:
        self._store = store
        self._storage = storage
        self._next = 0.0

    def when_due(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _TIDY_SECONDS
            self._store.forget_submissions(_SUBMISSIONS_KEPT)
            if removed := self._storage.remove_abandoned(older_than_seconds=_ABANDONED_SECONDS):
                log.info("abandoned uploads removed", count=removed)


def main() -> None:
    settings = current_settings()
    configure_logging(settings.log_level, settings.log_format)
    stop = threading.Event()

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)
    store = open_store(settings)
    tidying = Tidying(store, open_storage(settings, patience=_PATIENCE_SECONDS))
    log.info("sweeping", every_seconds=settings.sweep_seconds)
    while not stop.wait(settings.sweep_seconds):
        say_ready()
        try:
            sweep(store)
            tidying.when_due()
        except ServiceError as error:
            log.warning("a sweep failed; the next one tries again", code=error.code, error=error.message)


if __name__ == "__main__":
    main()
