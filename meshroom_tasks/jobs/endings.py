"""How a job ends: its last status and the delivery that tells the client, in the transaction that ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, error_json
from meshroom_tasks.jobs.cache_entries import CacheEntries
from meshroom_tasks.jobs.events import Events
from meshroom_tasks.jobs.notices import completed_notice, failed_notice
from meshroom_tasks.jobs.queueing import in_state
from meshroom_tasks.jobs.records import ErrorView, JobStatus, ResultFile
from meshroom_tasks.jobs.tenants import Tenants

CANCELLED = ErrorView(code="job_cancelled", message="The job was cancelled on request.")


class Endings(CacheEntries, Tenants, Events):
    def _complete_job(
        self, connection: sa.Connection, job: Row, results: Sequence[ResultFile], quality: Mapping[str, Any]
    ) -> None:
        files = [vars(item) for item in results]
        size = sum(item.size for item in results)
        self._end(connection, job, "completed", results=files, results_bytes=size, quality=dict(quality), error=None)
        body = completed_notice(job.id, job.metadata, results, self.base_url)
        self._notify(connection, job, "job.completed", body)

    def _fail_job(self, connection: sa.Connection, job: Row, error: ErrorView) -> None:
        self._end(connection, job, "failed", error=error_json(error))
        self._notify(connection, job, "job.failed", failed_notice(job.id, job.metadata, error))

    def _cancel_job_if_idle(self, connection: sa.Connection, job: Row) -> None:
        """A job is cancelled when nothing of it runs any more, and not before."""
        running = sa.exists().where(tables.step.c.job_id == job.id, tables.step.c.state == "running")
        if not connection.execute(sa.select(running)).scalar_one():
            self._end(connection, job, "cancelled", error=error_json(CANCELLED))
            self._notify(connection, job, "job.failed", failed_notice(job.id, job.metadata, CANCELLED))

    def _end(self, connection: sa.Connection, job: Row, status: JobStatus, **values: Any) -> None:
        self._cancel_waiting_steps(connection, job.id)
        self._use_entries_of(connection, job.id)
        expires = self._expires(job, status, now := self._now(connection))
        self._update_job(connection, job.id, status=status, finished_at=now, **expires, **values)
        self._announce_next_job(connection, job.tenant)

    def _expires(self, job: Row, status: JobStatus, now: datetime) -> dict[str, datetime | None]:
        """When a job that ends now goes, and its results, if it has any."""
        after = timedelta(seconds=job.expires_in) if job.expires_in is not None else self.expiry.job
        results = self.expiry.results if status == "completed" else None
        return {
            "expires_at": now + after if after is not None else None,
            "results_expire_at": now + results if results is not None else None,
        }

    def _announce_next_job(self, connection: sa.Connection, tenant: str) -> None:
        """Where a tenant may run so many jobs only, the place of one that has ended is for the next in its queue."""
        if not self._limits(self._tenant(connection, tenant)).max_running_jobs:
            return
        job, step = tables.job.c, tables.step.c
        queued = sa.select(tables.job).where(job.tenant == tenant, job.status == "queued", ~job.cancel_requested)
        found = connection.execute(queued.order_by(job.priority.desc(), job.created_at, job.id).limit(1)).one_or_none()
        if found is not None:
            for row in connection.execute(sa.select(tables.step).where(step.job_id == found.id, in_state("ready"))):
                self._announce(connection, found, row)
