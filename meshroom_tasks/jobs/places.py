"""Where jobs stand in the queues: how many are served before them, and what the workers have room for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase
from meshroom_tasks.jobs.queue_counts import queue_counts
from meshroom_tasks.jobs.queueing import HIGHEST_PRIORITY, in_state
from meshroom_tasks.jobs.time_left import Slot

Place = tuple[int, datetime]
"""Of a job in a queue, the least first: all its steps have its rank and the time at which it was submitted."""

_STEP = tables.step.c
_LONG_AGO, _FAR_AHEAD = (moment.replace(tzinfo=UTC) for moment in (datetime.min, datetime.max))
_RUNNING: sa.Select[Any] = sa.select(
    *(_STEP[name] for name in ("job_id", "tenant", "queue", "rank", "queued_at", "worker"))
).where(in_state("running"))

_ALIVE = (
    sa.select(tables.worker)
    .where(
        tables.worker.c.last_seen >= sa.bindparam("since"),
        tables.worker.c.refusal.is_(None),
        ~tables.worker.c.stopping,
        ~tables.worker.c.drain_requested,
    )
    .order_by(tables.worker.c.name)
)


@dataclass(frozen=True)
class Room:
    """What the workers that answer do now: `running` are the steps of all jobs."""

    running: Sequence[Row]
    workers: Sequence[Row]

    def slots(self, job: Row) -> list[Slot]:
        """Room for steps, but for what steps of jobs before this one, and of other tenants, take of it."""
        before = [step for step in self.running if step.job_id != job.id]
        taken = Counter(step.worker for step in before if step.tenant != job.tenant or _place(step) < _place_of(job))
        slots: list[Slot] = []
        for worker in self.workers:
            slots += [Slot(frozenset(worker.queues))] * max(0, worker.processes - taken[worker.name])
        return slots


class Places(StoreBase):
    def _room(self, connection: sa.Connection, now: datetime) -> Room:
        workers = connection.execute(_ALIVE, {"since": now - self.timing.lease}).all()
        return Room(connection.execute(_RUNNING).all(), workers)

    def _jobs_before(
        self, connection: sa.Connection, waiting: Sequence[tuple[Row, frozenset[str]]], room: Room
    ) -> dict[str, int]:
        """By the id of each job that waits for some queues: how many others have steps there whose turn comes before.

        Of each other tenant as many as of its own: they take turns (shares.py).
        """
        alike: dict[frozenset[str], list[Row]] = defaultdict(list)
        for job, queues in waiting:
            alike[queues].append(job)
        found: dict[str, int] = {}
        for queues, jobs in alike.items():
            found |= _jobs_before(connection, sorted(queues), jobs, room.running) if queues else {}
        return {job.id: found.get(job.id, 0) for job, _ in waiting}


def _jobs_before(
    connection: sa.Connection, queues: Sequence[str], jobs: Sequence[Row], running: Sequence[Row]
) -> dict[str, int]:
    """Of jobs that all wait for the same queues."""
    live = [each for tenant, own in _by_tenant(jobs).items() for each in _ready(connection, queues, tenant, own)]
    busy = _running_only(connection, queues, running)
    found = {}
    for job in jobs:
        place = _place_of(job)
        found[job.id] = sum(each.count for each in live + busy if each.tenant == job.tenant and each.place < place)
    if any(found.values()):
        totals = _totals(connection, queues, jobs) + Counter(each.tenant for each in busy)
        for job in jobs:
            others = (count for tenant, count in totals.items() if tenant != job.tenant)
            found[job.id] += sum(min(found[job.id], count) for count in others)
    return found


def _by_tenant(jobs: Sequence[Row]) -> dict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for job in jobs:
        found[job.tenant].append(job)
    return found


@dataclass(frozen=True)
class _Counted:
    """Jobs of one tenant at one place."""

    tenant: str
    place: Place
    count: int


def _ready(connection: sa.Connection, queues: Sequence[str], tenant: str, jobs: Sequence[Row]) -> list[_Counted]:
    """Jobs of the tenant that have steps ready. Those older or newer than all of `jobs` are one sum for each rank."""
    counts, created = queue_counts(queues), [job.created_at for job in jobs]
    where = {"queues": queues, "tenant": tenant, "oldest": min(created), "newest": max(created)}
    found = []
    for row in connection.execute(counts.outside, where):
        found.append(_Counted(tenant, (row.rank, _LONG_AGO), row.older))
        found.append(_Counted(tenant, (row.rank, _FAR_AHEAD), row.newer))
    return found + [_Counted(tenant, _place(row), row.jobs) for row in connection.execute(counts.within, where)]


def _running_only(connection: sa.Connection, queues: Collection[str], running: Sequence[Row]) -> list[_Counted]:
    """Jobs that have steps running, of any tenant, and none ready."""
    steps = {step.job_id: step for step in running if step.queue in queues}
    if not steps:
        return []
    ready = sa.select(_STEP.job_id).where(_STEP.job_id.in_(sorted(steps)), in_state("ready"), _STEP.queue.in_(queues))
    both = set(connection.scalars(ready))
    return [_Counted(step.tenant, _place(step), 1) for job_id, step in steps.items() if job_id not in both]


def _totals(connection: sa.Connection, queues: Sequence[str], jobs: Sequence[Row]) -> Counter[str]:
    """Jobs that have steps ready, by tenant; all tenants but the only one of `jobs`."""
    tenants = {job.tenant for job in jobs}
    where = {"queues": queues, "tenant": tenants.pop() if len(tenants) == 1 else ""}
    return Counter({row.tenant: row.jobs for row in connection.execute(queue_counts(queues).totals, where)})


def _place(step: Row) -> Place:
    return step.rank, step.queued_at


def _place_of(job: Row) -> Place:
    return HIGHEST_PRIORITY - job.priority, job.created_at
