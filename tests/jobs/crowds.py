"""Very many queued jobs in a moment."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.store import JobStore


def crowd(store: JobStore, job_id: str, count: int) -> None:
    """So many copies of a job that was just submitted, with its steps and hints, in one transaction."""
    with store.database.transaction() as connection:
        job = connection.execute(sa.select(tables.job).where(tables.job.c.id == job_id)).one()._asdict()
        rows = connection.execute(sa.select(tables.step).where(tables.step.c.job_id == job_id)).all()
        steps = [row._asdict() for row in rows]
        (ready,) = [step for step in steps if step["state"] == "ready"]
        copies: dict[sa.Table, list[dict[str, object]]] = {tables.job: [], tables.step: [], tables.outbox: []}
        for _ in range(count):
            new_id = str(uuid.uuid4())
            copies[tables.job].append({**job, "id": new_id})
            new_ids = {step["id"]: uuid.uuid4().hex for step in steps}
            copies[tables.step] += [{**step, "id": new_ids[step["id"]], "job_id": new_id} for step in steps]
            hint = {"task": "ingest", "subject": new_ids[ready["id"]], "queue": "ingest", "label": f"copy {new_id[:8]}"}
            copies[tables.outbox].append({**hint, "priority": job["priority"], "job_id": new_id, "request_id": ""})
        for table, made in copies.items():
            connection.execute(sa.insert(table), made)
