"""The outbox: hints that were committed with what they announce, and are sent to the broker afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.queueing import best_of, in_state
from meshroom_tasks.jobs.shares import Shares

MOST_HINTS = 100
_TAKEN = timedelta(seconds=30)
_RENEWED_AT_ONCE = 50
"""More than there are idle workers of one queue; what comes after is announced as these are taken."""


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


class Outbox(Shares):
    def take_hints(self, limit: int = MOST_HINTS) -> tuple[Hint, ...]:
        """Hints to send now. They come back after half a minute unless `drop_hints` says that they were sent."""
        outbox = tables.outbox
        with self.database.transaction() as connection:
            now = self._now(connection)
            free = (
                sa.select(outbox.c.id)
                .where(outbox.c.taken_until.is_(None) | (outbox.c.taken_until < now))
                .order_by(outbox.c.id)
                .limit(limit)
                .with_for_update(skip_locked=True)
                .cte("free")
            )
            taken = (
                sa.update(outbox)
                .where(outbox.c.id.in_(sa.select(free.c.id)))
                .values(taken_until=now + _TAKEN)
                .returning(outbox)
            )
            rows = sorted(connection.execute(taken), key=lambda row: row.id)
        return tuple(
            Hint(row.id, row.task, row.subject, row.queue, row.label, row.priority, row.job_id, row.request_id)
            for row in rows
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
        """Announce again what is due and was not taken; returns how many hints that made.

        A message may be lost with the worker that held it, or purged: the state in SQL is what counts. Any hint leads
        to the best step of its queue, so only the first few of each tenant are announced again, however many wait, and
        each further hint for the same step waits twice as long.
        """
        with self.database.snapshot() as connection:
            queues = connection.scalars(sa.select(tables.step.c.queue).where(in_state("ready")).distinct()).all()
        return sum(self._renew_steps(queue) for queue in queues) + self._renew_deliveries()

    def _renew_steps(self, queue: str) -> int:
        with self.database.transaction() as connection:
            now = self._now(connection)
            shares = self._shares(connection, queue)
            first: list[str] = []
            for share in shares:
                jobs = self._jobs_that_may_run(connection, share, lock=False)
                each = -(-_RENEWED_AT_ONCE // len(shares))
                first += connection.scalars(best_of(queue, share.tenant, now, each, tables.step.c.id, jobs=jobs))
            steps = connection.execute(
                sa.select(tables.step)
                .where(tables.step.c.id.in_(first), tables.step.c.next_hint_at <= now)
                .where(in_state("ready"))
                .with_for_update(skip_locked=True)
            ).all()
            for step in steps:
                wait = min(self.timing.hint * 2 ** min(step.hints + 1, 16), self.timing.longest_hint)
                connection.execute(
                    sa.update(tables.step)
                    .where(tables.step.c.id == step.id)
                    .values(next_hint_at=now + wait, hints=step.hints + 1)
                )
                self._announce(connection, self._read_job(connection, step.job_id), step)
            return len(steps)

    def _renew_deliveries(self) -> int:
        with self.database.transaction() as connection:
            now = self._now(connection)
            due = connection.execute(
                sa.select(tables.delivery)
                .where(
                    tables.delivery.c.status == "pending",
                    tables.delivery.c.next_attempt_at <= now,
                    tables.delivery.c.next_hint_at <= now,
                )
                .order_by(tables.delivery.c.next_attempt_at)
                .limit(_RENEWED_AT_ONCE)
                .with_for_update(skip_locked=True)
            ).all()
            for row in due:
                connection.execute(
                    sa.update(tables.delivery)
                    .where(tables.delivery.c.id == row.id)
                    .values(next_hint_at=now + self.timing.hint)
                )
                self._announce_delivery(connection, self._read_job(connection, row.job_id), row.id)
            return len(due)
