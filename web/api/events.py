"""Following a job as it goes."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response

from meshroom_tasks.jobs.records import JobView
from web.auth import caller, while_allowed
from web.event_stream import Event
from web.job_events import events_between, is_over
from web.openapi.parts import EVENT_RESPONSES
from web.services import services
from web.tenancy import own_jobs

blueprint = APIBlueprint("events", __name__, url_prefix="/api/v1/jobs", tag="Jobs")


@blueprint.get("/<id:job_id>/events")
@blueprint.doc(operation_id="followJob", responses=EVENT_RESPONSES)
def follow_job(job_id: str) -> Response:
    """Follow a job

    Server-sent events: `state` (the job's status), `stage` (a stage's state) and `progress` (0 to 1, with the seconds
    left). The stream begins with all of them as they are now, so nothing is missed by reconnecting, and ends when the
    job does.
    """
    jobs = own_jobs()
    seen: JobView | None = None
    over = False

    def poll() -> list[Event] | None:
        nonlocal seen, over
        if over:
            return None
        now = jobs.job(job_id)
        events = events_between(seen, now)
        seen, over = now, is_over(now)
        return events

    return services().streams.open(while_allowed(poll), caller().tenant)
