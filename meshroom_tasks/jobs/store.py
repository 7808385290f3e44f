"""The job store: every transaction on jobs has its one home in one of its parts."""

from __future__ import annotations

from datetime import timedelta

from meshroom_tasks.jobs.base import Timing
from meshroom_tasks.jobs.database import Database, Limits
from meshroom_tasks.jobs.deliveries import Deliveries
from meshroom_tasks.jobs.endpoints import Endpoints
from meshroom_tasks.jobs.figures import Monitoring
from meshroom_tasks.jobs.glances import Glances
from meshroom_tasks.jobs.installation import Installations
from meshroom_tasks.jobs.keys import Keys
from meshroom_tasks.jobs.outbox import Outbox
from meshroom_tasks.jobs.photo_sets import PhotoSets
from meshroom_tasks.jobs.photos import Photos
from meshroom_tasks.jobs.records import Expiry, TenantLimits
from meshroom_tasks.jobs.retention import Retention
from meshroom_tasks.jobs.submission import Submission
from meshroom_tasks.jobs.views import Views
from meshroom_tasks.jobs.work import WorkStore
from meshroom_tasks.jobs.workers import Workers
from meshroom_tasks.settings import Settings


class JobStore(
    Submission,
    WorkStore,
    Deliveries,
    Endpoints,
    Retention,
    PhotoSets,
    Photos,
    Outbox,
    Views,
    Glances,
    Workers,
    Keys,
    Monitoring,
    Installations,
):
    """SQL is the truth about what is wanted."""


def open_store(settings: Settings) -> JobStore:
    """The store of this deployment. SQLite is brought up to date here; a server's schema is only checked."""
    database = open_database(settings)
    if database.is_sqlite:
        database.upgrade()
    else:
        database.require_current()
    timing = Timing(lease=timedelta(seconds=settings.lease_seconds), hint=timedelta(seconds=settings.hint_seconds))
    return JobStore(
        database,
        timing=timing,
        base_url=settings.base_url,
        default_limits=_tenant_limits(settings),
        expiry=_expiry(settings),
    )


def _tenant_limits(settings: Settings) -> TenantLimits:
    """Of a tenant that has no limits of its own."""
    return TenantLimits(
        max_running_jobs=settings.tenant_max_running_jobs,
        max_queued_jobs=settings.tenant_max_queued_jobs,
        max_images=settings.max_images,
        max_job_bytes=settings.max_job_bytes,
        max_storage_bytes=settings.tenant_max_storage_bytes,
    )


def _expiry(settings: Settings) -> Expiry:
    def after(seconds: float) -> timedelta | None:
        return timedelta(seconds=seconds) if seconds else None

    return Expiry(
        job=after(settings.job_expire_seconds),
        results=after(settings.result_expire_seconds),
        notice=timedelta(seconds=settings.expiry_notice_seconds),
    )


def open_database(settings: Settings) -> Database:
    """The database of this deployment, whatever its schema. Nothing is connected yet."""
    limits = Limits(
        pool_size=settings.database_pool_size,
        pool_seconds=settings.database_pool_timeout_seconds,
        connect_seconds=settings.database_connect_timeout_seconds,
        statement_seconds=settings.database_statement_timeout_seconds,
        lock_seconds=settings.database_lock_timeout_seconds,
    )
    return Database(settings.database, limits)
