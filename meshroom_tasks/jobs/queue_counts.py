"""How many jobs wait in some queues, read off the index `ix_step_turn` alone.

There a job's steps lie side by side: to count them as one takes neither a sort nor a table of those seen.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.queueing import HIGHEST_PRIORITY, SINGLE_STEP_QUEUES, in_state
from meshroom_tasks.jobs.tables import UtcTime

_STEP = tables.step.c
_OLDEST, _NEWEST = sa.bindparam("oldest", type_=UtcTime), sa.bindparam("newest", type_=UtcTime)
# Named one by one, so that the time behind a rank is looked up in the index as well.
_RANKS = sa.values(sa.column("rank", sa.Integer), name="ranks").data([(rank,) for rank in range(HIGHEST_PRIORITY + 1)])


@dataclass(frozen=True)
class QueueCounts:
    """Statements about jobs that have steps ready in `:queues`.

    `outside`: of `:tenant`, by rank, those submitted before `:oldest` and after `:newest`. `within`: of `:tenant`, by
    rank and moment, those between. `totals`: of each other tenant than `:tenant`.
    """

    outside: sa.Select[Any]
    within: sa.Select[Any]
    totals: sa.Select[Any]


def queue_counts(queues: Collection[str]) -> QueueCounts:
    return _made(set(queues) <= SINGLE_STEP_QUEUES)


@cache
def _made(one_each: bool) -> QueueCounts:
    """`one_each`: no job has more than one step in the queues."""
    waiting = sa.select(_STEP.tenant, _STEP.rank, _STEP.queued_at, _STEP.job_id).where(
        in_state("ready"), _STEP.queue.in_(sa.bindparam("queues", expanding=True))
    )
    waiting = waiting if one_each else waiting.distinct()
    own, ranks, jobs = waiting.where(_STEP.tenant == sa.bindparam("tenant")), _RANKS.cte(), sa.func.count()

    def of_rank(when: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        found = own.where(_STEP.rank == ranks.c.rank, when).correlate(ranks).subquery()
        return sa.select(sa.func.count(found.c.job_id)).correlate(ranks).scalar_subquery()

    older, newer = of_rank(_STEP.queued_at < _OLDEST), of_rank(_STEP.queued_at > _NEWEST)
    near = own.where(_STEP.rank.in_(range(HIGHEST_PRIORITY + 1)), _STEP.queued_at.between(_OLDEST, _NEWEST)).subquery()
    place = (near.c.rank, near.c.queued_at)
    tenant = tables.tenant.c.name
    theirs = waiting.where(_STEP.tenant == tenant).correlate(tables.tenant).subquery()
    count = sa.select(sa.func.count(theirs.c.job_id)).correlate(tables.tenant).scalar_subquery()
    return QueueCounts(
        outside=sa.select(ranks.c.rank, older.label("older"), newer.label("newer")),
        within=sa.select(*place, jobs.label("jobs")).group_by(*place),
        totals=sa.select(tenant.label("tenant"), count.label("jobs")).where(tenant != sa.bindparam("tenant")),
    )
