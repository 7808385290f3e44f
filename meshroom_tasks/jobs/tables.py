"""The tables of the job store.

A step is the unit that a worker claims: `ingest`, `plan`, one chunk of a stage, or `results`. What follows from other
rows (whether a stage is finished, what it waits for) is not stored but asked, under the lock of the job's row.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from meshroom_tasks.api_keys import DEFAULT_TENANT


class UtcTime(sa.TypeDecorator[datetime]):
    """Aware UTC datetimes, also on SQLite, which keeps no time zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _job_id(**options: Any) -> sa.Column[str]:
    return sa.Column("job_id", sa.String(36), sa.ForeignKey("job.id", ondelete="CASCADE"), nullable=False, **options)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


tenant = sa.Table(
    "tenant",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("weight", sa.Float, nullable=False, server_default="1"),
    # Limits of its own; NULL: that of the settings, 0: none.
    sa.Column("max_running_jobs", sa.Integer),
    sa.Column("max_queued_jobs", sa.Integer),
    sa.Column("max_images", sa.Integer),
    sa.Column("max_job_bytes", sa.BigInteger),
    sa.Column("max_storage_bytes", sa.BigInteger),
)

api_key = sa.Table(
    "api_key",
    metadata,
    sa.Column("id", sa.String(12), primary_key=True),
    sa.Column("tenant", sa.String(64), sa.ForeignKey("tenant.name"), nullable=False),
    sa.Column("label", sa.String(200), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime),
    sa.Column("last_used_at", UtcTime),
    sa.Column("revoked_at", UtcTime),
    sa.Index(None, "tenant"),
)

