"""How far the steps of a job have come, as its progress and its forecast see them."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase
from meshroom_tasks.jobs.progress import Task, job_progress


class Standing(StoreBase):
    def _keep_progress(self, connection: sa.Connection, job: Row) -> None:
        """Before the steps of a job are replaced within an attempt: its progress goes on from where it is now."""
        steps = connection.execute(sa.select(tables.step).where(tables.step.c.job_id == job.id)).all()
        tasks = [task_of(step, self._now(connection)) for step in steps]
        self._update_job(connection, job.id, progress_floor=job_progress(tasks, job.progress_floor))


def task_of(step: Row, now: datetime) -> Task:
    until = step.finished_at if step.state == "done" else now
    return Task(
        kind=step.kind,
        queue=step.queue,
        state=step.state,
        weight=step.weight,
        progress=1.0 if step.state == "done" else step.progress,
        # What its holder has not told yet; a cached chunk is worth what was computed of it before.
        reached=1.0 if step.state == "done" and not step.cached else step.reached,
        cached=step.cached,
        stage=step.stage or "",
        seconds=max(0.0, (until - step.started_at).total_seconds()) if step.started_at and until else 0.0,
    )
