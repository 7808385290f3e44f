"""The jobs that the current request may see."""

from __future__ import annotations

from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.tenant_jobs import TenantJobs
from web.auth import ScopeMissing, caller
from web.services import services


def own_jobs() -> TenantJobs:
    """Those of the caller's tenant."""
    return TenantJobs(services().store, caller().tenant)


def jobs_of(tenant: str | None) -> TenantJobs:
    """Those of the tenant; None: of the caller's. Raises ScopeMissing for others without the scope `admin`."""
    found = caller()
    if tenant not in (None, found.tenant) and "admin" not in found.scopes:
        raise ScopeMissing("admin")
    return TenantJobs(services().store, tenant or found.tenant)


def every_tenants() -> JobStore:
    """All there are. Raises ScopeMissing without the scope `admin`."""
    if "admin" not in caller().scopes:
        raise ScopeMissing("admin")
    return services().store
