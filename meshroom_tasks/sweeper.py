"""What runs periodically: take back expired leases, renew unheeded hints, send what the outbox still holds.

Any number of sweepers may run; each row is taken by one.
"""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from types import FrameType

from meshroom_tasks.dispatch import flush
from meshroom_tasks.errors import ServiceError
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.logs import configure_logging, logger
from meshroom_tasks.settings import current_settings

log = logger(__name__)


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


def main() -> None:
    settings = current_settings()
    configure_logging(settings.log_level, settings.log_format)
    stop = threading.Event()

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)
    store = open_store(settings)
    log.info("sweeping", every_seconds=settings.sweep_seconds)
    while not stop.wait(settings.sweep_seconds):
        try:
            sweep(store)
        except ServiceError as error:
            log.warning("a sweep failed; the next one tries again", code=error.code, error=error.message)


if __name__ == "__main__":
    main()
