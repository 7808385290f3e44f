"""Which jobs a list shows, and in which order."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import belongs_to
from meshroom_tasks.jobs.cursors import read_cursor
from meshroom_tasks.jobs.records import JobStatus


def newest_first(
    query: sa.Select[Any],
    *,
    tenant: str | None,
    status: JobStatus | None,
    cursor: str | None,
    created_after: datetime | None = None,
) -> sa.Select[Any]:
    """Those of `query`; of one tenant, or of all. Raises RequestRefused for what is no cursor."""
    job = tables.job.c
    query = query.where(belongs_to(tenant)).order_by(job.created_at.desc(), job.id.desc())
    if status is not None:
        query = query.where(job.status == status)
    if created_after is not None:
        query = query.where(job.created_at > created_after)
    if cursor is not None:
        created_at, job_id = read_cursor(cursor)
        query = query.where((job.created_at < created_at) | ((job.created_at == created_at) & (job.id < job_id)))
    return query
