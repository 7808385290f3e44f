"""What all parts of the job store share: the database, the clock, the lock of a job, the outbox."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.group_commit import GroupCommit
from meshroom_tasks.jobs.labels import label, step_label
from meshroom_tasks.jobs.prepared import Prepared
from meshroom_tasks.jobs.records import NO_EXPIRY, NO_LIMITS, ErrorView, Expiry, TenantLimits
from meshroom_tasks.jobs.states import StepEvent, sources, target

Row = sa.Row[Any]
Clock = Callable[[], datetime]


NOT_BEGUN: Mapping[str, Any] = {
    "attempts": 0,
    "token": None,
    "worker": None,
    "lease_until": None,
    "not_before": None,
    "avoid": None,
    "avoid_until": None,
    "next_hint_at": None,
    "address": None,
    "outdated": False,
    "progress": 0.0,
    "cached": False,
    "entry": None,
    "error": None,
    "started_at": None,
    "finished_at": None,
}
"""The columns of a step that is back where it was before it began."""


_INSERT_HINT = Prepared(
    sa.insert(tables.outbox), "task", "subject", "queue", "label", "priority", "job_id", "request_id"
)


@dataclass(frozen=True)
class JobInQueue:
    """Of a job's row, what its first step and its hints are made of."""

    id: str
    tenant: str
    priority: int
    created_at: datetime
    request_id: str


def new_token() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Timing:
    """How long a holder may be silent, how long a hint may go unheeded before it is sent again (`soon`: after one that
    reached the wrong worker), and how long a step that failed on one worker is left to the others."""

    lease: timedelta = timedelta(seconds=30)
    hint: timedelta = timedelta(seconds=10)
    longest_hint: timedelta = timedelta(minutes=2)
    soon: timedelta = timedelta(seconds=1)
    avoid: timedelta = timedelta(minutes=1)


class StoreBase:
    """Base of the parts of the store; every public method of a part is one transaction.

    Locks are taken in one order, so that no two transactions wait for each other: a tenant's row, the job's row, its
    set of photos, rows of its steps and deliveries, at last one of experience. A claim and a heartbeat lock nothing but
    one step (a claim for a tenant with a limit the tenant before), and wait for nobody while they hold it.
    """

    def __init__(
        self,
        database: Database,
        *,
        timing: Timing = Timing(),
        base_url: str = "http://127.0.0.1:8000",
        clock: Clock | None = None,
        default_limits: TenantLimits = NO_LIMITS,
        expiry: Expiry = NO_EXPIRY,
    ) -> None:
        self.database = database
        self.timing = timing
        self.base_url = base_url
        self.default_limits = default_limits
        self.expiry = expiry
        self._clock = clock
        self._commits = GroupCommit(database)

    def _now(self, connection: sa.Connection) -> datetime:
        """The database's time, unless a clock was given."""
        return self._clock() if self._clock is not None else self.database.now(connection)

    def _lock_job(self, connection: sa.Connection, job_id: str) -> Row:
        """The job's row, held until the transaction ends: whoever changes a job's steps holds it.

        Also one that is being removed: what still runs of it comes to its end. Raises NotFound.
        """
        return self._locked(connection, tables.job.c.id == job_id, job_id)

    def _lock_kept_job(self, connection: sa.Connection, job_id: str, tenant: str | None) -> Row:
        """The same for clients and operators, for whom a job that is being removed is not there.

        Raises NotFound, also for a job of another than `tenant`, unless that is None.
        """
        return self._locked(connection, (tables.job.c.id == job_id) & belongs_to(tenant), job_id)

    def _locked(self, connection: sa.Connection, which: sa.ColumnElement[bool], job_id: str) -> Row:
        found = connection.execute(sa.select(tables.job).where(which).with_for_update()).one_or_none()
        if found is None:
            raise NotFound("there is no such job", job_id=job_id)
        return found

    def _read_job(self, connection: sa.Connection, job_id: str) -> Row:
        return connection.execute(sa.select(tables.job).where(tables.job.c.id == job_id)).one()

    def _update_job(self, connection: sa.Connection, job_id: str, **values: Any) -> None:
        connection.execute(
            sa.update(tables.job).where(tables.job.c.id == job_id).values(updated_at=self._now(connection), **values)
        )

    def _open_steps(self, connection: sa.Connection, job: Row, *which: sa.ColumnElement[bool]) -> None:
        """Make the job's blocked steps that match ready, and announce them."""
        opened = connection.execute(
            moving(StepEvent.OPEN)
            .where(tables.step.c.job_id == job.id, *which)
            .values(not_before=None, hints=0, next_hint_at=self._now(connection) + self.timing.hint)
            .returning(tables.step)
        ).all()
        for step in sorted(opened, key=lambda step: step.chunk):
            self._announce(connection, job, step)

    def _announce(self, connection: sa.Connection, job: Row, step: Row) -> None:
        """Write the hint that a worker should look at the step; it is sent after the commit."""
        name = step_label(step.kind, step.stage, step.chunk, job.id)
        self._hint(connection, job, task=step.kind, subject=step.id, queue=step.queue, label=name)

    def _announce_delivery(self, connection: sa.Connection, job: Row, delivery_id: str) -> None:
        name = label("callback", job.id)
        self._hint(connection, job, task="callback", subject=delivery_id, queue="callback", label=name)

    def _hint(self, connection: sa.Connection, job: Row | JobInQueue, **what: str) -> None:
        about = {"priority": job.priority, "job_id": job.id, "request_id": job.request_id}
        _INSERT_HINT.execute(connection, what | about)

    def _cancel_waiting_steps(self, connection: sa.Connection, job_id: str) -> None:
        connection.execute(
            moving(StepEvent.CANCEL)
            .where(tables.step.c.job_id == job_id, tables.step.c.state != "running")
            .values(next_hint_at=None, finished_at=self._now(connection))
        )


def belongs_to(tenant: str | None) -> sa.ColumnElement[bool]:
    """The jobs of a tenant; None: all, for those who run the service. None that is being removed."""
    kept = ~tables.job.c.removing
    return kept & (tables.job.c.tenant == tenant) if tenant is not None else kept


def moving(event: StepEvent) -> sa.Update:
    """The UPDATE of steps that `event` moves, and of no others; the caller says which."""
    return sa.update(tables.step).where(tables.step.c.state.in_(sources(event))).values(state=target(event))


def error_json(error: ErrorView) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "stage": error.stage,
        "chunk": error.chunk,
        "worker": error.worker,
        "log_tail": list(error.log_tail),
        "context": dict(error.context),
    }


def error_view(value: dict[str, Any] | None) -> ErrorView | None:
    if value is None:
        return None
    return ErrorView(**{**value, "log_tail": tuple(value["log_tail"])})
