"""Jobs as their readers see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, belongs_to, error_view
from meshroom_tasks.jobs.cursors import write_cursor
from meshroom_tasks.jobs.listing import newest_first
from meshroom_tasks.jobs.places import Places, Room
from meshroom_tasks.jobs.progress import Task, job_progress
from meshroom_tasks.jobs.queueing import in_state
from meshroom_tasks.jobs.records import Adjustment, JobStatus, JobView, Options, Page, ResultFile, StageView
from meshroom_tasks.jobs.retries import briefly
from meshroom_tasks.jobs.stage_views import reuse_of, stage_views
from meshroom_tasks.jobs.standing import Standing, task_of
from meshroom_tasks.jobs.states import ENDED
from meshroom_tasks.jobs.time_left import seconds_left
from meshroom_tasks.jobs.waiting import Waiting

Stamp = tuple[object, ...]


def _columns(table: sa.Table, names: str) -> sa.Select[Any]:
    return sa.select(*(table.c[name] for name in names.split()))


_STAMP = _columns(tables.job, "tenant updated_at status attempts cancel_requested").where(
    tables.job.c.id == sa.bindparam("job_id")
)

_IDS: sa.BindParameter[Any] = sa.bindparam("job_ids", expanding=True)
# Rows of jobs with many photos are large, those of steps many: only what is shown is read.
_JOBS: sa.Select[Any] = sa.select(
    *(column for column in tables.job.c if column.name not in ("image_urls", "image_count", "photos")),
    sa.func.coalesce(tables.job.c.image_count, sa.func.json_array_length(tables.job.c.image_urls)).label("image_count"),
)
_STEPS = (
    _columns(
        tables.step,
        "id job_id kind stage chunk queue position state attempts worker weight progress reached cached entry",
    )
    .add_columns(tables.step.c.started_at, tables.step.c.finished_at)
    .where(tables.step.c.job_id.in_(_IDS))
    .order_by(tables.step.c.position, tables.step.c.chunk)
)
_STAGES = (
    _columns(tables.stage, "job_id name node_type reads")
    .where(tables.stage.c.job_id.in_(_IDS))
    .order_by(tables.stage.c.position)
)

_RUNNING = tables.step.alias("running")
_COMPUTED_ELSEWHERE = sa.select(
    tables.step.c.id, tables.step.c.tenant, _RUNNING.c.job_id, _RUNNING.c.tenant.label("other")
).where(
    tables.step.c.job_id.in_(_IDS),
    in_state("ready"),
    _RUNNING.c.address == tables.step.c.address,
    in_state("running", _RUNNING),
)


class Views(Places, Waiting, Standing):
    @briefly
    def job(self, job_id: str, *, tenant: str | None = None) -> JobView:
        """Raises NotFound, also for a job of another than `tenant`, unless that is None."""
        query = _JOBS.where(tables.job.c.id == job_id, belongs_to(tenant))
        with self.database.snapshot() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise NotFound("there is no such job", job_id=job_id)
            return self._views(connection, [row])[0]

    @briefly
    def stamp(self, job_id: str, *, tenant: str | None = None) -> Stamp:
        """Changes with everything that a client does to the job, and when it begins and ends. Raises NotFound."""
        with self.database.snapshot() as connection:
            row = connection.execute(_STAMP, {"job_id": job_id}).one_or_none()
        if row is None or tenant not in (None, row.tenant):
            raise NotFound("there is no such job", job_id=job_id)
        return tuple(row)

    @briefly
    def jobs(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        status: JobStatus | None = None,
        created_after: datetime | None = None,
        tenant: str | None = None,
    ) -> Page:
        """Newest first; of one tenant, or of all. A cursor stays valid while jobs come and go."""
        query = newest_first(_JOBS, tenant=tenant, status=status, cursor=cursor, created_after=created_after)
        with self.database.snapshot() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
            views = self._views(connection, rows[:limit])
        return Page(views, write_cursor(rows[limit - 1].created_at, rows[limit - 1].id) if len(rows) > limit else None)

    def ping(self) -> None:
        """Raises DatabaseUnavailable."""
        self.database.ping()

    def _views(self, connection: sa.Connection, jobs: Sequence[Row]) -> tuple[JobView, ...]:
        """In as many statements for many jobs as for one."""
        ids = [job.id for job in jobs]
        now = self._now(connection)
        steps = _by_job(connection.execute(_STEPS, {"job_ids": ids}))
        stages = _by_job(connection.execute(_STAGES, {"job_ids": ids}))
        tasks = {job_id: [task_of(step, now) for step in steps[job_id]] for job_id in ids}
        queues = {job.id: frozenset(task.queue for task in tasks[job.id] if task.state == "ready") for job in jobs}
        waiting = [job_id for job_id in ids if queues[job_id]]
        waits = {**self._computed_elsewhere(connection, waiting), **self._waits(connection, waiting)} if waiting else {}
        live = [job for job in jobs if job.status not in ENDED]
        room = self._room(connection, now) if live else Room((), ())
        idle = [job for job in live if not any(task.state == "running" for task in tasks[job.id])]
        behind = self._jobs_before(connection, [(job, queues[job.id]) for job in idle], room)
        return tuple(
            _job_view(
                job,
                stage_views(stages[job.id], steps[job.id], waits),
                steps[job.id],
                tasks[job.id],
                behind.get(job.id),
                _seconds_left(job, stages[job.id], tasks[job.id], room) if not behind.get(job.id) else None,
            )
            for job in jobs
        )

    def _computed_elsewhere(self, connection: sa.Connection, job_ids: Collection[str]) -> dict[str, str]:
        """By the id of a step: the job for which the same chunk is being computed, and whose result it will take.

        A job of another tenant is not named: whoever knows its id may fetch its results.
        """
        found = connection.execute(_COMPUTED_ELSEWHERE, {"job_ids": job_ids})
        named = {row.id: f"job {row.job_id}" if row.other == row.tenant else "another job" for row in found}
        return {step_id: f"waiting for {other}, which computes the same" for step_id, other in named.items()}


def _by_job(rows: Iterable[Row]) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.job_id].append(row)
    return found


def _seconds_left(job: Row, stages: Sequence[Row], tasks: Sequence[Task], room: Room) -> float | None:
    if job.status != "running" or not stages:
        return None
    return seconds_left(tasks, {row.name: row.reads for row in stages}, room.slots(job), job.measured)


def _job_view(
    job: Row,
    stages: tuple[StageView, ...],
    steps: Sequence[Row],
    tasks: Sequence[Task],
    behind: int | None,
    left: float | None,
) -> JobView:
    return JobView(
        id=job.id,
        tenant=job.tenant,
        status=job.status,
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        pipeline=job.pipeline,
        settings=job.settings,
        priority=job.priority,
        outputs=tuple(job.outputs),
        options=Options.of(job.options),
        adjustments=tuple(Adjustment(**item) for item in job.adjustments),
        image_count=job.image_count,
        callback_url=job.callback_url,
        callback_events=tuple(job.callback_events),
        metadata=job.metadata,
        progress=1.0 if job.status == "completed" else round(job_progress(tasks, job.progress_floor), 4),
        seconds_left=left,
        queued_behind=behind,
        engine=job.engine,
        stages=stages,
        reuse=reuse_of(steps),
        warnings=tuple(job.warnings),
        results=tuple(ResultFile(**item) for item in job.results or ()),
        quality=job.quality or {},
        error=error_view(job.error) if job.status in ENDED else None,
        attempts=job.attempts,
        request_id=job.request_id,
        expires_in=job.expires_in,
        expires_at=job.expires_at,
        results_expire_at=job.results_expire_at,
    )
