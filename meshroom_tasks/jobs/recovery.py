"""What a job does when something that it has stored is gone or damaged: it computes it again, by itself.

The holder that finds it out names the lost bundles. In one transaction the chunks of this job that had stored them go
back to before they began, and with them everything that follows: engines are not deterministic, so that the new bytes
may be others, and what was computed from the old ones must not be combined with them. Those that follow get their
addresses anew when they are opened. Where the new bytes are the old ones the addresses are the same too, and their
entries are found in the stage cache.

A step that is running on the old bytes is marked as outdated and keeps its lease until its holder has stopped. Only
then does it go back: at no moment do two holders compute it, and what the first one still stores has the old lineage
in its address.

Other jobs that name the same bundle are left alone:
- what they have done stays right: it was computed from the bytes that their rows name;
- what they run has either fetched the bundle, which is enough, or finds the loss out itself;
- what reads the bundle later finds it unpacked on its machine, which is as good, or finds the loss out itself. Their
  own chunk then goes back, finds the entry that was computed meanwhile under its unchanged address, and what follows
  in that job is computed from this entry, or found;
- what waits for the same chunk takes the new entry.
So in each job every chunk is computed from exactly the bundles that the rows of the job name, and from no others.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from meshroom_tasks.errors import StoredResultLost
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import NOT_BEGUN, Row, moving
from meshroom_tasks.jobs.flow import Flow
from meshroom_tasks.jobs.states import StepEvent, downstream_of
from meshroom_tasks.jobs.warnings import merged

_REACHED = sa.case((tables.step.c.state == "done", 1.0), else_=tables.step.c.reached)
"""What was done before counts on: the job's progress never goes back."""

MOST_RECOVERIES = 3
"""Of one step. A store that damages the same result again and again needs somebody to look at it."""


class Recovery(Flow):
    def _recover(self, connection: sa.Connection, job: Row, reporter: Row, lost: StoredResultLost) -> bool:
        """Send back the steps whose results are lost, and what follows them; the reporter is outdated then.

        False when nothing is done: a lost result has been computed again too often, or is none that the job names: an
        entry that was found and dropped before it was taken over.
        """
        done = sa.select(tables.step).where(tables.step.c.job_id == job.id, tables.step.c.state == "done")
        producers = [
            step
            for step in connection.execute(done.where(tables.step.c.kind == "chunk"))
            if step.entry["bundle_key"] in lost.bundle_keys
        ]
        if not producers or any(step.recoveries >= MOST_RECOVERIES for step in producers):
            return False
        self._send_back_followers(connection, job, {step.stage for step in producers})
        connection.execute(
            moving(StepEvent.RESET)
            .where(tables.step.c.id.in_([step.id for step in producers]))
            .values(**NOT_BEGUN, reached=_REACHED, refresh=False, recoveries=tables.step.c.recoveries + 1)
        )
        told = [_warning(step) for step in producers]
        self._update_job(connection, job.id, warnings=merged(job.warnings, told))
        return True

    def _send_back_followers(self, connection: sa.Connection, job: Row, stages: Collection[str]) -> None:
        """Everything that reads, directly or not, what the stages write."""
        reads = {row.name: row.reads for row in self._stages(connection, job.id)}
        names = {name for stage in stages for name in downstream_of(stage, reads) - {stage}}
        follow = (tables.step.c.job_id == job.id) & (tables.step.c.stage.in_(names) | (tables.step.c.kind == "results"))
        # First they are locked: a claim takes no other lock, and must not read what is about to be sent back.
        connection.execute(sa.select(tables.step.c.id).where(follow).order_by(tables.step.c.id).with_for_update())
        connection.execute(sa.update(tables.step).where(follow, tables.step.c.state == "running").values(outdated=True))
        asked_for_anew = sa.case((tables.step.c.state == "done", sa.false()), else_=tables.step.c.refresh)
        connection.execute(
            moving(StepEvent.RESET).where(follow).values(**NOT_BEGUN, reached=_REACHED, refresh=asked_for_anew)
        )

    def _give_up(self, connection: sa.Connection, job: Row, step: Row) -> None:
        """The holder of an outdated step has stopped."""
        connection.execute(moving(StepEvent.GIVE_UP).where(tables.step.c.id == step.id).values(**NOT_BEGUN))
        self._open_next(connection, self._lock_job(connection, job.id))


def _warning(step: Row) -> dict[str, object]:
    chunk = f", chunk {step.chunk + 1}," if step.chunk else ""
    return {
        "code": StoredResultLost.code,
        "message": f"The stored result of {step.stage}{chunk} was lost or damaged and is computed again.",
        "stage": step.stage,
        "chunk": step.chunk,
    }
