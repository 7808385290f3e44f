"""Steps that wait for room on a worker's disk: whoever had none leaves the step to the others for a while.

Not a failure: it costs no attempt, and the reason is shown with the chunk until somebody takes it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.avoidance import Avoidance
from meshroom_tasks.jobs.base import Row, moving
from meshroom_tasks.jobs.states import StepEvent
from meshroom_tasks.stops import WaitingForDisk

_WAITS = (
    sa.select(tables.disk_wait.c.step_id, tables.disk_wait.c.worker, tables.disk_wait.c.reason)
    .join(tables.step, tables.step.c.id == tables.disk_wait.c.step_id)
    .where(
        tables.step.c.job_id.in_(sa.bindparam("job_ids", expanding=True)),
        tables.step.c.state == "ready",
        tables.disk_wait.c.until > sa.bindparam("since"),
    )
    .order_by(tables.disk_wait.c.worker)
)


class Waiting(Avoidance):
    def _put_off(self, connection: sa.Connection, job: Row, step: Row, error: WaitingForDisk) -> None:
        """Back to the queue; at once for workers that were not asked yet, later where all of them are full."""
        wait, now = tables.disk_wait, self._now(connection)
        mine = {"step_id": step.id, "worker": step.worker}
        connection.execute(sa.delete(wait).where(wait.c.step_id == step.id, wait.c.worker == step.worker))
        connection.execute(sa.insert(wait).values(**mine, until=now + self.timing.hint, reason=error.message))
        again = self._when_all_were_asked(connection, step, now)
        connection.execute(
            moving(StepEvent.RETRY)
            .where(tables.step.c.id == step.id, tables.step.c.token == step.token)
            .values(
                attempts=step.attempts - 1,
                not_before=again,
                hints=0,
                next_hint_at=again or now + self.timing.hint,
                token=None,
                lease_until=None,
            )
        )
        if again is None:
            self._announce(connection, job, step)

    def _when_all_were_asked(self, connection: sa.Connection, step: Row, now: datetime) -> datetime | None:
        """When the first of the workers may be asked again; None while there is one that was not asked."""
        wait = tables.disk_wait.c
        rows = connection.execute(sa.select(wait.worker, wait.until).where(wait.step_id == step.id, wait.until > now))
        asked = {row.worker: row.until for row in rows}
        return None if set(self._live_consumers(connection, step.queue)) - set(asked) else min(asked.values())

    def _waits(self, connection: sa.Connection, job_ids: Collection[str]) -> dict[str, str]:
        """By step: on whose disks it waits for room, and why. Waits that nobody renewed are over."""
        since = self._now(connection) - self.timing.longest_hint
        rows = connection.execute(_WAITS, {"job_ids": job_ids, "since": since})
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row.step_id, []).append(f"waiting for disk on worker {row.worker}: {row.reason}")
        return {step_id: "; ".join(reasons) for step_id, reasons in found.items()}
