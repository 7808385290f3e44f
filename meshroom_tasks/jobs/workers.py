"""The workers as they tell of themselves, and what they are asked to do.

What a worker computes is not written here: its running steps say it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase
from meshroom_tasks.jobs.queueing import in_state

WorkerState = Literal["running", "draining", "stopping", "refused", "lost"]

_FORGOTTEN_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker knows of itself. `engine` only where it runs one, `gpu_...` only where it is pinned to a GPU.

    `refusal`: why it takes no tasks at all. `stopping`: it was told to end and takes nothing new.
    """

    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    processes: int
    engine: str | None = None
    gpu_uuid: str | None = None
    gpu_name: str | None = None
    gpu_memory_bytes: int | None = None
    refusal: str | None = None
    stopping: bool = False


@dataclass(frozen=True)
class RunningStep:
    """What a worker is at."""

    job_id: str
    stage: str
    chunk: int
    progress: float
    started_at: datetime


@dataclass(frozen=True)
class WorkerView:
    """A worker as its readers see it.

    `state`: `draining` takes nothing new and stays; `stopping` takes nothing new and ends; `refused` ended before it
    took anything; `lost` has not been heard of for the length of a lease.
    """

    name: str
    state: WorkerState
    host: str
    queues: tuple[str, ...]
    processes: int
    engine: str | None
    gpu_uuid: str | None
    gpu_name: str | None
    gpu_memory_bytes: int | None
    refusal: str | None
    running: tuple[RunningStep, ...]
    started_at: datetime
    last_seen: datetime


def without_worker(queues: Collection[str], views: Iterable[WorkerView]) -> tuple[str, ...]:
    """Those of the queues that no worker takes tasks from now; what is in them waits."""
    served = {queue for view in views if view.state == "running" for queue in view.queues}
    return tuple(queue for queue in queues if queue not in served)


class Workers(StoreBase):
    def worker_started(self, facts: WorkerFacts) -> None:
        """A worker of this name is there now, in the place of any before it; a drain of that one ends here."""
        with self.database.transaction() as connection:
            fresh = {"started_at": self._now(connection), "drain_requested": False}
            self._write_worker(connection, facts, fresh, fresh)

    def worker_seen(self, facts: WorkerFacts) -> bool:
        """The worker's heartbeat; whether it has been asked to drain. Workers long silent are forgotten."""
        with self.database.transaction() as connection:
            now = self._now(connection)
            connection.execute(
                sa.delete(tables.worker).where(
                    tables.worker.c.last_seen < now - _FORGOTTEN_AFTER, tables.worker.c.name != facts.name
                )
            )
            self._write_worker(connection, facts, {}, {"started_at": now, "drain_requested": False})
            return bool(
                connection.execute(
                    sa.select(tables.worker.c.drain_requested).where(tables.worker.c.name == facts.name)
                ).scalar_one()
            )

    def worker_gone(self, name: str, pid: int) -> None:
        """The worker has ended as it should; nothing happens when another has taken its name over."""
        with self.database.transaction() as connection:
            connection.execute(sa.delete(tables.worker).where(tables.worker.c.name == name, tables.worker.c.pid == pid))

    def ask_to_drain(self, name: str, *, drain: bool = True) -> WorkerView:
        """Have the worker take nothing new, or again. It heeds this with its next heartbeat, and ends what it runs.

        Raises NotFound.
        """
        with self.database.transaction() as connection:
            row = connection.execute(
                sa.update(tables.worker)
                .where(tables.worker.c.name == name, self._known(connection))
                .values(drain_requested=drain)
                .returning(tables.worker)
            ).one_or_none()
            if row is None:
                raise NotFound(f"there is no worker {name!r}; the list of workers has the names")
            return self._worker_view(row, _running_steps(connection), self._now(connection))

    def workers(self) -> tuple[WorkerView, ...]:
        """All that were heard of in the last hour, by name."""
        with self.database.snapshot() as connection:
            rows = connection.execute(
                sa.select(tables.worker).where(self._known(connection)).order_by(tables.worker.c.name)
            ).all()
            running, now = _running_steps(connection), self._now(connection)
        return tuple(self._worker_view(row, running, now) for row in rows)

    def capacity(self) -> dict[str, int]:
        """How many steps of each queue can run at a time on the workers that take any now."""
        found: Counter[str] = Counter()
        for worker in self.workers():
            if worker.state == "running":
                found.update(dict.fromkeys(worker.queues, worker.processes))
        return dict(found)

    def waiting_steps(self) -> dict[str, int]:
        """How many steps of each queue are ready and not taken, of all jobs."""
        step = tables.step.c
        query = sa.select(step.queue, sa.func.count().label("steps")).where(in_state("ready")).group_by(step.queue)
        with self.database.snapshot() as connection:
            return {row.queue: row.steps for row in connection.execute(query)}

    def _known(self, connection: sa.Connection) -> sa.ColumnElement[bool]:
        return tables.worker.c.last_seen >= self._now(connection) - _FORGOTTEN_AFTER

    def _write_worker(
        self, connection: sa.Connection, facts: WorkerFacts, if_known: dict[str, Any], if_new: dict[str, Any]
    ) -> None:
        values = {**vars(facts), "queues": list(facts.queues), "last_seen": self._now(connection)}
        update = sa.update(tables.worker).where(tables.worker.c.name == facts.name).values(**values, **if_known)
        if connection.execute(update).rowcount:
            return
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(tables.worker).values(**values, **if_new))
        except sa.exc.IntegrityError:  # Another worker of this name was faster.
            connection.execute(update)

    def _worker_view(self, row: Row, running: dict[str, list[RunningStep]], now: datetime) -> WorkerView:
        return WorkerView(
            name=row.name,
            state=self._worker_state(row, now),
            host=row.host,
            queues=tuple(row.queues),
            processes=row.processes,
            engine=row.engine,
            gpu_uuid=row.gpu_uuid,
            gpu_name=row.gpu_name,
            gpu_memory_bytes=row.gpu_memory_bytes,
            refusal=row.refusal,
            running=tuple(running.get(row.name, ())),
            started_at=row.started_at,
            last_seen=row.last_seen,
        )

    def _worker_state(self, row: Row, now: datetime) -> WorkerState:
        if row.refusal is not None:
            return "refused"
        if row.last_seen < now - self.timing.lease:
            return "lost"
        if row.stopping:
            return "stopping"
        return "draining" if row.drain_requested else "running"


def _running_steps(connection: sa.Connection) -> dict[str, list[RunningStep]]:
    """What runs now, by worker."""
    found: dict[str, list[RunningStep]] = {}
    query = sa.select(tables.step).where(tables.step.c.state == "running").order_by(tables.step.c.started_at)
    for step in connection.execute(query):
        view = RunningStep(step.job_id, step.stage or step.kind, step.chunk, step.progress, step.started_at)
        found.setdefault(step.worker, []).append(view)
    return found
