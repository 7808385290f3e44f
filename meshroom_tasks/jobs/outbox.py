"""The outbox: hints that were committed with what they announce, and are sent to the broker afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import StoreBase

_TAKEN = timedelta(seconds=30)


@dataclass(frozen=True)
class Hint:
    """`task` is the Celery task's short name, `subject` the step or delivery it should look at."""

    id: int
    task: str
    subject: str
    queue: str
    label: str
    priority: int
    job_id: str
    request_id: str


class Outbox(StoreBase):
    def take_hints(self, limit: int = 100) -> tuple[Hint, ...]:
        """Hints to send now. They come back after half a minute unless `drop_hints` says that they were sent."""
        now = self.now()
        free = tables.outbox.c.taken_until.is_(None) | (tables.outbox.c.taken_until < now)
        chosen = (
            sa.select(tables.outbox.c.id)
            .where(free)
            .order_by(tables.outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self.database.snapshot() as connection:
            if connection.execute(sa.select(tables.outbox.c.id).where(free).limit(1)).first() is None:
                return ()
        with self.database.transaction() as connection:
            rows = connection.execute(
                sa.update(tables.outbox)
                .where(tables.outbox.c.id.in_(chosen.scalar_subquery()))
                .values(taken_until=now + _TAKEN)
                .returning(tables.outbox)
            ).all()
        return tuple(
            Hint(row.id, row.task, row.subject, row.queue, row.label, row.priority, row.job_id, row.request_id)
            for row in sorted(rows, key=lambda row: row.id)
        )

    def drop_hints(self, ids: Sequence[int]) -> None:
        if ids:
            with self.database.transaction() as connection:
                connection.execute(sa.delete(tables.outbox).where(tables.outbox.c.id.in_(ids)))

    def give_hints_back(self, ids: Sequence[int]) -> None:
        """They could not be sent: let the next flush try at once."""
        if ids:
            with self.database.transaction() as connection:
                connection.execute(sa.update(tables.outbox).where(tables.outbox.c.id.in_(ids)).values(taken_until=None))

    def renew_hints(self) -> int:
        """Announce again every step and delivery that is due and that nobody took; returns how many.

        A message may be lost with the worker that held it, or purged: the state in SQL is what counts. Each further
        hint for the same step waits twice as long, so that a long queue is not flooded.
        """
        now = self.now()
        with self.database.snapshot() as connection:
            step_ids = connection.scalars(
                sa.select(tables.step.c.id).where(tables.step.c.state == "ready", tables.step.c.next_hint_at <= now)
            ).all()
            delivery_ids = connection.scalars(
                sa.select(tables.delivery.c.id).where(
                    tables.delivery.c.status == "pending",
                    tables.delivery.c.next_attempt_at <= now,
                    tables.delivery.c.next_hint_at <= now,
                )
            ).all()
        return sum(self._renew_step(step_id) for step_id in step_ids) + sum(
            self._renew_delivery(delivery_id) for delivery_id in delivery_ids
        )

    def _renew_step(self, step_id: str) -> bool:
        now = self.now()
        with self.database.transaction() as connection:
            step = connection.execute(
                sa.select(tables.step).where(
                    tables.step.c.id == step_id, tables.step.c.state == "ready", tables.step.c.next_hint_at <= now
                )
            ).one_or_none()
            if step is None:
                return False
            wait = min(self.timing.hint * 2 ** min(step.hints + 1, 16), self.timing.longest_hint)
            connection.execute(
                sa.update(tables.step)
                .where(tables.step.c.id == step_id)
                .values(next_hint_at=now + wait, hints=step.hints + 1)
            )
            self._announce(connection, self._lock_job(connection, step.job_id), step)
            return True

    def _renew_delivery(self, delivery_id: str) -> bool:
        now = self.now()
        with self.database.transaction() as connection:
            job_id = connection.execute(
                sa.update(tables.delivery)
                .where(
                    tables.delivery.c.id == delivery_id,
                    tables.delivery.c.status == "pending",
                    tables.delivery.c.next_hint_at <= now,
                )
                .values(next_hint_at=now + self.timing.hint)
                .returning(tables.delivery.c.job_id)
            ).scalar_one_or_none()
            if job_id is None:
                return False
            self._announce_delivery(connection, self._lock_job(connection, job_id), delivery_id)
            return True
