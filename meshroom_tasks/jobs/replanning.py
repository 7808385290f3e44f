"""Help for a step that ran out of memory: a larger worker, or a new plan of the job with lower settings.

For a new plan the stages and chunks of the job go, and are written anew.

Nothing of the job may run meanwhile, so that no chunk is ever computed twice at once: what runs is told to stop, and
the last one to leave opens the plan. Chunks whose uids stay the same are then found in the stage cache.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.avoidance import Avoidance
from meshroom_tasks.jobs.base import NOT_BEGUN, Row, moving
from meshroom_tasks.jobs.flow import Flow
from meshroom_tasks.jobs.memory import remedy
from meshroom_tasks.jobs.records import Adjustment, Relief
from meshroom_tasks.jobs.standing import Standing
from meshroom_tasks.jobs.states import StepEvent
from meshroom_tasks.jobs.warnings import merged

_PLANNED_KINDS = ("plan", "chunk", "results")


class Replanning(Flow, Avoidance, Standing):
    def _relieve(
        self, connection: sa.Connection, job: Row, step: Row, code: str, relief: Relief, leaving: dict[str, Any]
    ) -> bool:
        """Whether there is help for a step that failed with `code`; then it is under way, and the step has been left.

        `leaving`: the columns of a step that nobody holds any more.
        """
        larger = relief.larger_queue
        found = remedy(
            code,
            previous=(step.error or {}).get("code"),
            queue=step.queue,
            larger_is_live=larger is not None and bool(self._live_consumers(connection, larger)),
            relief=relief,
            adjusted={adjustment["node_type"] for adjustment in job.adjustments},
        )
        this = (tables.step.c.id == step.id, tables.step.c.token == step.token)
        if found == "larger worker":
            message = f"{step.stage} ran out of memory; it was given to a worker that has more"
            told = {"code": "larger_worker", "message": message, "stage": step.stage}
            self._update_job(connection, job.id, warnings=merged(job.warnings, [told]))
            due = self._now(connection) + self.timing.hint
            moved = moving(StepEvent.RETRY).where(*this).values(queue=larger, hints=0, next_hint_at=due, **leaving)
            self._announce(connection, job, connection.execute(moved.returning(tables.step)).one())
            return True
        if found == "lower settings" and relief.adjustment is not None:
            connection.execute(moving(StepEvent.CANCEL).where(*this).values(**leaving))
            self._ask_to_replan(connection, job, relief.adjustment)
            return True
        return False

    def _ask_to_replan(self, connection: sa.Connection, job: Row, adjustment: Adjustment) -> None:
        """Nothing of the job starts any more until it has a new plan, with lower settings."""
        told = {"code": "settings_lowered", "message": adjustment.message, "stage": adjustment.node}
        self._update_job(
            connection,
            job.id,
            adjustments=[*job.adjustments, asdict(adjustment)],
            warnings=merged(job.warnings, [told]),
            replan_requested=True,
        )
        self._cancel_waiting_steps(connection, job.id)
        self._replan_if_idle(connection, job.id)

    def _replan_if_idle(self, connection: sa.Connection, job_id: str) -> None:
        running = sa.exists().where(tables.step.c.job_id == job_id, tables.step.c.state == "running")
        if not connection.execute(sa.select(running)).scalar_one():
            self._keep_progress(connection, self._lock_job(connection, job_id))
            self._reset(connection, job_id, tables.step.c.kind.in_(_PLANNED_KINDS), refresh=False)
            self._update_job(connection, job_id, replan_requested=False)
            self._open_next(connection, self._lock_job(connection, job_id))

    def _reset(self, connection: sa.Connection, job_id: str, which: sa.ColumnElement[bool], *, refresh: bool) -> None:
        """Take steps back to before they began; with the plan go the stages and chunks that it wrote."""
        chosen = (tables.step.c.job_id == job_id) & which
        if refresh:  # One that still stops since the job's end must not go on with what is computed anew.
            connection.execute(
                sa.update(tables.step)
                .where(chosen, tables.step.c.state == "running")
                .values(outdated=True, refresh=True)
            )
        reset = moving(StepEvent.RESET).where(chosen)
        rows = connection.execute(
            reset.values(**NOT_BEGUN, reached=0.0, refresh=refresh).returning(tables.step.c.kind)
        ).all()
        if any(row.kind == "plan" for row in rows):
            connection.execute(
                sa.delete(tables.step).where(tables.step.c.job_id == job_id, tables.step.c.kind == "chunk")
            )
            connection.execute(sa.delete(tables.stage).where(tables.stage.c.job_id == job_id))
