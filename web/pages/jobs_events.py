"""The list of jobs tells its page when to ask for itself again."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, request

from web.auth import while_allowed
from web.list_watch import LOOK_SECONDS, ListWatch
from web.pages.jobs import JobsShown
from web.services import services
from web.tenancy import own_jobs

blueprint = APIBlueprint("pages_jobs_events", __name__, enable_openapi=False)


@blueprint.get("/jobs/events")
def follow() -> Response:
    """`seen`: the mark of the page as it came; later `Last-Event-ID` takes its place.

    Nothing of a job is told here. The page is asked for with the session as it is then, so that one which is over, or
    whose key was taken back, shows nothing more.
    """
    shown, jobs, parts = JobsShown.asked_for(), own_jobs(), services()
    seen = request.headers.get("Last-Event-ID") or request.args.get("seen", "")
    watch = ListWatch(lambda: shown.glance(jobs, parts.recent), seen)
    return parts.watching.open(while_allowed(watch.poll), jobs.tenant, pause=LOOK_SECONDS)
