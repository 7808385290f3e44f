"""The first page: the jobs, newest first, as they go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from flask import request, url_for
from flask.typing import ResponseReturnValue

from meshroom_tasks.jobs.glances import Glance
from meshroom_tasks.jobs.records import JobStatus, Page
from meshroom_tasks.jobs.tenant_jobs import TenantJobs
from web.list_watch import LOOK_SECONDS
from web.pages.blueprints import page_blueprint
from web.pages.rendering import live_page
from web.pages.unserved import unserved_queues
from web.recent import Recent
from web.tenancy import own_jobs

blueprint = page_blueprint("jobs", __name__)

STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
_JOBS = 20


@dataclass(frozen=True)
class JobsShown:
    """Which part of the list a page shows."""

    status: JobStatus | None
    cursor: str | None

    @staticmethod
    def asked_for() -> JobsShown:
        """By the current request; a status that there is not stands for all of them."""
        wanted = request.args.get("status")
        return JobsShown(next((one for one in STATUSES if one == wanted), None), request.args.get("cursor") or None)

    def page(self, jobs: TenantJobs) -> Page:
        return jobs.jobs(limit=_JOBS, cursor=self.cursor, status=self.status, created_after=None)

    def glance(self, jobs: TenantJobs, recent: Recent) -> Glance:
        """One for all in this process who look at the same at the same time."""
        return recent.get(("glance", jobs.tenant, self), None, 0.9 * LOOK_SECONDS, lambda: self.look(jobs))

    def look(self, jobs: TenantJobs) -> Glance:
        return jobs.glance(limit=_JOBS, cursor=self.cursor, status=self.status)


@blueprint.get("/")
def show() -> ResponseReturnValue:
    shown, jobs = JobsShown.asked_for(), own_jobs()
    seen = shown.look(jobs)  # Before the jobs themselves: what changes in between is told.
    found = shown.page(jobs)
    return live_page(
        "jobs.html",
        jobs=found.jobs,
        next_cursor=found.next_cursor,
        cursor=shown.cursor,
        status=shown.status,
        statuses=STATUSES,
        unserved=unserved_queues(found.jobs),
        is_live=seen.is_live,
        stream=url_for("pages_jobs_events.follow", status=shown.status, cursor=shown.cursor, seen=seen.mark),
    )
