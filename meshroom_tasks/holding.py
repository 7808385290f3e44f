"""A step that this worker holds: its lease kept by a heartbeat, its log on the way to the object store.

The heartbeat is a thread of the process that runs the step. If it cannot reach the store, the lease runs out here
just as it does there, and whoever runs the engine for this step stops in time: at no moment do two holders compute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from meshroom_tasks.engine.failures import warnings
from meshroom_tasks.errors import ServiceError
from meshroom_tasks.handoff.live_log import LiveLog
from meshroom_tasks.jobs.records import NO_RELIEF, Relief, Work
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.warnings import unanswered
from meshroom_tasks.logs import bind, bound, logger
from meshroom_tasks.stops import Draining, LeaseLost
from meshroom_tasks.storage import Storage

log = logger(__name__)

_MARGIN = 0.8
"""Part of the lease that the holder uses: it stops before the store gives the step to another."""


class StepFailed(Exception):
    """What Celery and its monitors see of a failed step; the store knows the whole story."""


class Holding:
    """The holder's side of a claim; fulfils `engine.Watch`. `relief`: what would help, by a failure's code.

    `claim_begun`: the monotonic time before the store was asked; the lease began then at the earliest.
    """

    def __init__(
        self, store: JobStore, work: Work, live_log: LiveLog, heartbeat_seconds: float, claim_begun: float
    ) -> None:
        self.work = work
        self._store = store
        self._log = live_log
        self._every = heartbeat_seconds
        self._lease = store.timing.lease.total_seconds() * _MARGIN
        self._held_until = claim_begun + self._lease
        self._reason: ServiceError | None = None
        self._progress = 0.0
        self._warned: list[str] = []
        self.relief: Callable[[str], Relief] = lambda _: NO_RELIEF
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"heartbeat-{work.step_id[:8]}", daemon=True)

    def stop_reason(self) -> ServiceError | None:
        if self._reason is None and self.lease_seconds_left() <= 0:
            self._reason = LeaseLost("the job store could not be reached for the length of a lease")
        return self._reason

    def lease_seconds_left(self) -> float:
        return self._held_until - time.monotonic()

    @property
    def warnings(self) -> tuple[Mapping[str, Any], ...]:
        """What the engine warned of, and the client did not answer beforehand."""
        return unanswered(warnings(self._warned), self.work.options.camera)

    def check(self) -> None:
        """Raise the reason to stop, if there is one."""
        if (reason := self.stop_reason()) is not None:
            raise reason

    def line(self, text: str) -> None:
        """One line of the engine's output."""
        self._log.write(text)
        if warnings([text]):
            self._warned.append(text)
        log.info("engine", line=text)

    def progress(self, fraction: float) -> None:
        self._progress = min(1.0, max(self._progress, fraction))

    def moved(self, _bytes: int) -> None:
        """Bytes went to or came from the object store: raise the reason to stop, if there is one."""
        self.check()

    def _start(self) -> None:
        self._thread.start()

    def _stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        bind(job_id=self.work.job_id, request_id=self.work.request_id)
        while not self._over.wait(self._every):
            begun = time.monotonic()
            try:
                self._reason = self._store.heartbeat(self.work, self._progress) or self._reason
                self._held_until = begun + self._lease
                self._log.flush()
            except ServiceError as error:
                log.warning("heartbeat failed", code=error.code, seconds_left=round(self.lease_seconds_left(), 1))


@contextmanager
def hold(
    store: JobStore, storage: Storage, step_id: str, worker: str, heartbeat_seconds: float
) -> Iterator[Holding | None]:
    """Claim the best step of the hinted one's queue for the length of the block; None: there is none to take now.

    An exception that leaves the block fails the step, or has it tried again, as its policy says; SystemExit, by which
    a worker is told to stop, gives it back.
    """
    begun = time.monotonic()
    work = store.claim(step_id, worker)
    if work is None:
        yield None
        return
    live_log = LiveLog(storage, work.job_id, work.node or work.kind, work.chunk)
    holding = Holding(store, work, live_log, heartbeat_seconds, begun)
    with bound(job_id=work.job_id, request_id=work.request_id, stage=work.node or work.kind, chunk=work.chunk):
        live_log.write(f"--- attempt {work.attempt} on {worker}, job {work.job_id}, request {work.request_id}")
        log.info("step started", attempt=work.attempt)
        holding._start()
        try:
            yield holding
        except ServiceError as error:
            _report(store, holding, error)
            raise StepFailed(f"{error.code}: {error.message}") from error
        except SystemExit:
            _report(store, holding, Draining("the worker was told to stop"))
            raise
        except Exception as error:
            log.exception("a step failed in a way that nobody foresaw")
            _report(store, holding, ServiceError(f"an internal error ({type(error).__name__}); see the worker's log"))
            raise
        finally:
            holding._stop()
            live_log.close()
        log.info("step finished")


def _report(store: JobStore, holding: Holding, error: ServiceError) -> None:
    log.warning(
        "step failed", code=error.code, error=error.message, **{f"error_{k}": v for k, v in error.context.items()}
    )
    holding.line(f"--- {error.code}: {error.message}")
    store.fail(holding.work, error, holding.relief(error.code))
