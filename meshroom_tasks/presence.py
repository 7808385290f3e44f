"""A worker's row in the job store, kept by a thread of the worker's parent process.

The parent forks pool processes whenever one is missing. No connection of this thread may be open at that moment: a
child that inherits an open SQLite database relies on locks that it does not have.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.jobs.workers import WorkerFacts
from meshroom_tasks.logs import logger
from meshroom_tasks.settings import Settings

log = logger(__name__)

_FORK_PATIENCE_SECONDS = 10.0
_END_SECONDS = 2.0


class _ForkGate:
    """Forks wait while the gate is held, though not for ever: a database may hang."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forking = threading.local()
        os.register_at_fork(before=self._before, after_in_parent=self._after, after_in_child=self._after)

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            yield

    def _before(self) -> None:
        self._forking.holds = self._lock.acquire(timeout=_FORK_PATIENCE_SECONDS)

    def _after(self) -> None:
        if self._forking.holds:
            self._lock.release()


_GATE = _ForkGate()


class Presence:
    """`facts` is asked before each heartbeat; `heed` is told with each whether the worker should drain."""

    def __init__(self, settings: Settings, facts: Callable[[], WorkerFacts], heed: Callable[[bool], None]) -> None:
        self._settings = settings
        self._facts = facts
        self._heed = heed
        self._known = False
        self._owner = os.getpid()
        self._over = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="presence", daemon=True)

    def start(self) -> None:
        self._thread.start()
        atexit.register(self._end)

    def tell_now(self) -> None:
        """Something has changed. May be called by a signal handler."""
        self._wake.set()

    def _keep(self) -> None:
        while not self._over.is_set():
            self._try(self._tell)
            self._wake.wait(self._settings.worker_seen_seconds)
            self._wake.clear()
        self._try(self._leave)

    def _try(self, word: Callable[[JobStore], None]) -> None:
        try:
            with connected(self._settings) as store:
                word(store)
        except ServiceError as error:
            log.warning("this worker's row could not be written", code=error.code)
        except Exception:
            log.exception("this worker's row could not be written")

    def _tell(self, store: JobStore) -> None:
        facts = self._facts()
        if not self._known:
            store.worker_started(facts)
            self._known = True
        self._heed(store.worker_seen(facts))

    def _leave(self, store: JobStore) -> None:
        facts = self._facts()
        store.worker_gone(facts.name, facts.pid)

    def _end(self) -> None:
        """Take the row along, if the database answers in time."""
        if os.getpid() == self._owner:
            self._over.set()
            self._wake.set()
            self._thread.join(_END_SECONDS)


@contextmanager
def connected(settings: Settings) -> Iterator[JobStore]:
    """The job store for a moment, in a process that forks."""
    with _GATE.held():
        store = open_store(settings)
        try:
            yield store
        finally:
            store.database.engine.dispose()
