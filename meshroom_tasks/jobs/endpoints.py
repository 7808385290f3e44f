"""Endpoints of callbacks that fail: whose last attempt was not received.

An endpoint is a callback URL of a tenant without its query, which is often another for each job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase, belongs_to
from meshroom_tasks.jobs.retries import briefly


@dataclass(frozen=True)
class FailingEndpoint:
    """`since`: the first attempt that failed after the last one that was received. `pending`, `failed` and `disabled`
    count the deliveries that were tried and not received, by what becomes of them.
    """

    tenant: str
    endpoint: str
    since: datetime
    last_attempt_at: datetime
    status_code: int | None
    error: str | None
    last_success_at: datetime | None
    next_attempt_at: datetime | None
    pending: int
    failed: int
    disabled: int


class Endpoints(StoreBase):
    @briefly
    def failing_endpoints(self, *, tenant: str | None = None, limit: int = 100) -> tuple[FailingEndpoint, ...]:
        """Those of a tenant, or of all; the one that was tried last comes first."""
        with self.database.snapshot() as connection:
            rows = connection.execute(_failing(tenant, limit)).all()
            return tuple(_endpoint(row, connection.execute(_attempts_since(row)).all()) for row in rows)


def _failing(tenant: str | None, limit: int) -> sa.Select[Any]:
    delivery, job = tables.delivery.c, tables.job.c

    def count(status: str) -> sa.ColumnElement[int]:
        return sa.func.sum(sa.case((delivery.status == status, 1), else_=0)).label(status)

    tried = (
        sa.select(
            job.tenant,
            delivery.endpoint,
            sa.func.max(delivery.last_attempt_at).label("last_attempt_at"),
            sa.func.min(delivery.next_attempt_at).label("next_attempt_at"),
            *(count(status) for status in ("pending", "failed", "disabled")),
        )
        .join_from(tables.delivery, tables.job)
        .where(delivery.status != "succeeded", delivery.last_attempt_at.is_not(None), belongs_to(tenant))
        .group_by(job.tenant, delivery.endpoint)
        .subquery()
    )
    received, its_job = tables.delivery.alias("received"), tables.job.alias("its_job")
    last_success = (
        sa.select(sa.func.max(received.c.last_attempt_at))
        .join_from(received, its_job)
        .where(received.c.endpoint == tried.c.endpoint, received.c.status == "succeeded")
        .where(its_job.c.tenant == tried.c.tenant)
        .scalar_subquery()
    )
    found = sa.select(tried, last_success.label("last_success_at")).subquery()
    fails = found.c.last_success_at.is_(None) | (found.c.last_success_at < found.c.last_attempt_at)
    return sa.select(found).where(fails).order_by(found.c.last_attempt_at.desc(), found.c.endpoint).limit(limit)


def _attempts_since(row: Row) -> sa.CompoundSelect[Any]:
    """The first and the last attempt after the last success."""
    attempt, delivery, job = tables.delivery_attempt.c, tables.delivery.c, tables.job.c
    query = (
        sa.select(attempt.at, attempt.status_code, attempt.error)
        .join_from(tables.delivery_attempt, tables.delivery)
        .join(tables.job)
        .where(delivery.endpoint == row.endpoint, job.tenant == row.tenant)
    )
    if row.last_success_at is not None:
        query = query.where(attempt.at > row.last_success_at)
    first, last = (query.order_by(order).limit(1).subquery() for order in (attempt.at, attempt.at.desc()))
    return sa.union_all(sa.select(first), sa.select(last))


def _endpoint(row: Row, attempts: Sequence[Row]) -> FailingEndpoint:
    first, last = sorted(attempts, key=lambda attempt: attempt.at)
    return FailingEndpoint(
        tenant=row.tenant,
        endpoint=row.endpoint,
        since=first.at,
        last_attempt_at=row.last_attempt_at,
        status_code=last.status_code,
        error=last.error,
        last_success_at=row.last_success_at,
        next_attempt_at=row.next_attempt_at,
        pending=row.pending,
        failed=row.failed,
        disabled=row.disabled,
    )
