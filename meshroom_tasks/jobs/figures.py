"""Figures for monitoring: what the tables say now, in counts without names of jobs or tenants."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

import sqlalchemy as sa

from meshroom_tasks.errors import AddressNotAllowed
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import StoreBase
from meshroom_tasks.jobs.installation import installation
from meshroom_tasks.jobs.records import JobStatus
from meshroom_tasks.jobs.retries import briefly

RECENT = timedelta(hours=1)


@dataclass(frozen=True)
class Runs:
    """Of one kind of stage that ended recently: how many chunks, and their seconds in all."""

    stage: str
    outcome: str
    count: int
    seconds: float


@dataclass(frozen=True)
class Figures:
    """`steps`: by queue and state, those that are ready or running. `attempts`: of callbacks, by outcome.

    `blocked`: addresses that may not be called, by what they were given for.
    """

    jobs: dict[str, int]
    steps: dict[tuple[str, str], int]
    recent: tuple[Runs, ...]
    attempts: dict[str, int]
    pending_deliveries: int
    oldest_pending_seconds: float
    hints: int
    blocked: dict[str, int]
    storage_is_anothers: bool


class Monitoring(StoreBase):
    @briefly
    def figures(self) -> Figures:
        job, step, delivery = tables.job.c, tables.step.c, tables.delivery.c
        count, code = sa.func.count(), tables.delivery_attempt.c.status_code
        with self.database.snapshot() as connection:
            now = self._now(connection)
            jobs: dict[str, int] = dict.fromkeys(get_args(JobStatus), 0)
            jobs.update(
                (row[0], row[1]) for row in connection.execute(sa.select(job.status, count).group_by(job.status))
            )
            alive = sa.select(step.queue, step.state, count).where(step.state.in_(("ready", "running")))
            steps = {(row[0], row[1]): row[2] for row in connection.execute(alive.group_by(step.queue, step.state))}
            outcome = sa.case((code.between(200, 299), "received"), else_="failed").label("outcome")
            attempts = {"received": 0, "failed": 0}
            by_outcome = sa.select(outcome, count).group_by("outcome")
            attempts.update((row[0], row[1]) for row in connection.execute(by_outcome))
            not_allowed = AddressNotAllowed()
            of_photos = (job.status == "failed") & (job.error["code"].as_string() == not_allowed.code)
            of_callbacks = tables.delivery_attempt.c.error == not_allowed.message
            blocked = {
                what: connection.execute(sa.select(count).where(condition)).scalar_one()
                for what, condition in (("photo", of_photos), ("callback", of_callbacks))
            }
            pending = sa.select(count, sa.func.min(delivery.created_at)).where(delivery.status == "pending")
            waiting, oldest = connection.execute(pending).one()
            hints = connection.execute(sa.select(count).select_from(tables.outbox)).scalar_one()
            storage_is_anothers = connection.execute(sa.select(installation.c.storage_is_anothers)).scalar_one()
            ended = connection.execute(
                sa.select(
                    step.kind, tables.stage.c.node_type, step.state, step.cached, step.started_at, step.finished_at
                )
                .join(tables.job, job.id == step.job_id)
                .outerjoin(tables.stage, (tables.stage.c.job_id == step.job_id) & (tables.stage.c.name == step.stage))
                .where(job.updated_at >= now - RECENT, step.finished_at >= now - RECENT, step.started_at.is_not(None))
            ).all()
        runs: Counter[tuple[str, str]] = Counter()
        seconds: Counter[tuple[str, str]] = Counter()
        for kind, node_type, state, cached, started_at, finished_at in ended:
            which = (node_type or kind, "cached" if cached else state)
            runs[which] += 1
            seconds[which] += (finished_at - started_at).total_seconds()
        return Figures(
            jobs=jobs,
            steps=steps,
            recent=tuple(Runs(*which, runs[which], round(seconds[which], 3)) for which in sorted(runs)),
            attempts=attempts,
            pending_deliveries=waiting,
            oldest_pending_seconds=max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0,
            hints=hints,
            blocked=blocked,
            storage_is_anothers=storage_is_anothers,
        )
