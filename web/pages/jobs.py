"""The first page: the jobs, newest first, as they go."""

from __future__ import annotations

from typing import get_args

from flask import request
from flask.typing import ResponseReturnValue

from meshroom_tasks.jobs.records import JobStatus
from web.pages.blueprints import page_blueprint
from web.pages.rendering import live_page
from web.pages.unserved import unserved_queues
from web.tenancy import own_jobs

blueprint = page_blueprint("jobs", __name__)

STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
_JOBS = 20


@blueprint.get("/")
def show() -> ResponseReturnValue:
    wanted = request.args.get("status")
    status = wanted if wanted in STATUSES else None
    cursor = request.args.get("cursor") or None
    found = own_jobs().jobs(limit=_JOBS, cursor=cursor, status=status, created_after=None)
    is_live = any(job.status in ("queued", "running") for job in found.jobs)
    return live_page(
        "jobs.html",
        jobs=found.jobs,
        next_cursor=found.next_cursor,
        cursor=cursor,
        status=status,
        statuses=STATUSES,
        unserved=unserved_queues(found.jobs),
        is_live=is_live,
    )
