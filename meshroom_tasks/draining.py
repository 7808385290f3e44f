"""How a worker stops taking tasks, and how it ends.

SIGTERM: nothing new is taken; what runs may end by itself for DRAIN_SECONDS; then Celery's cold shutdown tells the pool
processes to stop, and each gives its step back. Celery's own soft shutdown sleeps in the worker's main thread for the
whole of its time: the broker would take the worker for dead, and a short task would end no drain early.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from celery.worker import state

from meshroom_tasks.logs import logger

log = logger(__name__)

_LOOK_SECONDS = 0.1


class Intake:
    """Whether the worker takes new tasks. To be told from any thread."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._queues = tuple(consumer.app.amqp.queues.consume_from)
        self._changed = threading.Condition()
        self._open = True

    def close(self, seconds: float = 0.0) -> None:
        """Take nothing new; waits at most so long until that is so."""
        self._consumer.call_soon(self._set, False)
        with self._changed:
            self._changed.wait_for(lambda: not self._open, seconds)

    def reopen(self) -> None:
        self._consumer.call_soon(self._set, True)

    def _set(self, wanted: bool) -> None:
        """In the thread that owns the connection."""
        for queue in self._queues if wanted is not self._open else ():
            (self._consumer.add_task_queue if wanted else self._consumer.cancel_task_queue)(queue)
        with self._changed:
            self._open = wanted
            self._changed.notify_all()


class Ending:
    """What SIGTERM means to the worker. A second one gives everything back at once."""

    def __init__(self, intake: Intake, grace_seconds: float, begun: Callable[[], None]) -> None:
        self._intake = intake
        self._grace = grace_seconds
        self._begun = begun
        self.has_begun = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        at_once = self.has_begun or self._grace <= 0
        self.has_begun = True
        self._begun()
        if at_once:
            _give_back()
        else:
            threading.Thread(target=self._end_within_grace, name="drain", daemon=True).start()

    def _end_within_grace(self) -> None:
        deadline = time.monotonic() + self._grace
        self._intake.close(self._grace)
        log.info("told to stop: takes nothing new", running=len(state.reserved_requests), grace_seconds=self._grace)
        while state.reserved_requests and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        log.info("stops now", given_back=len(state.reserved_requests))
        _give_back()


def _give_back() -> None:
    """Celery's cold shutdown: the pool processes get SIGTERM, their steps go back to the store."""
    os.kill(os.getpid(), signal.SIGQUIT)
