"""Which queues nobody takes tasks from, where that matters."""

from __future__ import annotations

from collections.abc import Iterable

from meshroom_tasks import topology
from meshroom_tasks.jobs.records import JobView
from meshroom_tasks.jobs.workers import without_worker
from web.services import services


def unserved_queues(jobs: Iterable[JobView]) -> tuple[str, ...]:
    """Those without a worker, if any of the jobs may wait for one."""
    if all(job.status not in ("queued", "running") for job in jobs):
        return ()
    parts = services()
    return without_worker(topology.names(parts.settings.intensive_queue), parts.store.workers())