job = sa.Table(
    "job",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("tenant", sa.String(64), nullable=False, server_default=DEFAULT_TENANT),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, default=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=1),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Column("started_at", UtcTime),
    sa.Column("finished_at", UtcTime),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("image_urls", sa.JSON, nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("options", sa.JSON, nullable=False, default=dict),
    # What was lowered since a stage ran out of memory, and whether the job waits to be planned anew for it.
    sa.Column("adjustments", sa.JSON, nullable=False, default=list),
    sa.Column("replan_requested", sa.Boolean, nullable=False, default=False),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("callback_url", sa.Text),
    sa.Column("callback_events", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("engine", sa.String(128)),
    sa.Column("photos_digest", sa.String(64)),
    sa.Column("photos", sa.JSON),
    # How many photos were given, good or bad; before they are unpacked or listed, how many are known of.
    sa.Column("image_count", sa.Integer),
    # What they take in storage.
    sa.Column("photos_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("results_bytes", sa.BigInteger, nullable=False, server_default="0"),
    # Which part of the steps' weights comes from experience.
    sa.Column("measured", sa.Float, nullable=False, default=0.0),
    # How far it was when its graph was planned anew within an attempt.
    sa.Column("progress_floor", sa.Float, nullable=False, default=0.0),
    sa.Column("warnings", sa.JSON, nullable=False, default=list),
    sa.Column("results", sa.JSON),
    sa.Column("quality", sa.JSON),
    sa.Column("error", sa.JSON),
    # Seconds after its end, as the request says; the moments, and the last one of them that its client was told of.
    sa.Column("expires_in", sa.Float),
    sa.Column("expires_at", UtcTime),
    sa.Column("results_expire_at", UtcTime),
    sa.Column("expiry_told", UtcTime),
    # The job goes: nobody sees it any more. Or its results go: nobody can requeue it until they are gone.
    sa.Column("removing", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("results_going", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index(None, "created_at", "id"),
    sa.Index(None, "tenant", "created_at", "id"),
    sa.Index(None, "tenant", "status", "created_at", "id"),
    sa.Index(None, "status"),
    sa.Index(None, "photos_digest", **_where("photos_digest is not null")),
    sa.Index(None, "expires_at", **_where("expires_at is not null")),
    sa.Index(None, "results_expire_at", **_where("results_expire_at is not null")),
    sa.Index("ix_job_going", "id", **_where("removing or results_going")),
)

# Photos that lie under `inputs/<digest>/` in the object store, for all jobs that have them.
photo_set = sa.Table(
    "photo_set",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("created_at", UtcTime, nullable=False),
    # They go: no job may use them until they are gone.
    sa.Column("removing_since", UtcTime),
)

# Files that a client sends before its job; they lie under `uploads/<id>/` in the object store.
upload = sa.Table(
    "upload",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("tenant", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime, nullable=False),
    # It goes: no job may name it any more, and no file is taken for it.
    sa.Column("removing", sa.Boolean, nullable=False, default=False),
    sa.Column("files", sa.JSON, nullable=False),
    sa.Index(None, "expires_at"),
)

job_upload = sa.Table(
    "job_upload",
    metadata,
    _job_id(primary_key=True),
    sa.Column("upload_id", sa.String(32), sa.ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True),
    sa.Index(None, "upload_id"),
)

# Kept when the job is deleted: the same request sent again still gets the same answer.
submission = sa.Table(
    "submission",
    metadata,
    sa.Column("tenant", sa.String(64), primary_key=True, server_default=DEFAULT_TENANT),
    sa.Column("idempotency_key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Index(None, "created_at"),
)

stage = sa.Table(
    "stage",
    metadata,
    _job_id(primary_key=True),
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("node_type", sa.String(128), nullable=False),
    sa.Column("uid", sa.String(64), nullable=False),
    sa.Column("chunk_count", sa.Integer, nullable=False),
    sa.Column("chunked", sa.Boolean, nullable=False),
    sa.Column("block_size", sa.Integer, nullable=False, default=0),
    sa.Column("size", sa.Integer, nullable=False, default=1),
    sa.Column("reads", sa.JSON, nullable=False),
    sa.Column("reads_photos", sa.Boolean, nullable=False),
)

step = sa.Table(
    "step",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    _job_id(),
    # That of its job.
    sa.Column("tenant", sa.String(64), nullable=False, server_default=DEFAULT_TENANT),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("stage", sa.String(128)),
    sa.Column("chunk", sa.Integer, nullable=False, default=0),
    sa.Column("queue", sa.String(64), nullable=False),
    # Whose turn it is: copied from job and stage, so that one index holds the queue in its order.
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("queued_at", UtcTime, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("token", sa.String(32)),
    sa.Column("worker", sa.String(255)),
    sa.Column("lease_until", UtcTime),
    sa.Column("not_before", UtcTime),
    # A worker `name@host`, or a machine `@host`, that the next attempt is kept from; see avoidance.py.
    sa.Column("avoid", sa.String(255)),
    sa.Column("avoid_until", UtcTime),
    sa.Column("next_hint_at", UtcTime),
    sa.Column("hints", sa.Integer, nullable=False, default=0),
    sa.Column("address", sa.String(512)),
    sa.Column("refresh", sa.Boolean, nullable=False, default=False),
    # The seconds that it was foretold to take; fixed when the job is planned.
    sa.Column("weight", sa.Float, nullable=False, default=1.0),
    # It runs on what is computed again meanwhile: its holder is to stop, and its result does not count.
    sa.Column("outdated", sa.Boolean, nullable=False, default=False),
    # How often it was run again because what it had stored was lost.
    sa.Column("recoveries", sa.Integer, nullable=False, default=0),
    sa.Column("progress", sa.Float, nullable=False, default=0.0),
    # The furthest of all tries: what the job's progress counts, so that it never goes back.
    sa.Column("reached", sa.Float, nullable=False, default=0.0),
    sa.Column("cached", sa.Boolean, nullable=False, default=False),
    sa.Column("entry", sa.JSON),
    sa.Column("error", sa.JSON),
    sa.Column("started_at", UtcTime),
    sa.Column("finished_at", UtcTime),
    sa.Index(None, "job_id", "stage"),
    sa.Index("ix_step_lease", "lease_until", **_where("state = 'running'")),
    sa.Index(
        "ix_step_turn",
        *("queue", "tenant", "rank", "queued_at", "job_id", "position", "chunk", "id"),
        **_where("state = 'ready'"),
    ),
    # The share that each tenant has of a queue now, and when it last got a turn.
    sa.Index("ix_step_running", "tenant", "queue", **_where("state = 'running'")),
    sa.Index("ix_step_last_turn", "queue", "tenant", "started_at", **_where("started_at is not null")),
    sa.Index("ix_step_waiting_address", "address", **_where("state = 'ready' and address is not null")),
    # Two jobs that need the same chunk: one computes, the other waits. The database decides which.
    sa.Index(
        "ux_step_running_address",
        "address",
        unique=True,
        **_where("state = 'running'"),
    ),
)

disk_wait = sa.Table(
    "disk_wait",
    metadata,
    sa.Column("step_id", sa.String(32), sa.ForeignKey("step.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("worker", sa.String(255), primary_key=True),
    sa.Column("until", UtcTime, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

# What the stage cache holds in the object store. Not bound to jobs: it outlives them.
cache_entry = sa.Table(
    "cache_entry",
    metadata,
    sa.Column("address", sa.String(512), primary_key=True),
    sa.Column("engine", sa.String(128), nullable=False),
    sa.Column("photos_digest", sa.String(64), nullable=False),
    sa.Column("node_type", sa.String(128), nullable=False),
    sa.Column("uid", sa.String(64), nullable=False),
    sa.Column("bundle_key", sa.String(600), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("last_used_at", UtcTime, nullable=False),
    sa.Index(None, "last_used_at"),
    sa.Index(None, "photos_digest"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("task", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(64), nullable=False),
    sa.Column("queue", sa.String(64), nullable=False),
    sa.Column("label", sa.String(200), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("taken_until", UtcTime),
)

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    _job_id(),
    sa.Column("event", sa.String(32), nullable=False, server_default="job.failed"),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    # The URL without its query, which is often another for each job.
    sa.Column("endpoint", sa.Text, nullable=False, server_default=""),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    # Somebody has asked for it again: it is posted whatever its receiver answered before.
    sa.Column("redelivered", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("last_attempt_at", UtcTime),
    sa.Column("next_attempt_at", UtcTime),
    sa.Column("next_hint_at", UtcTime),
    sa.Column("token", sa.String(32)),
    sa.Column("lease_until", UtcTime),
    sa.Index(None, "job_id"),
    sa.Index(None, "status", "next_attempt_at"),
    sa.Index(None, "endpoint", "status"),
)

delivery_attempt = sa.Table(
    "delivery_attempt",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("delivery_id", sa.String(64), sa.ForeignKey("delivery.id", ondelete="CASCADE"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("status_code", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("response_head", sa.Text, nullable=False),
    sa.Index(None, "delivery_id"),
)

experience = sa.Table(
    "experience",
    metadata,
    sa.Column("engine", sa.String(128), primary_key=True),
    sa.Column("node_type", sa.String(128), primary_key=True),
    sa.Column("weight", sa.Float, nullable=False),
    sa.Column("effort", sa.Float, nullable=False),
    sa.Column("effort_squared", sa.Float, nullable=False),
    sa.Column("views", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("seconds_by_effort", sa.Float, nullable=False),
    sa.Column("cpu_seconds", sa.Float, nullable=False),
    sa.Column("output_bytes", sa.Float, nullable=False),
    sa.Column("peak_bytes", sa.Float, nullable=False),
)

worker = sa.Table(
    "worker",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("queues", sa.JSON, nullable=False),
    sa.Column("processes", sa.Integer, nullable=False),
    sa.Column("engine", sa.String(128)),
    sa.Column("gpu_uuid", sa.String(64)),
    sa.Column("gpu_name", sa.String(128)),
    sa.Column("gpu_memory_bytes", sa.BigInteger),
    sa.Column("refusal", sa.Text),
    sa.Column("stopping", sa.Boolean, nullable=False, default=False),
    sa.Column("drain_requested", sa.Boolean, nullable=False, default=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("last_seen", UtcTime, nullable=False),
    sa.Index(None, "last_seen"),
)
