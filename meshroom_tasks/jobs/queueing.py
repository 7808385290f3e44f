"""Which step of a tenant is next: of the highest priority, then of the oldest job, then the first of the graph.

Which tenant is next: shares.py.

A hint "look at step X" is worth one claim of the best step of X's queue. There is a hint for every step that became
ready, so there are as many claims to come as there are steps to take, and it does not matter which hint comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import JobInQueue, Row

HIGHEST_PRIORITY = 9
SINGLE_STEP_QUEUES = frozenset({"ingest"})
"""Where no job has more than one step at a time that is ready or running."""
_POSITIONS: Mapping[str, int] = {"ingest": 0, "plan": 1, "results": 1_000_000}
_FIRST_STAGE = 2


def turn(job: Row | JobInQueue, kind: Literal["ingest", "plan", "chunk", "results"], stage: int = 0) -> dict[str, Any]:
    """The columns of a step that say when it is its turn; `stage` is the position of its stage in the graph."""
    return {
        "tenant": job.tenant,
        "rank": HIGHEST_PRIORITY - job.priority,
        "queued_at": job.created_at,
        "position": _POSITIONS.get(kind, _FIRST_STAGE + stage),
    }


def best_of(
    queue: str, tenant: str, now: datetime, limit: int, *columns: sa.ColumnElement[Any], jobs: Sequence[str] | None
) -> sa.Select[Any]:
    """The tenant's steps of the queue that could be claimed now, the best first: due, and computed by nobody for
    another job; of all its jobs, or only of `jobs`.

    The index `ix_step_turn` holds them in this order, so that the database reads no more than it returns.
    """
    step, running = tables.step.c, tables.step.alias("running")
    same_address = sa.exists().where(running.c.address == step.address, in_state("running", running))
    query = (
        sa.select(*columns)
        .where(
            step.queue == queue,
            step.tenant == tenant,
            in_state("ready"),
            step.not_before.is_(None) | (step.not_before <= now),
            ~same_address,
        )
        .order_by(step.rank, step.queued_at, step.job_id, step.position, step.chunk, step.id)
        .limit(limit)
    )
    return query if jobs is None else query.where(step.job_id.in_(jobs))


def in_state(state: Literal["ready", "running"], steps: sa.FromClause = tables.step) -> sa.ColumnElement[bool]:
    """Written out instead of bound: a database chooses a partial index only where it sees the value."""
    return sa.type_coerce(steps.c.state, sa.String) == sa.literal(state, literal_execute=True)
