"""Deliveries of callbacks: one row tells a client one thing; each attempt to tell it is a row of its own."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, belongs_to, new_token
from meshroom_tasks.jobs.events import Events
from meshroom_tasks.jobs.records import OPTIONAL_EVENTS, AttemptView, DeliveryStatus, DeliveryView
from meshroom_tasks.jobs.retries import briefly, patiently

_LEASE = timedelta(seconds=90)


@dataclass(frozen=True)
class DueDelivery:
    """A claimed delivery. `body` is the exact text to send; `attempt` counts from 1."""

    id: str
    job_id: str
    url: str
    body: str
    attempt: int
    token: str


class Deliveries(Events):
    @briefly
    def claim_delivery(self, delivery_id: str) -> DueDelivery | None:
        """Take the delivery if it is due; None when it is not, or when another worker is at it.

        An optional event is not sent any more once the receiver of the job has answered 410 Gone, unless somebody asked
        for it again.
        """
        token = new_token()
        with self.database.transaction() as connection:
            now = self._now(connection)
            row = connection.execute(
                sa.select(tables.delivery)
                .where(
                    tables.delivery.c.id == delivery_id,
                    tables.delivery.c.status == "pending",
                    tables.delivery.c.next_attempt_at <= now,
                    tables.delivery.c.lease_until.is_(None) | (tables.delivery.c.lease_until < now),
                )
                .with_for_update(skip_locked=True)
            ).one_or_none()
            if row is None:
                return None
            this = sa.update(tables.delivery).where(tables.delivery.c.id == delivery_id)
            if row.event in OPTIONAL_EVENTS and not row.redelivered and self._is_gone(connection, row.job_id):
                connection.execute(this.values(status="disabled", next_attempt_at=None, next_hint_at=None))
                return None
            connection.execute(this.values(token=token, lease_until=now + _LEASE, next_hint_at=now + _LEASE))
        return DueDelivery(row.id, row.job_id, row.url, row.body, row.attempts + 1, token)

    @patiently
    def record_attempt(
        self, due: DueDelivery, attempt: AttemptView, status: DeliveryStatus, next_attempt_at: datetime | None
    ) -> bool:
        """Write down what became of one POST and when the next is due; False when the claim is no longer valid."""
        with self.database.transaction() as connection:
            kept = connection.execute(
                sa.update(tables.delivery)
                .where(tables.delivery.c.id == due.id, tables.delivery.c.token == due.token)
                .values(
                    status=status,
                    attempts=due.attempt,
                    last_attempt_at=attempt.at,
                    next_attempt_at=next_attempt_at,
                    next_hint_at=next_attempt_at,
                    token=None,
                    lease_until=None,
                )
            ).rowcount
            if kept:
                connection.execute(
                    sa.insert(tables.delivery_attempt).values(
                        delivery_id=due.id,
                        number=attempt.number,
                        at=attempt.at,
                        status_code=attempt.status_code,
                        error=attempt.error,
                        seconds=attempt.seconds,
                        response_head=attempt.response_head,
                    )
                )
        return bool(kept)

    @briefly
    def deliveries(self, job_id: str, *, tenant: str | None = None) -> tuple[DeliveryView, ...]:
        """Raises NotFound, also for a job of another than `tenant`, unless that is None; so does `redeliver`."""
        known = sa.select(tables.job.c.id).where(tables.job.c.id == job_id, belongs_to(tenant))
        with self.database.snapshot() as connection:
            if connection.execute(known).first() is None:
                raise NotFound("there is no such job", job_id=job_id)
            rows = connection.execute(
                sa.select(tables.delivery)
                .where(tables.delivery.c.job_id == job_id)
                .order_by(tables.delivery.c.created_at)
            ).all()
            return tuple(_delivery_view(connection, row) for row in rows)

    @briefly
    def find_deliveries(
        self,
        *,
        statuses: Collection[DeliveryStatus] = (),
        endpoint: str | None = None,
        tenant: str | None = None,
        job_id: str | None = None,
        limit: int | None = 50,
    ) -> tuple[DeliveryView, ...]:
        """Newest first. No `statuses`: of any; None: whatever the endpoint, of any tenant or job, all there are."""
        delivery = tables.delivery.c
        query = sa.select(tables.delivery).join(tables.job).where(belongs_to(tenant))
        if statuses:
            query = query.where(delivery.status.in_(statuses))
        if endpoint is not None:
            query = query.where(delivery.endpoint == endpoint)
        if job_id is not None:
            query = query.where(delivery.job_id == job_id)
        with self.database.snapshot() as connection:
            rows = connection.execute(query.order_by(delivery.created_at.desc(), delivery.id).limit(limit)).all()
            return tuple(_delivery_view(connection, row) for row in rows)

    @briefly
    def job_of_delivery(self, delivery_id: str) -> str:
        """The id of its job. Raises NotFound."""
        query = sa.select(tables.delivery.c.job_id).where(tables.delivery.c.id == delivery_id)
        with self.database.snapshot() as connection:
            found = connection.execute(query).scalar_one_or_none()
        if found is None:
            raise NotFound("there is no such delivery", delivery_id=delivery_id)
        return str(found)

    @briefly
    def redeliver(self, job_id: str, delivery_id: str, *, tenant: str | None = None) -> DeliveryView:
        """Send it again from the start of the schedule, whatever became of it; same id, new timestamp."""
        with self.database.transaction() as connection:
            job, now = self._lock_kept_job(connection, job_id, tenant), self._now(connection)
            row = connection.execute(
                sa.update(tables.delivery)
                .where(tables.delivery.c.id == delivery_id, tables.delivery.c.job_id == job_id)
                .values(
                    status="pending",
                    attempts=0,
                    redelivered=True,
                    next_attempt_at=now,
                    next_hint_at=now + self.timing.hint,
                    token=None,
                    lease_until=None,
                )
                .returning(tables.delivery)
            ).one_or_none()
            if row is None:
                raise NotFound("the job has no such delivery", job_id=job_id, delivery_id=delivery_id)
            self._announce_delivery(connection, job, delivery_id)
            return _delivery_view(connection, row)


def _delivery_view(connection: sa.Connection, row: Row) -> DeliveryView:
    attempts = connection.execute(
        sa.select(tables.delivery_attempt)
        .where(tables.delivery_attempt.c.delivery_id == row.id)
        .order_by(tables.delivery_attempt.c.id)
    ).all()
    return DeliveryView(
        id=row.id,
        job_id=row.job_id,
        event=row.event,
        status=row.status,
        url=row.url,
        body=json.loads(row.body),
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at,
        attempts=tuple(
            AttemptView(item.number, item.at, item.status_code, item.error, item.seconds, item.response_head)
            for item in attempts
        ),
    )
