"""What a client does to a job: submit, cancel, requeue.

Where a `tenant` is named, jobs of others do not exist.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import datetime, timedelta

import sqlalchemy as sa

from meshroom_tasks.errors import Conflict, IdempotencyKeyReused, RequestRefused
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import JobInQueue, Row, new_token
from meshroom_tasks.jobs.labels import step_label
from meshroom_tasks.jobs.prepared import Prepared
from meshroom_tasks.jobs.queueing import turn
from meshroom_tasks.jobs.records import IdempotencyKey, NewJob, Submitted
from meshroom_tasks.jobs.replanning import Replanning
from meshroom_tasks.jobs.retries import briefly
from meshroom_tasks.jobs.states import ENDED, downstream_of
from meshroom_tasks.jobs.uploads import Uploads

_TENANT = Prepared(
    sa.select(tables.tenant, sa.exists().where(tables.job.c.id == sa.bindparam("job_id")).label("is_there")).where(
        tables.tenant.c.name == sa.bindparam("tenant")
    )
)
_INSERT_JOB = Prepared(
    sa.insert(tables.job),
    *("id", "tenant", "status", "created_at", "updated_at", "request_id", "pipeline", "priority", "image_urls"),
    *("image_count", "settings", "outputs", "options", "metadata", "callback_url", "callback_events", "expires_in"),
)
_INSERT_STEP = Prepared(
    sa.insert(tables.step),
    *("id", "job_id", "kind", "queue", "tenant", "rank", "queued_at", "position", "state", "next_hint_at"),
)


class Submission(Replanning, Uploads):
    def submit(self, new: NewJob) -> str:
        """Record the job, its first step and the hint for it; returns the job's id."""
        return self.submit_once(new).job_id

    def submit_once(self, new: NewJob) -> Submitted:
        """Like `submit`. With an idempotency key that is known, nothing is recorded and the job of the first time is
        named; raises IdempotencyKeyReused when something else was asked for then.
        """
        return self._record(str(uuid.uuid4()), new)

    @briefly
    def _record(self, job_id: str, new: NewJob) -> Submitted:
        return self._commits.run(lambda connection: self._recorded(connection, job_id, new))

    def _recorded(self, connection: sa.Connection, job_id: str, new: NewJob) -> Submitted:
        """In few statements: on SQLite all who submit wait for each of them."""
        tenant = _TENANT.execute(connection, {"job_id": job_id, "tenant": new.tenant}).one_or_none()
        if tenant is not None and tenant.is_there:
            return Submitted(job_id)  # Recorded by an attempt whose acknowledgement was lost.
        now = self._now(connection)
        if new.idempotency is not None:
            first = self._first_of(connection, new.tenant, new.idempotency, job_id, now)
            if first != job_id:
                return Submitted(first, replayed=True)
        self._admit(connection, new.tenant, tenant, new.image_count or len(new.image_urls))
        _INSERT_JOB.execute(
            connection,
            {
                "id": job_id,
                "tenant": new.tenant,
                "status": "queued",
                "created_at": now,
                "updated_at": now,
                "request_id": new.request_id,
                "pipeline": new.pipeline,
                "priority": new.priority,
                "image_urls": list(new.image_urls),
                "image_count": new.image_count,
                "settings": {node: dict(values) for node, values in new.settings.items()},
                "outputs": list(new.outputs),
                "options": asdict(new.options),
                "metadata": dict(new.metadata),
                "callback_url": new.callback_url,
                "callback_events": list(new.callback_events),
                "expires_in": new.expires_in,
            },
        )
        job = JobInQueue(job_id, new.tenant, new.priority, now, new.request_id)
        self._use_uploads(connection, job_id, new.tenant, new.uploads)
        step = {"id": new_token(), "job_id": job_id, "kind": "ingest", "queue": "ingest", "state": "ready"}
        _INSERT_STEP.execute(connection, step | turn(job, "ingest") | {"next_hint_at": now + self.timing.hint})
        name = step_label("ingest", None, 0, job_id)
        self._hint(connection, job, task="ingest", subject=step["id"], queue="ingest", label=name)
        return Submitted(job_id)

    def _first_of(self, connection: sa.Connection, tenant: str, key: IdempotencyKey, job_id: str, now: datetime) -> str:
        """The job that the tenant first submitted under this key: `job_id`, if no other was.

        The unique key decides a race: the second waits until the first has committed, and then finds it.
        """
        mine = {"tenant": tenant, "idempotency_key": key.name}
        row = {**mine, "fingerprint": key.fingerprint, "job_id": job_id, "created_at": now}
        insert = self.database.insert(tables.submission).on_conflict_do_nothing()
        if connection.execute(insert.returning(tables.submission.c.job_id), row).first() is not None:
            return job_id
        return _same_request(connection.execute(sa.select(tables.submission).filter_by(**mine)).one(), key)

    @briefly
    def submitted_before(self, key: IdempotencyKey, *, tenant: str) -> Submitted | None:
        """What this request was answered with before; None: nothing. Raises IdempotencyKeyReused."""
        known = sa.select(tables.submission).filter_by(tenant=tenant, idempotency_key=key.name)
        with self.database.snapshot() as connection:
            found = connection.execute(known).one_or_none()
        return Submitted(_same_request(found, key), replayed=True) if found is not None else None

    def forget_submissions(self, older_than: timedelta) -> int:
        """Forget idempotency keys; returns how many."""
        with self.database.transaction() as connection:
            old = tables.submission.c.created_at < self._now(connection) - older_than
            return connection.execute(sa.delete(tables.submission).where(old)).rowcount

    @briefly
    def cancel(self, job_id: str, *, tenant: str | None = None) -> None:
        """Nothing of the job starts any more; it is cancelled once what runs has stopped."""
        with self.database.transaction() as connection:
            job = self._lock_kept_job(connection, job_id, tenant)
            if job.status in ENDED:
                raise Conflict(f"the job is already {job.status}; there is nothing to cancel", job_id=job_id)
            self._update_job(connection, job_id, cancel_requested=True)
            self._cancel_waiting_steps(connection, job_id)
            self._cancel_job_if_idle(connection, job)

    @briefly
    def requeue(self, job_id: str, from_stage: str | None = None, *, tenant: str | None = None) -> None:
        """Run an ended job again; what was finished before `from_stage` is kept.

        What did not finish runs. With `from_stage`, that stage and all that follows from it are computed anew too, even
        where their results are in the stage cache.
        """
        with self.database.transaction() as connection:
            job = self._lock_kept_job(connection, job_id, tenant)
            if job.status not in ENDED:
                raise Conflict(f"the job is {job.status}; cancel it first, or wait for its end", job_id=job_id)
            if job.results_going:
                raise Conflict("the results of the job have expired and are being removed; try again in a while")
            if from_stage is None:
                if job.status == "completed":
                    raise Conflict("the job is completed; name the stage to start from", job_id=job_id)
                self._reset(connection, job_id, tables.step.c.state != "done", refresh=False)
            else:
                chosen = self._from(connection, job, from_stage)
                self._reset(connection, job_id, tables.step.c.state != "done", refresh=False)
                self._reset(connection, job_id, chosen, refresh=True)
            if job.replan_requested:
                self._reset(connection, job_id, self._from(connection, job, "plan"), refresh=False)
            connection.execute(sa.update(tables.step).where(tables.step.c.job_id == job_id).values(recoveries=0))
            self._update_job(
                connection,
                job_id,
                status="queued",
                cancel_requested=False,
                replan_requested=False,
                attempts=job.attempts + 1,
                progress_floor=0.0,
                started_at=None,
                finished_at=None,
                error=None,
                results=None,
                expires_at=None,
                results_expire_at=None,
            )
            self._open_next(connection, self._lock_job(connection, job_id))

    def _from(self, connection: sa.Connection, job: Row, from_stage: str) -> sa.ColumnElement[bool]:
        """The steps of `from_stage` (a node, a node type, or ingest, plan, results) and of all that follows from it."""
        kind = tables.step.c.kind
        if from_stage in ("ingest", "plan", "results"):
            kinds = ("ingest", "plan", "chunk", "results")
            return kind.in_(kinds[kinds.index(from_stage) :]) if from_stage != "results" else kind == "results"
        stages = self._stages(connection, job.id)
        named = [row.name for row in stages if from_stage in (row.name, row.node_type)]
        if not named:
            known = ", ".join(dict.fromkeys(row.node_type for row in stages)) or "ingest"
            raise RequestRefused(f"the job has no stage {from_stage!r}; it has {known}", from_stage=from_stage)
        touched = downstream_of(named[0], {row.name: row.reads for row in stages})
        return tables.step.c.stage.in_(touched) | (kind == "results")


def _same_request(found: Row, key: IdempotencyKey) -> str:
    """The id of the job that was recorded under the key, if the same was asked for then."""
    if found.fingerprint != key.fingerprint:
        raise IdempotencyKeyReused(
            "this Idempotency-Key was sent before with another request; use a new key for a new job",
            job_id=found.job_id,
        )
    return str(found.job_id)
