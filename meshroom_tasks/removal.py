"""Forgetting a job: what it left in the object store, then its rows."""

from __future__ import annotations

from typing import Protocol

from meshroom_tasks.jobs.records import JobView
from meshroom_tasks.jobs.states import ENDED
from meshroom_tasks.storage import Storage


class Jobs(Protocol):
    """Those of one tenant, or the whole store."""

    def job(self, job_id: str) -> JobView: ...
    def delete(self, job_id: str) -> None: ...


def remove_job(jobs: Jobs, storage: Storage, job_id: str) -> None:
    """Forget an ended job with its results, graph and logs. What the stage cache holds of it stays.

    Raises NotFound, and Conflict for a job that has not ended.
    """
    if jobs.job(job_id).status in ENDED:
        # The files go first: should that fail, the job is still there to be removed again.
        storage.delete_prefix(f"results/{job_id}")
        storage.delete_prefix(f"jobs/{job_id}")
    jobs.delete(job_id)
