"""Taking a step: the best one of the queue that a hint points at, and all that its holder needs to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.addresses import address_block
from meshroom_tasks.jobs.avoidance import open_to
from meshroom_tasks.jobs.base import Row, moving, new_token
from meshroom_tasks.jobs.flow import Flow
from meshroom_tasks.jobs.forecast import views_of_chunk
from meshroom_tasks.jobs.queueing import best_of
from meshroom_tasks.jobs.records import Adjustment, Options, Photo, Work
from meshroom_tasks.jobs.retries import briefly
from meshroom_tasks.jobs.shares import Shares
from meshroom_tasks.jobs.states import StepEvent
from meshroom_tasks.jobs.waiting import Waiting


class Claims(Flow, Shares, Waiting):
    @briefly
    def claim(self, step_id: str, worker: str) -> Work | None:
        """Take the best step of the queue that `step_id` belongs to; None when there is none to take.

        The best is of the tenant whose share is the least, then of the highest priority, then of the oldest job, then
        the first of its graph. It is taken by a row lock that never waits: steps that others are taking, cancelling or
        renewing are passed over, and so are those that avoid the worker.
        """
        with self.database.transaction() as connection:
            queue = connection.execute(
                sa.select(tables.step.c.queue).where(tables.step.c.id == step_id)
            ).scalar_one_or_none()
            if queue is None:
                return None
            for number, share in enumerate(self._shares(connection, queue)):
                # To wait is safe for the first only, as long as nothing is held.
                jobs = self._jobs_that_may_run(connection, share, lock=True, wait=number == 0)
                step = self._take_best(connection, queue, share.tenant, jobs, worker)
                if step is not None:
                    job = self._read_job(connection, step.job_id)
                    if job.status == "queued":
                        self._start_job(connection, step)
                    return self._work(connection, job, step)
            self._announce_soon(connection, queue, worker)
            return None

    def _take_best(
        self, connection: sa.Connection, queue: str, tenant: str, jobs: Sequence[str] | None, worker: str
    ) -> Row | None:
        now = self._now(connection)
        best = (
            best_of(queue, tenant, now, 1, tables.step.c.id, jobs=jobs)
            .where(open_to(worker, now))
            .with_for_update(of=tables.step, skip_locked=True)
        )
        while (chosen := connection.execute(best).scalar_one_or_none()) is not None:
            if (step := self._take(connection, chosen, worker)) is not None:
                return step
        return None

    def _take(self, connection: sa.Connection, step_id: str, worker: str) -> Row | None:
        """The step, now running; None when the same chunk has just been taken for another job."""
        now = self._now(connection)
        take = (
            moving(StepEvent.CLAIM)
            .where(tables.step.c.id == step_id)
            .values(
                token=new_token(),
                worker=worker,
                lease_until=now + self.timing.lease,
                next_hint_at=None,
                attempts=tables.step.c.attempts + 1,
                started_at=now,
                progress=0.0,
            )
            .returning(tables.step)
        )
        try:
            with connection.begin_nested():
                return connection.execute(take).one()
        except sa.exc.IntegrityError:
            return None  # Its end will announce those who wait; the next look at the queue passes over them.

    def _start_job(self, connection: sa.Connection, step: Row) -> None:
        """The job runs from its first claim. Where another transaction holds its row, the next claim sees to it."""
        queued = sa.select(tables.job.c.id).where(tables.job.c.id == step.job_id, tables.job.c.status == "queued")
        if connection.execute(queued.with_for_update(skip_locked=True)).first() is not None:
            self._update_job(connection, step.job_id, status="running", started_at=self._now(connection))
            job = self._read_job(connection, step.job_id)
            self._tell(connection, job, "job.started", attempt=job.attempts)

    def _work(self, connection: sa.Connection, job: Row, step: Row) -> Work:
        common: dict[str, Any] = {
            "step_id": step.id,
            "job_id": job.id,
            "kind": step.kind,
            "token": step.token,
            "attempt": step.attempts,
            "request_id": job.request_id,
            "image_urls": tuple(job.image_urls),
            "pipeline": job.pipeline,
            "settings": job.settings,
            "outputs": tuple(job.outputs),
            "options": Options.of(job.options),
            "adjustments": tuple(Adjustment(**item) for item in job.adjustments),
            "engine": job.engine or "",
            "photos_digest": job.photos_digest or "",
            "photos": tuple(Photo(**photo) for photo in job.photos or ()),
            "refresh": step.refresh,
        }
        if step.kind == "ingest":
            limits = self._limits(self._tenant(connection, job.tenant))
            return Work(**common, max_images=limits.max_images, max_job_bytes=limits.max_job_bytes)
        if step.stage is None and step.kind != "results":
            return Work(**common)
        stages = self._stages(connection, job.id)
        if step.kind == "results":
            return Work(**common, reads=self._reads_of(connection, job.id, stages, [stage.name for stage in stages]))
        stage = next(stage for stage in stages if stage.name == step.stage)
        return Work(
            **common,
            node=stage.name,
            node_type=stage.node_type,
            uid=stage.uid,
            chunk=step.chunk,
            chunk_count=stage.chunk_count,
            chunked=stage.chunked,
            block_size=address_block(stage.chunk_count, stage.block_size),
            reads=self._reads_of(connection, job.id, stages, stage.reads),
            reads_photos=stage.reads_photos,
            views=views_of_chunk(stage.chunked, stage.block_size, stage.size, step.chunk, len(job.photos or ())),
        )
