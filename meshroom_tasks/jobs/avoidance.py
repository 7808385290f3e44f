"""Trying again elsewhere: for a while a step that failed is left to workers that had no part in the failure.

What a step avoids is a worker's name (`gpu0@host`), or a whole machine (`@host`) where the machine is to blame. It is
never left to nobody: only while another live worker consumes its queue, and only for a time, since that one may be
busy for hours.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase
from meshroom_tasks.jobs.queueing import in_state
from meshroom_tasks.retry_policies import Elsewhere


def machine_of(worker: str) -> str:
    """`gpu0@host` is on `@host`."""
    return "@" + worker.rpartition("@")[2]


def blamed(worker: str, elsewhere: Elsewhere) -> str:
    """What to avoid after `worker` failed."""
    return machine_of(worker) if elsewhere == "machine" else worker


def is_avoided(worker: str, avoid: str) -> bool:
    return avoid in (worker, machine_of(worker))


def open_to(worker: str, now: datetime) -> sa.ColumnElement[bool]:
    """The steps that do not avoid the worker now, nor wait for room on its disk."""
    step, wait = tables.step.c, tables.disk_wait.c
    avoided = step.avoid.in_((worker, machine_of(worker))) & (step.avoid_until > now)
    waits = sa.exists().where(wait.step_id == step.id, wait.worker == worker, wait.until > now)
    return (step.avoid.is_(None) | ~avoided) & ~waits


class Avoidance(StoreBase):
    def _to_avoid(self, connection: sa.Connection, step: Row, elsewhere: Elsewhere | None) -> str | None:
        """What the next attempt of a failed step avoids; None where there is no other worker for it."""
        if elsewhere is None or not step.worker:
            return None
        avoid = blamed(step.worker, elsewhere)
        others = (name for name in self._live_consumers(connection, step.queue) if not is_avoided(name, avoid))
        return avoid if any(others) else None

    def _live_consumers(self, connection: sa.Connection, queue: str) -> Collection[str]:
        """Workers that take steps of the queue, as far as was heard within a lease."""
        worker = tables.worker.c
        rows = connection.execute(
            sa.select(worker.name, worker.queues).where(
                worker.last_seen >= self._now(connection) - self.timing.lease,
                worker.refusal.is_(None),
                worker.stopping.is_(False),
                worker.drain_requested.is_(False),
            )
        )
        return [row.name for row in rows if queue in row.queues]

    def _announce_soon(self, connection: sa.Connection, queue: str, worker: str) -> None:
        """A hint reached a worker that the step avoids: let the sweeper send another one soon, for the others."""
        step, now = tables.step.c, self._now(connection)
        soon = now + self.timing.soon
        passed_over = (
            sa.select(step.id)
            .where(step.queue == queue, in_state("ready"), ~open_to(worker, now), step.next_hint_at > soon)
            .with_for_update(skip_locked=True)
        )
        if ids := connection.scalars(passed_over).all():
            connection.execute(sa.update(tables.step).where(step.id.in_(ids)).values(next_hint_at=soon, hints=0))
