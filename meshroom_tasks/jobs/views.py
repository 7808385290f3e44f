"""Jobs as their readers see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, belongs_to, error_view
from meshroom_tasks.jobs.cursors import read_cursor, write_cursor
from meshroom_tasks.jobs.progress import job_progress
from meshroom_tasks.jobs.queueing import HIGHEST_PRIORITY, in_state
from meshroom_tasks.jobs.records import (
    Adjustment,
    ChunkView,
    JobStatus,
    JobView,
    Options,
    Page,
    ResultFile,
    Reuse,
    StageView,
    StepState,
    Usage,
)
from meshroom_tasks.jobs.retries import briefly
from meshroom_tasks.jobs.standing import Standing, task_of
from meshroom_tasks.jobs.states import ENDED
from meshroom_tasks.jobs.time_left import Slot, seconds_left
from meshroom_tasks.jobs.waiting import Waiting

Stamp = tuple[object, ...]

_STAMP = sa.select(
    *(tables.job.c[name] for name in ("tenant", "updated_at", "status", "attempts", "cancel_requested"))
).where(tables.job.c.id == sa.bindparam("job_id"))
_FIXED_BEFORE = ("ingest", "plan")


class Views(Waiting, Standing):
    @briefly
    def job(self, job_id: str, *, tenant: str | None = None) -> JobView:
        """Raises NotFound, also for a job of another than `tenant`, unless that is None."""
        query = sa.select(tables.job).where(tables.job.c.id == job_id, belongs_to(tenant))
        with self.database.snapshot() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise NotFound("there is no such job", job_id=job_id)
            return self._view(connection, row)

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
        query = sa.select(tables.job).where(belongs_to(tenant))
        query = query.order_by(tables.job.c.created_at.desc(), tables.job.c.id.desc())
        if status is not None:
            query = query.where(tables.job.c.status == status)
        if created_after is not None:
            query = query.where(tables.job.c.created_at > created_after)
        if cursor is not None:
            created_at, job_id = read_cursor(cursor)
            same = (tables.job.c.created_at == created_at) & (tables.job.c.id < job_id)
            query = query.where((tables.job.c.created_at < created_at) | same)
        with self.database.snapshot() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
            views = tuple(self._view(connection, row) for row in rows[:limit])
        return Page(views, write_cursor(rows[limit - 1].created_at, rows[limit - 1].id) if len(rows) > limit else None)

    def ping(self) -> None:
        """Raises DatabaseUnavailable."""
        self.database.ping()

    def _view(self, connection: sa.Connection, job: Row) -> JobView:
        steps = connection.execute(sa.select(tables.step).where(tables.step.c.job_id == job.id)).all()
        stages = connection.execute(
            sa.select(tables.stage).where(tables.stage.c.job_id == job.id).order_by(tables.stage.c.position)
        ).all()
        order = [*_FIXED_BEFORE, *(row.name for row in stages), "results"]
        node_types = {row.name: row.node_type for row in stages}
        waits = {**self._computed_elsewhere(connection, job), **self._waits(connection, job.id)}
        views = tuple(
            _stage_view(
                name,
                node_types.get(name, name),
                [step for step in steps if (step.stage or step.kind) == name],
                waits,
            )
            for name in order
        )
        now = self._now(connection)
        tasks = [task_of(step, now) for step in sorted(steps, key=lambda step: (step.position, step.chunk))]
        behind = left = None
        if job.status not in ENDED and not any(task.state == "running" for task in tasks):
            behind = self._jobs_before(connection, job)
        if job.status == "running" and stages and not behind:
            reads = {row.name: row.reads for row in stages}
            left = seconds_left(tasks, reads, self._slots(connection, job, now), job.measured)
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
            image_count=len(job.image_urls) if job.image_count is None else job.image_count,
            callback_url=job.callback_url,
            callback_events=tuple(job.callback_events),
            metadata=job.metadata,
            progress=1.0 if job.status == "completed" else round(job_progress(tasks, job.progress_floor), 4),
            seconds_left=left,
            queued_behind=behind,
            engine=job.engine,
            stages=views,
            reuse=_reuse(steps),
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

    def _computed_elsewhere(self, connection: sa.Connection, job: Row) -> dict[str, str]:
        """By the id of a step: the job for which the same chunk is being computed, and whose result it will take.

        A job of another tenant is not named: whoever knows its id may fetch its results.
        """
        step, running = tables.step.c, tables.step.alias("running")
        query = sa.select(step.id, running.c.job_id, running.c.tenant).where(
            step.job_id == job.id, in_state("ready"), running.c.address == step.address, in_state("running", running)
        )
        found = connection.execute(query)
        named = {row.id: f"job {row.job_id}" if row.tenant == job.tenant else "another job" for row in found}
        return {step_id: f"waiting for {other}, which computes the same" for step_id, other in named.items()}

    def _slots(self, connection: sa.Connection, job: Row, now: datetime) -> list[Slot]:
        """Room for steps on the workers that answer, but for what steps of jobs before this one, and of other tenants,
        take of it."""
        step = tables.step.c
        comes_first = (step.tenant != job.tenant) | _is_before(job)
        before = sa.select(step.worker).where(in_state("running"), step.job_id != job.id, comes_first)
        taken = Counter(row.worker for row in connection.execute(before))
        alive = sa.select(tables.worker).where(
            tables.worker.c.last_seen >= now - self.timing.lease,
            tables.worker.c.refusal.is_(None),
            ~tables.worker.c.stopping,
            ~tables.worker.c.drain_requested,
        )
        slots: list[Slot] = []
        for worker in connection.execute(alive.order_by(tables.worker.c.name)):
            slots += [Slot(frozenset(worker.queues))] * max(0, worker.processes - taken[worker.name])
        return slots

    def _jobs_before(self, connection: sa.Connection, job: Row) -> int:
        """How many other jobs have steps whose turn comes before those of this job on the queues that it waits for.

        Of each other tenant as many as of its own: they take turns (shares.py).
        """
        step, own = tables.step.c, tables.step.alias("own").c
        queues = sa.select(own.queue).where(own.job_id == job.id, own.state == "ready")
        live = sa.and_(in_state("ready") | in_state("running"), step.queue.in_(queues))
        jobs = sa.func.count(step.job_id.distinct())
        own_before = int(
            connection.execute(
                sa.select(jobs).where(live, step.tenant == job.tenant, step.job_id != job.id, _is_before(job))
            ).scalar_one()
        )
        if not own_before:
            return 0
        others = sa.select(jobs).where(live, step.tenant != job.tenant).group_by(step.tenant)
        return own_before + sum(min(own_before, count) for count in connection.scalars(others))


def _is_before(job: Row) -> sa.ColumnElement[bool]:
    """Steps of jobs of the same tenant that are served before this one."""
    step, rank = tables.step.c, HIGHEST_PRIORITY - job.priority
    return sa.or_(step.rank < rank, sa.and_(step.rank == rank, step.queued_at < job.created_at))


def _reuse(steps: Sequence[Row]) -> Reuse:
    chunks = [step for step in steps if step.kind == "chunk"]
    return Reuse(chunks=len(chunks), cached=sum(step.state == "done" and step.cached for step in chunks))


def _stage_view(name: str, node_type: str, steps: Sequence[Row], waits: Mapping[str, str]) -> StageView:
    chunks = tuple(_chunk_view(step, waits.get(step.id)) for step in sorted(steps, key=lambda step: step.chunk))
    return StageView(
        name=name,
        node_type=node_type,
        state=stage_state([chunk.state for chunk in chunks]),
        progress=sum(chunk.progress for chunk in chunks) / len(chunks) if chunks else 0.0,
        cached=bool(chunks) and all(chunk.cached for chunk in chunks),
        chunks=chunks,
    )


def stage_state(chunks: Sequence[StepState]) -> StepState:
    """A stage's state from those of its chunks: the worst that is final, else running as soon as any has begun."""
    states = set(chunks)
    for final in ("failed", "cancelled"):
        if final in states:
            return final
    if states == {"done"}:
        return "done"
    if states & {"running", "done"}:
        return "running"
    return "ready" if "ready" in states else "blocked"


def _chunk_view(step: Row, waiting: str | None) -> ChunkView:
    usage = (step.entry or {}).get("usage")
    return ChunkView(
        index=step.chunk,
        state=step.state,
        attempts=step.attempts,
        cached=step.cached,
        progress=1.0 if step.state == "done" else step.progress,
        worker=step.worker,
        started_at=step.started_at,
        finished_at=step.finished_at,
        usage=Usage(**usage) if usage else None,
        waiting=waiting,
    )
