"""Fair shares: which tenant is next in a queue, and whether it may start one more job.

Each queue is shared by the tenants that wait in it. The next step is of the tenant with the least running there for its
weight; of those with the same, of the one whose last turn is longest ago. So no tenant waits for more than a turn of
each other, however many jobs these have queued; and with one worker the tenants take turns. (Weighted max-min fairness,
as of resource schedulers, with one resource a queue.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.queueing import in_state
from meshroom_tasks.jobs.tenants import Tenants

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Share:
    """A tenant that waits in a queue. `running`: its steps of the queue that run now; `last_turn`: when it last got
    one; `max_running_jobs`: in all queues, 0: no limit.
    """

    tenant: str
    weight: float
    running: int
    last_turn: datetime | None
    max_running_jobs: int = 0


def fair_order(shares: Iterable[Share]) -> list[Share]:
    """The tenant that is next, first. Pure."""
    return sorted(shares, key=lambda share: (share.running / share.weight, share.last_turn or _NEVER, share.tenant))


class Shares(Tenants):
    def _shares(self, connection: sa.Connection, queue: str) -> list[Share]:
        """The tenants that have ready steps in the queue, the next one first.

        Each figure is one look into an index that begins with queue and tenant: it takes as long as there are tenants,
        however many steps are ready.
        """
        tenant, step = tables.tenant.c, tables.step.c
        own = sa.and_(step.queue == queue, step.tenant == tenant.name)
        # A subquery with a limit: a database must not turn this into a join that reads all that is ready.
        waits = sa.select(sa.literal(1)).where(own, in_state("ready")).limit(1).scalar_subquery()
        running = sa.select(sa.func.count()).where(own, in_state("running")).scalar_subquery()
        last_turn = sa.select(sa.func.max(step.started_at)).where(own, step.started_at.is_not(None)).scalar_subquery()
        rows = connection.execute(
            sa.select(tenant.name, tenant.weight, tenant.max_running_jobs, running, last_turn).where(
                waits.correlate(tables.tenant).is_not(None)
            )
        )
        default = self.default_limits.max_running_jobs
        return fair_order(
            Share(name, weight, running, last_turn, default if most is None else most)
            for name, weight, most, running, last_turn in rows
        )

    def _jobs_that_may_run(
        self, connection: sa.Connection, share: Share, *, lock: bool, wait: bool = False
    ) -> list[str] | None:
        """The jobs whose steps may be taken: None means all of the tenant, else those that run already.

        With `lock` nobody else starts a job of the tenant until the transaction ends; unless it is to `wait`, a tenant
        that is locked by another may start nothing now.
        """
        if not share.max_running_jobs:
            return None
        running = self._running_jobs(connection, share.tenant)
        if len(running) < share.max_running_jobs and lock:
            if not self._lock_tenant(connection, share.tenant, wait=wait):
                return running
            running = self._running_jobs(connection, share.tenant)
        return running if len(running) >= share.max_running_jobs else None
