"""Very many queued jobs in a moment."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import NOT_BEGUN
from meshroom_tasks.jobs.store import JobStore

_FIRST = {"ingest": "ready", "plan": "blocked", "results": "blocked"}

_NOT_ENDED = {"started_at": None, "finished_at": None, "results": None, "quality": None, "results_bytes": 0}


def crowd(store: JobStore, job_id: str, count: int) -> None:
    """So many copies of a job as it was when it was submitted, with its steps and hints, in one transaction."""
    with store.database.transaction() as connection:
        job = connection.execute(sa.select(tables.job).where(tables.job.c.id == job_id)).one()._asdict()
        rows = connection.execute(sa.select(tables.step).where(tables.step.c.job_id == job_id)).all()
        steps = [{**row._asdict(), **NOT_BEGUN, "state": _FIRST[row.kind]} for row in rows if row.kind in _FIRST]
        copies: dict[sa.Table, list[dict[str, object]]] = {tables.job: [], tables.step: [], tables.outbox: []}
        for _ in range(count):
            new_id = str(uuid.uuid4())
            copies[tables.job].append({**job, **_NOT_ENDED, "id": new_id, "status": "queued"})
            for step in steps:
                copies[tables.step].append({**step, "id": uuid.uuid4().hex, "job_id": new_id})
                if step["kind"] == "ingest":
                    hint = {"task": "ingest", "queue": "ingest", "label": f"ingest of job {new_id[:8]}"}
                    hint |= {"subject": copies[tables.step][-1]["id"], "job_id": new_id, "request_id": ""}
                    copies[tables.outbox].append({**hint, "priority": job["priority"]})
        for table, made in copies.items():
            connection.execute(sa.insert(table), made)
