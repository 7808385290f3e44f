"""Jobs as their readers see them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from meshroom_tasks.errors import NotFound, RequestRefused
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase, error_view
from meshroom_tasks.jobs.progress import FIXED_WEIGHTS, Share, job_progress, seconds_left
from meshroom_tasks.jobs.records import (
    ChunkView,
    JobStatus,
    JobView,
    Options,
    Page,
    ResultFile,
    StageView,
    StepState,
    Usage,
)
from meshroom_tasks.jobs.retries import briefly
from meshroom_tasks.jobs.states import ENDED

_FIXED_BEFORE = ("ingest", "plan")


class Views(StoreBase):
    @briefly
    def job(self, job_id: str) -> JobView:
        with self.database.snapshot() as connection:
            row = connection.execute(sa.select(tables.job).where(tables.job.c.id == job_id)).one_or_none()
            if row is None:
                raise NotFound("there is no such job", job_id=job_id)
            return self._view(connection, row)

    @briefly
    def jobs(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        status: JobStatus | None = None,
        created_after: datetime | None = None,
    ) -> Page:
        """Newest first. A cursor stays valid while jobs come and go."""
        query = sa.select(tables.job).order_by(tables.job.c.created_at.desc(), tables.job.c.id.desc())
        if status is not None:
            query = query.where(tables.job.c.status == status)
        if created_after is not None:
            query = query.where(tables.job.c.created_at > created_after)
        if cursor is not None:
            created_at, job_id = _read_cursor(cursor)
            same = (tables.job.c.created_at == created_at) & (tables.job.c.id < job_id)
            query = query.where((tables.job.c.created_at < created_at) | same)
        with self.database.snapshot() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
            views = tuple(self._view(connection, row) for row in rows[:limit])
        return Page(views, _write_cursor(rows[limit - 1]) if len(rows) > limit else None)

    def ping(self) -> None:
        """Raises DatabaseUnavailable."""
        self.database.ping()

    def _view(self, connection: sa.Connection, job: Row) -> JobView:
        steps = connection.execute(sa.select(tables.step).where(tables.step.c.job_id == job.id)).all()
        stages = connection.execute(
            sa.select(tables.stage).where(tables.stage.c.job_id == job.id).order_by(tables.stage.c.position)
        ).all()
        weights = {**FIXED_WEIGHTS, **{row.name: row.weight for row in stages}}
        order = [*_FIXED_BEFORE, *(row.name for row in stages), "results"]
        node_types = {row.name: row.node_type for row in stages}
        views = tuple(
            _stage_view(name, node_types.get(name, name), [step for step in steps if (step.stage or step.kind) == name])
            for name in order
        )
        done = job_progress([Share(weights[view.name], view.progress) for view in views], planned=bool(stages))
        progress = 1.0 if job.status == "completed" else done
        left = None
        if job.status == "running" and job.started_at is not None:
            left = seconds_left(progress, (self._now(connection) - job.started_at).total_seconds())
        return JobView(
            id=job.id,
            status=job.status,
            created_at=job.created_at,
            updated_at=job.updated_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            pipeline=job.pipeline,
            settings=job.settings,
            priority=job.priority,
            outputs=tuple(job.outputs),
            options=Options(**job.options),
            image_count=len(job.image_urls),
            callback_url=job.callback_url,
            metadata=job.metadata,
            progress=round(progress, 4),
            seconds_left=left,
            engine=job.engine,
            stages=views,
            warnings=tuple(job.warnings),
            results=tuple(ResultFile(**item) for item in job.results or ()),
            quality=job.quality or {},
            error=error_view(job.error) if job.status in ENDED else None,
            attempts=job.attempts,
            request_id=job.request_id,
        )


def _stage_view(name: str, node_type: str, steps: Sequence[Row]) -> StageView:
    chunks = tuple(_chunk_view(step) for step in sorted(steps, key=lambda step: step.chunk))
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


def _chunk_view(step: Row) -> ChunkView:
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
    )


def _write_cursor(row: Row) -> str:
    return base64.urlsafe_b64encode(json.dumps([row.created_at.isoformat(), row.id]).encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        created_at, job_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is None or not isinstance(job_id, str):
            raise ValueError(cursor)
    except (ValueError, TypeError, binascii.Error) as error:
        raise RequestRefused("the cursor is not one that this service gave out; leave it out to begin anew") from error
    return moment, job_id
