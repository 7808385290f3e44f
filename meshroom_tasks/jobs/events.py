"""What a client is told: a delivery for each event, written in the transaction that makes it true."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.egress import redact
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase
from meshroom_tasks.jobs.notices import event_notice
from meshroom_tasks.jobs.records import DeliveryEvent, OptionalEvent


class Events(StoreBase):
    def _tell(self, connection: sa.Connection, job: Row, event: OptionalEvent, **what: Any) -> None:
        """Tell of an optional event where the client asked for it.

        Not after its receiver answered 410 Gone: then only the end is told.
        """
        if event in job.callback_events and not self._is_gone(connection, job.id):
            at = self._now(connection)
            self._notify(connection, job, event, event_notice(event, job.id, job.metadata, at, **what))

    def _tell_stage(self, connection: sa.Connection, job: Row, step: Row) -> None:
        """Tell of the stage that `step`, which is done, belongs to, if that was its last chunk."""
        if "job.stage_completed" not in job.callback_events:
            return
        of_job, done = tables.step.c.job_id == job.id, tables.step.c.state == "done"
        of_stage = tables.step.c.stage == step.stage if step.stage else tables.step.c.kind == step.kind
        chunks = connection.execute(sa.select(done, tables.step.c.cached).where(of_job, of_stage)).all()
        if all(is_done for is_done, _ in chunks):
            self._tell(
                connection,
                job,
                "job.stage_completed",
                attempt=job.attempts,
                stage=step.stage or step.kind,
                chunks=len(chunks),
                cached=all(cached for _, cached in chunks),
            )

    def _notify(self, connection: sa.Connection, job: Row, event: DeliveryEvent, body: Mapping[str, Any]) -> None:
        if job.callback_url is None:
            return
        delivery_id = f"msg_{uuid.uuid4().hex}"
        now = self._now(connection)
        connection.execute(
            sa.insert(tables.delivery).values(
                id=delivery_id,
                job_id=job.id,
                event=event,
                status="pending",
                url=job.callback_url,
                endpoint=redact(job.callback_url),
                body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
                created_at=now,
                next_attempt_at=now,
                next_hint_at=now + self.timing.hint,
            )
        )
        self._announce_delivery(connection, job, delivery_id)

    def _is_gone(self, connection: sa.Connection, job_id: str) -> bool:
        gone = sa.select(tables.delivery.c.id).where(
            tables.delivery.c.job_id == job_id, tables.delivery.c.status == "disabled"
        )
        return connection.execute(gone.limit(1)).first() is not None
