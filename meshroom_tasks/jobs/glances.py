"""A look at a list of jobs that costs next to nothing, for those who wait for it to change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import StoreBase
from meshroom_tasks.jobs.listing import newest_first
from meshroom_tasks.jobs.queueing import in_state
from meshroom_tasks.jobs.records import JobStatus
from meshroom_tasks.jobs.retries import briefly
from meshroom_tasks.jobs.states import ENDED

_ROWS = sa.select(tables.job.c.id, tables.job.c.status, tables.job.c.updated_at)
_RUNNING = sa.select(tables.step.c.id, tables.step.c.job_id, tables.step.c.attempts, tables.step.c.progress).where(
    in_state("running"), tables.step.c.tenant == sa.bindparam("tenant")
)


@dataclass(frozen=True)
class Glance:
    """`mark`: another one when what the list shows has changed.

    It is not where other tenants' jobs or time alone change it, nor for a chunk that was begun and done since the last
    look, until something follows from that. `is_live`: whether a job is queued or running, so that this may be.
    """

    mark: str
    is_live: bool


class Glances(StoreBase):
    @briefly
    def glance(self, *, tenant: str, limit: int, status: JobStatus | None = None, cursor: str | None = None) -> Glance:
        """Of the list that `jobs` brings for the same arguments: its rows, and the steps of the tenant that run."""
        rows = newest_first(_ROWS, tenant=tenant, status=status, cursor=cursor).limit(limit + 1)
        with self.database.snapshot() as connection:
            jobs = connection.execute(rows).all()
            is_live = any(job.status not in ENDED for job in jobs)
            running = connection.execute(_RUNNING, {"tenant": tenant}).all() if is_live else []
        listed = {job.id for job in jobs}
        # Also of jobs that are not listed: whoever waits behind them moves up.
        steps = sorted((step.id, step.attempts, step.progress if step.job_id in listed else 0.0) for step in running)
        seen = repr(([(job.id, job.updated_at.timestamp()) for job in jobs], steps))
        return Glance(hashlib.sha256(seen.encode()).hexdigest()[:16], is_live)
