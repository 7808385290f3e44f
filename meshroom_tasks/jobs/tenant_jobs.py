"""The job store as one tenant sees it: what another tenant has does not exist."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from meshroom_tasks.jobs.endpoints import FailingEndpoint
from meshroom_tasks.jobs.glances import Glance
from meshroom_tasks.jobs.photos import PhotoSet
from meshroom_tasks.jobs.records import DeliveryView, IdempotencyKey, JobStatus, JobView, NewJob, Page, Submitted
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.views import Stamp


class TenantJobs:
    """All that is done for a client goes through here, so that no query forgets whose it is."""

    def __init__(self, store: JobStore, tenant: str) -> None:
        self._store = store
        self.tenant = tenant

    def submit_once(self, new: NewJob) -> Submitted:
        return self._store.submit_once(replace(new, tenant=self.tenant))

    def submitted_before(self, key: IdempotencyKey) -> Submitted | None:
        return self._store.submitted_before(key, tenant=self.tenant)

    def job(self, job_id: str) -> JobView:
        return self._store.job(job_id, tenant=self.tenant)

    def stamp(self, job_id: str) -> Stamp:
        return self._store.stamp(job_id, tenant=self.tenant)

    def photos(self, job_id: str) -> PhotoSet:
        return self._store.photos(job_id, tenant=self.tenant)

    def jobs(self, *, limit: int, cursor: str | None, status: JobStatus | None, created_after: datetime | None) -> Page:
        return self._store.jobs(
            limit=limit, cursor=cursor, status=status, created_after=created_after, tenant=self.tenant
        )

    def glance(self, *, limit: int, cursor: str | None, status: JobStatus | None) -> Glance:
        return self._store.glance(limit=limit, cursor=cursor, status=status, tenant=self.tenant)

    def cancel(self, job_id: str) -> None:
        self._store.cancel(job_id, tenant=self.tenant)

    def requeue(self, job_id: str, from_stage: str | None = None) -> None:
        self._store.requeue(job_id, from_stage, tenant=self.tenant)

    def extend(self, job_id: str, span: timedelta) -> None:
        self._store.extend(job_id, span, tenant=self.tenant)

    def deliveries(self, job_id: str) -> tuple[DeliveryView, ...]:
        return self._store.deliveries(job_id, tenant=self.tenant)

    def redeliver(self, job_id: str, delivery_id: str) -> DeliveryView:
        return self._store.redeliver(job_id, delivery_id, tenant=self.tenant)

    def failing_endpoints(self) -> tuple[FailingEndpoint, ...]:
        return self._store.failing_endpoints(tenant=self.tenant)
