"""Tenants: whose jobs they are, and what each may have at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from meshroom_tasks.errors import NotFound, QueuedJobsLimit, StorageLimit, TooManyImages
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.base import Row, StoreBase
from meshroom_tasks.jobs.records import TenantLimits

LIMITS = tuple(field.name for field in fields(TenantLimits))

_COME_BACK_SECONDS = 30


@dataclass(frozen=True)
class TenantView:
    """A tenant with its limits (0: none) and what it has of each. `own`: the limits that are not those of the settings.

    `storage_bytes`: its uploads, and photos and results of its jobs; photos that several of them share count once.
    """

    name: str
    created_at: datetime
    weight: float
    limits: TenantLimits
    own: tuple[str, ...]
    running_jobs: int
    queued_jobs: int
    storage_bytes: int


class Tenants(StoreBase):
    def add_tenant(self, name: str) -> None:
        """Nothing happens when it is there."""
        with self.database.transaction() as connection:
            self._make_tenant(connection, name)

    def tenants(self) -> tuple[TenantView, ...]:
        with self.database.snapshot() as connection:
            rows = connection.execute(sa.select(tables.tenant).order_by(tables.tenant.c.name)).all()
            return tuple(self._tenant_view(connection, row) for row in rows)

    def change_tenant(self, name: str, changes: Mapping[str, float | int | None]) -> TenantView:
        """Set `weight` or some of `LIMITS`; a limit that is None is that of the settings from now on.

        What waits is announced again, since it may be allowed now. Raises NotFound.
        """
        tenant, step = tables.tenant, tables.step
        with self.database.transaction() as connection:
            if changes:
                connection.execute(sa.update(tenant).where(tenant.c.name == name).values(**changes))
            row = self._tenant(connection, name)
            waits = (step.c.tenant == name, step.c.state == "ready", step.c.next_hint_at.is_not(None))
            connection.execute(sa.update(step).where(*waits).values(next_hint_at=self._now(connection), hints=0))
            return self._tenant_view(connection, row)

    def _make_tenant(self, connection: sa.Connection, name: str) -> None:
        tenant = tables.tenant
        if connection.execute(sa.select(tenant.c.name).where(tenant.c.name == name)).first() is not None:
            return
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(tenant).values(name=name, created_at=self._now(connection)))
        except sa.exc.IntegrityError:
            return  # Another was faster.

    def _tenant(self, connection: sa.Connection, name: str) -> Row:
        row = connection.execute(sa.select(tables.tenant).where(tables.tenant.c.name == name)).one_or_none()
        if row is None:
            raise _no_tenant(name)
        return row

    def _limits(self, row: Row) -> TenantLimits:
        """Its own, else those of the settings."""
        own = {name: value for name in LIMITS if (value := getattr(row, name)) is not None}
        return TenantLimits(**{**vars(self.default_limits), **own})

    def _lock_tenant(self, connection: sa.Connection, name: str, *, wait: bool = True) -> bool:
        """Hold its row until the transaction ends; False when another holds it, and this is not to wait."""
        row = sa.select(tables.tenant.c.name).where(tables.tenant.c.name == name)
        held = row.with_for_update(key_share=True, skip_locked=not wait)
        return connection.execute(held).first() is not None

    def _admit(self, connection: sa.Connection, name: str, row: Row | None, images: int) -> None:
        """Raises TooManyImages, StorageLimit, QueuedJobsLimit where one more job is more than the tenant may have.

        `row`: the tenant's; without it, NotFound is raised.
        """
        if row is None:
            raise _no_tenant(name)
        limits = self._limits(row)
        if limits.max_images and images > limits.max_images:
            raise TooManyImages(f"your jobs may have at most {limits.max_images} photos, and {images} were given")
        self._admit_more_bytes(connection, name, limits, 1)
        if limits.max_queued_jobs:
            self._lock_tenant(connection, name)
            if self._queued_jobs(connection, name, limits.max_queued_jobs) >= limits.max_queued_jobs:
                raise QueuedJobsLimit(
                    f"{limits.max_queued_jobs} of your jobs are queued, which is as many as may be; submit more when "
                    "some have begun",
                    retry_after=_COME_BACK_SECONDS,
                )

    def _admit_bytes(self, connection: sa.Connection, name: str, more: int) -> None:
        """Raises StorageLimit where `more` bytes are more than the tenant may have."""
        self._admit_more_bytes(connection, name, self._limits(self._tenant(connection, name)), more)

    def _admit_more_bytes(self, connection: sa.Connection, name: str, limits: TenantLimits, more: int) -> None:
        most = limits.max_storage_bytes
        if most and self._storage_bytes(connection, name) + more > most:
            raise StorageLimit(
                f"your jobs and uploads fill the {most} bytes that you may have; delete jobs that have ended"
            )

    def _queued_jobs(self, connection: sa.Connection, name: str, most: int) -> int:
        """How many there are; no more than `most` are counted."""
        job = tables.job.c
        queued = sa.select(job.id).where(job.tenant == name, job.status == "queued").limit(most).subquery()
        return int(connection.execute(sa.select(sa.func.count()).select_from(queued)).scalar_one())

    def _running_jobs(self, connection: sa.Connection, name: str) -> list[str]:
        """Jobs that have begun and not ended, or of which a step runs."""
        job, step = tables.job.c, tables.step.c
        begun = sa.select(job.id).where(job.tenant == name, job.status == "running")
        with_steps = sa.select(step.job_id).where(step.tenant == name, step.state == "running")
        return list(connection.scalars(sa.union(begun, with_steps)))

    def _storage_bytes(self, connection: sa.Connection, name: str) -> int:
        job = tables.job.c
        photos = (
            sa.select(sa.func.max(job.photos_bytes).label("bytes"))
            .where(job.tenant == name)
            .group_by(job.photos_digest)
            .subquery()
        )
        sums = (
            sa.select(sa.func.coalesce(sa.func.sum(photos.c.bytes), 0)),
            sa.select(sa.func.coalesce(sa.func.sum(job.results_bytes), 0)).where(job.tenant == name),
        )
        uploads = sa.select(tables.upload.c.files).where(tables.upload.c.tenant == name, ~tables.upload.c.removing)
        uploaded = sum(int(file["size"]) for files in connection.scalars(uploads) for file in files)
        return uploaded + sum(int(connection.execute(query).scalar_one()) for query in sums)

    def _tenant_view(self, connection: sa.Connection, row: Row) -> TenantView:
        counts: dict[str, Any] = {
            status: connection.execute(
                sa.select(sa.func.count()).where(tables.job.c.tenant == row.name, tables.job.c.status == status)
            ).scalar_one()
            for status in ("running", "queued")
        }
        return TenantView(
            name=row.name,
            created_at=row.created_at,
            weight=row.weight,
            limits=self._limits(row),
            own=tuple(name for name in LIMITS if getattr(row, name) is not None),
            running_jobs=counts["running"],
            queued_jobs=counts["queued"],
            storage_bytes=self._storage_bytes(connection, row.name),
        )


def _no_tenant(name: str) -> NotFound:
    return NotFound(f"there is no tenant {name!r}; a key for it makes it", tenant=name)
