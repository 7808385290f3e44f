"""What the holder of a step says of it: heartbeat, finish, fail; and what the sweeper does when a worker is gone.

A claim hands out a fencing token; every later word about the step is accepted only with the current one, so that a
holder that was given up can neither finish nor fail what another has taken over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from meshroom_tasks.errors import ServiceError, StoredResultLost, WorkerLost
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, error_json, moving, new_token
from meshroom_tasks.jobs.claims import Claims
from meshroom_tasks.jobs.forecast import forecast
from meshroom_tasks.jobs.learning import Learning
from meshroom_tasks.jobs.queueing import in_state, turn
from meshroom_tasks.jobs.records import NO_RELIEF, Entry, ErrorView, Photo, PlannedWork, Relief, ResultFile, Work
from meshroom_tasks.jobs.recovery import Recovery
from meshroom_tasks.jobs.replanning import Replanning
from meshroom_tasks.jobs.retries import patiently
from meshroom_tasks.jobs.states import ENDED, StepEvent
from meshroom_tasks.jobs.warnings import merged, of_retry
from meshroom_tasks.stops import Draining, InputsOutdated, JobCancelled, LeaseLost, PlannedAnew, WaitingForDisk

_Statement = TypeVar("_Statement", sa.Update, sa.Select[Any])


class _Settled(NamedTuple):
    """The job as it was before, locked; the step as it is now."""

    job: Row
    step: Row


class WorkStore(Claims, Recovery, Replanning, Learning):
    def heartbeat(self, work: Work, progress: float) -> ServiceError | None:
        """Prolong the lease; the reason to stop, if there is one."""
        with self.database.transaction() as connection:
            now = self._now(connection)
            furthest = sa.case((tables.step.c.reached < progress, progress), else_=tables.step.c.reached)
            step = connection.execute(
                _held(work, sa.update(tables.step))
                .values(lease_until=now + self.timing.lease, progress=progress, reached=furthest)
                .returning(tables.step.c.outdated)
            ).one_or_none()
            if step is None:
                return LeaseLost("another worker has taken the step over", job_id=work.job_id)
            job = self._read_job(connection, work.job_id)
            if job.cancel_requested or job.status in ENDED:
                return JobCancelled("the job was cancelled or has failed elsewhere", job_id=work.job_id)
            if job.replan_requested:
                return PlannedAnew("the job is planned again with lower settings", job_id=work.job_id)
            return (
                InputsOutdated("what the step reads is computed again", job_id=work.job_id) if step.outdated else None
            )

    def finish_ingest(
        self,
        work: Work,
        photos: Sequence[Photo],
        photos_digest: str,
        warnings: Sequence[Mapping[str, Any]],
        image_count: int | None = None,
    ) -> bool:
        """`image_count`: photos that were given, those included that are bad or repeat others."""
        found = {
            "photos": [vars(photo) for photo in photos],
            "photos_digest": photos_digest,
            "photos_bytes": sum(photo.size for photo in photos),
        }
        return self._finish(work, warnings, **found, **({} if image_count is None else {"image_count": image_count}))

    @patiently
    def finish_plan(
        self, work: Work, engine: str, planned: Sequence[PlannedWork], warnings: Sequence[Mapping[str, Any]] = ()
    ) -> bool:
        """Write the stages of the graph, in topological order, and their chunks."""
        with self.database.transaction() as connection:
            settled = self._settle(connection, work, warnings)
            if settled is None:
                return False
            job = settled.job
            foretold = forecast(planned, len(job.photos or ()), self._experiences(connection, engine))
            for position, stage in enumerate(planned):
                connection.execute(
                    sa.insert(tables.stage).values(
                        job_id=work.job_id,
                        name=stage.name,
                        position=position,
                        node_type=stage.node_type,
                        uid=stage.uid,
                        chunk_count=stage.chunk_count,
                        chunked=stage.chunked,
                        reads=list(stage.reads),
                        reads_photos=stage.reads_photos,
                        block_size=stage.block_size,
                        size=stage.size,
                    )
                )
                for chunk in range(stage.chunk_count):
                    connection.execute(
                        sa.insert(tables.step).values(
                            id=new_token(),
                            job_id=work.job_id,
                            kind="chunk",
                            stage=stage.name,
                            chunk=chunk,
                            queue=stage.queue,
                            state="blocked",
                            weight=foretold.chunks[stage.name][chunk],
                            **turn(job, "chunk", position),
                        )
                    )
            results = sa.update(tables.step).where(tables.step.c.job_id == job.id, tables.step.c.kind == "results")
            connection.execute(results.values(weight=foretold.results))
            self._update_job(connection, work.job_id, engine=engine, measured=foretold.measured)
            self._go_on(connection, self._read_job(connection, work.job_id))
            self._learn(connection, work, settled.step)
        return True

    @patiently
    def finish_chunk(self, work: Work, entry: Entry, warnings: Sequence[Mapping[str, Any]] = ()) -> bool:
        with self.database.transaction() as connection:
            settled = self._settle(
                connection,
                work,
                warnings,
                cached=entry.cached,
                **({} if entry.cached else {"reached": 1.0}),
                entry={
                    "digest": entry.digest,
                    "bundle_key": entry.bundle_key,
                    "size": entry.size,
                    "unpacked_size": entry.unpacked_size,
                    "usage": vars(entry.usage) if entry.usage else None,
                },
            )
            if settled is None:
                return False
            self._remember_entry(connection, entry)
            self._announce_same_address_as(connection, settled.step)
            self._go_on(connection, settled.job)
            self._learn(connection, work, settled.step, entry)
        return True

    @patiently
    def finish_results(
        self,
        work: Work,
        results: Sequence[ResultFile],
        quality: Mapping[str, Any],
        warnings: Sequence[Mapping[str, Any]] = (),
    ) -> bool:
        """The job is completed, and the client's delivery recorded with it."""
        with self.database.transaction() as connection:
            settled = self._settle(connection, work, warnings)
            if settled is None:
                return False
            if settled.job.cancel_requested:
                self._cancel_job_if_idle(connection, settled.job)
            else:
                self._complete_job(connection, settled.job, results, quality)
            self._learn(connection, work, settled.step)
        return True

    @patiently
    def fail(self, work: Work, error: ServiceError, relief: Relief = NO_RELIEF) -> None:
        """The step failed: help it with `relief` where it ran out of memory; else try again as the error's policy says,
        or fail the job. Stale words are ignored."""
        with self.database.transaction() as connection:
            job = self._lock_job(connection, work.job_id)
            step = self._step(connection, work)
            if step is not None:
                self._after_failure(connection, job, step, error, relief)

    def reclaim_expired(self) -> int:
        """Take back the steps whose holders fell silent; returns how many."""
        with self.database.snapshot() as connection:
            expired = sa.select(tables.step.c.id, tables.step.c.job_id, tables.step.c.token).where(
                in_state("running"), tables.step.c.lease_until < self._now(connection)
            )
            rows: list[Row] = list(connection.execute(expired))
        return sum(self._reclaim(row) for row in rows)

    def _reclaim(self, expired: Row) -> bool:
        with self.database.transaction() as connection:
            job = self._lock_job(connection, expired.job_id)
            step = connection.execute(
                sa.select(tables.step).where(
                    tables.step.c.id == expired.id,
                    tables.step.c.token == expired.token,
                    tables.step.c.state == "running",
                    tables.step.c.lease_until < self._now(connection),
                )
            ).one_or_none()
            if step is None:
                return False
            lost = WorkerLost(f"the worker {step.worker} stopped answering", worker=step.worker)
            self._after_failure(connection, job, step, lost)
            return True

    @patiently
    def _finish(self, work: Work, warnings: Sequence[Mapping[str, Any]], **of_job: Any) -> bool:
        with self.database.transaction() as connection:
            settled = self._settle(connection, work, warnings)
            if settled is None:
                return False
            self._update_job(connection, work.job_id, **of_job)
            self._go_on(connection, self._read_job(connection, work.job_id))
            self._learn(connection, work, settled.step)
        return True

    def _settle(
        self, connection: sa.Connection, work: Work, warnings: Sequence[Mapping[str, Any]], **values: Any
    ) -> _Settled | None:
        """Mark the step done under the job's lock.

        None when the holder's token is no longer the current one, or the step was computed from what is outdated.
        """
        job = self._lock_job(connection, work.job_id)
        done = _held(work, moving(StepEvent.FINISH)).values(
            token=None, lease_until=None, progress=1.0, error=None, finished_at=self._now(connection), **values
        )
        step = connection.execute(done.where(~tables.step.c.outdated).returning(tables.step)).one_or_none()
        if step is not None:
            self._update_job(connection, job.id, warnings=merged(job.warnings, warnings))
            if step.kind != "results" and not job.cancel_requested and job.status not in ENDED:
                self._tell_stage(connection, job, step)
            return _Settled(job, step)
        if (outdated := self._step(connection, work)) is not None:
            self._after_failure(connection, job, outdated, InputsOutdated("what the step read is computed again"))
        return None

    def _go_on(self, connection: sa.Connection, job: Row) -> None:
        if job.cancel_requested:
            self._cancel_job_if_idle(connection, job)
        elif job.status not in ENDED and job.replan_requested:
            self._replan_if_idle(connection, job.id)
        elif job.status not in ENDED:
            self._open_next(connection, job)

    def _after_failure(
        self, connection: sa.Connection, job: Row, step: Row, error: ServiceError, relief: Relief = NO_RELIEF
    ) -> None:
        def leaving(event: StepEvent) -> sa.Update:
            return moving(event).where(tables.step.c.id == step.id, tables.step.c.token == step.token)

        gone = {"token": None, "lease_until": None}
        if job.cancel_requested or job.status in ENDED:
            connection.execute(leaving(StepEvent.CANCEL).values(finished_at=self._now(connection), **gone))
            if job.status not in ENDED:
                self._cancel_job_if_idle(connection, job)
            self._announce_same_address_as(connection, step)
            return
        if job.replan_requested:
            connection.execute(leaving(StepEvent.CANCEL).values(**gone))
            self._replan_if_idle(connection, job.id)
            self._announce_same_address_as(connection, step)
            return
        if step.outdated or (isinstance(error, StoredResultLost) and self._recover(connection, job, step, error)):
            self._give_up(connection, job, step)
            self._announce_same_address_as(connection, step)
            return
        if isinstance(error, WaitingForDisk):
            self._put_off(connection, job, step, error)
            self._announce_same_address_as(connection, step)
            return
        view = _error_view(step, error)
        if self._relieve(connection, job, step, view.code, relief, {**gone, "error": error_json(view)}):
            self._announce_same_address_as(connection, step)
            return
        drained = isinstance(error, Draining)
        delay = 0.0 if drained else error.retry.delay_after(step.attempts)
        if delay is None:
            connection.execute(
                leaving(StepEvent.FAIL).values(error=error_json(view), finished_at=self._now(connection), **gone)
            )
            self._fail_job(connection, job, view)
        else:
            due = self._now(connection) + timedelta(seconds=delay)
            avoid = None if drained else self._to_avoid(connection, step, error.retry.elsewhere)
            connection.execute(
                leaving(StepEvent.RETRY).values(
                    attempts=step.attempts - 1 if drained else step.attempts,
                    not_before=due,
                    avoid=avoid,
                    avoid_until=due + self.timing.avoid if avoid else None,
                    hints=0,
                    next_hint_at=due + self.timing.hint if delay == 0 else due,
                    error=error_json(view),
                    **gone,
                )
            )
            if told := of_retry(view.code, view.stage or step.kind, step.worker):
                self._update_job(connection, job.id, warnings=merged(job.warnings, told))
            if delay == 0:
                self._announce(connection, job, step)
        self._announce_same_address_as(connection, step)

    def _announce_same_address_as(self, connection: sa.Connection, step: Row) -> None:
        """Other jobs may have waited for this chunk: whoever waits may look again."""
        if step.address is None:
            return
        waiting = sa.select(tables.step).where(
            tables.step.c.address == step.address, in_state("ready"), tables.step.c.id != step.id
        )
        for other in connection.execute(waiting).all():
            self._announce(connection, self._read_job(connection, other.job_id), other)

    def _step(self, connection: sa.Connection, work: Work) -> Row | None:
        return connection.execute(_held(work, sa.select(tables.step))).one_or_none()


def _held(work: Work, statement: _Statement) -> _Statement:
    """`statement`, for the step as long as its holder's token is the current one."""
    return statement.where(
        tables.step.c.id == work.step_id, tables.step.c.token == work.token, tables.step.c.state == "running"
    )


def _error_view(step: Row, error: ServiceError) -> ErrorView:
    return ErrorView(
        code=error.code,
        message=error.message,
        stage=step.stage or step.kind,
        chunk=step.chunk if step.stage else None,
        worker=step.worker,
        log_tail=error.log_tail,
        context=error.context,
    )
