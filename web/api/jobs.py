"""Reading jobs, and what can be done to them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from apiflask import APIBlueprint
from flask import Response, request
from flask.typing import ResponseReturnValue

from meshroom_tasks.errors import NotFound, RequestRefused
from meshroom_tasks.jobs.notices import result_url
from meshroom_tasks.jobs.records import JobView, ResultFile
from meshroom_tasks.removal import remove_job
from web import presenters
from web.auth import caller
from web.problems import Refused
from web.retention import check_span
from web.schemas.requests import Extension, JobsQuery, Requeue
from web.schemas.responses import Job, JobPage
from web.services import services
from web.tenancy import jobs_of, own_jobs

_FRESH_SECONDS = 0.5
"""What workers report of a job may be shown so much later; what clients do to it is shown at once."""

blueprint = APIBlueprint("jobs", __name__, url_prefix="/api/v1/jobs", tag="Jobs")


@blueprint.get("")
@blueprint.input(JobsQuery, location="query", arg_name="query")
@blueprint.output(JobPage)
@blueprint.doc(operation_id="listJobs")
def list_jobs(query: JobsQuery) -> Response:
    """List jobs, newest first

    A cursor stays valid while jobs come and go.
    """
    page = jobs_of(query.tenant).jobs(
        limit=query.limit, cursor=query.cursor, status=query.status, created_after=query.created_after
    )
    return Response(presenters.page(page, _result_url).model_dump_json(), mimetype="application/json")


@blueprint.get("/<id:job_id>")
@blueprint.output(Job)
@blueprint.doc(operation_id="getJob", responses={304: "Nothing has changed since the `ETag` in `If-None-Match`."})
def get_job(job_id: str) -> Response:
    """How a job is doing

    Send the `ETag` of the last answer as `If-None-Match` to get 304 while nothing has changed.
    """
    jobs, recent = own_jobs(), services().recent
    sent = recent.get(job_id, jobs.stamp(job_id), _FRESH_SECONDS, lambda: _encoded(jobs.job(job_id)))
    response = Response(sent.data, mimetype="application/json")
    response.set_etag(sent.etag)
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


@blueprint.post("/<id:job_id>/cancel")
@blueprint.output(Job)
@blueprint.doc(operation_id="cancelJob", responses={409: "The job has ended already."})
def cancel_job(job_id: str) -> Job:
    """Cancel a job

    Nothing of it starts any more, and what runs is stopped with its whole process tree; the state is `cancelled` when
    that is done.
    """
    jobs = own_jobs()
    jobs.cancel(job_id)
    services().announce()
    return _present(jobs.job(job_id))


@blueprint.post("/<id:job_id>/requeue")
@blueprint.input(Requeue, arg_name="body", example={"from_stage": "Meshing"})
@blueprint.output(Job)
@blueprint.doc(
    operation_id="requeueJob", responses={409: "The job has not ended, or is completed and no stage is named."}
)
def requeue_job(job_id: str, body: Requeue) -> Job:
    """Run an ended job again

    What was finished before is kept. With `from_stage`, that stage and all that follow from it are computed anew.
    """
    jobs = own_jobs()
    try:
        jobs.requeue(job_id, body.from_stage)
    except RequestRefused as error:
        raise Refused.because([("/from_stage", error)]) from error
    services().announce()
    return _present(jobs.job(job_id))


@blueprint.post("/<id:job_id>/extend")
@blueprint.input(Extension, arg_name="body", example={"expires_in": 604800})
@blueprint.output(Job)
@blueprint.doc(operation_id="extendJob", responses={409: "The job has not ended."})
def extend_job(job_id: str, body: Extension) -> Job:
    """Keep an ended job longer

    With the results that it still has, for so many seconds from now; never shorter than before. A job that does not
    expire stays as it is.
    """
    check_span(body.expires_in, services().settings)
    jobs = own_jobs()
    jobs.extend(job_id, timedelta(seconds=body.expires_in))
    return _present(jobs.job(job_id))


@blueprint.delete("/<id:job_id>")
@blueprint.doc(
    operation_id="deleteJob",
    responses={204: "The job, its results and its logs are gone.", 409: "The job has not ended; cancel it first."},
)
def delete_job(job_id: str) -> ResponseReturnValue:
    """Forget an ended job, with its results and logs

    Its photos, and what was computed from them, go within minutes after the last job that has the same ones.
    """
    parts = services()
    remove_job(parts.store, parts.storage, job_id, tenant=caller().tenant, photos=False)
    return "", 204


def require_stage(job_id: str, stage: str) -> None:
    """Raises NotFound when there is no such job, or it has no such stage."""
    names = [view.name for view in own_jobs().job(job_id).stages]
    if stage not in names:
        raise NotFound(f"the job has no stage of this name; it has {', '.join(names)}")


@dataclass(frozen=True)
class _Encoded:
    data: bytes
    etag: str


def _encoded(view: JobView) -> _Encoded:
    data = _present(view).model_dump_json().encode()
    return _Encoded(data, hashlib.sha256(data).hexdigest())


def _present(view: JobView) -> Job:
    return presenters.job(view, _result_url)


def _result_url(job_id: str, result: ResultFile) -> str:
    return result_url(services().settings.base_url, job_id, result.name)
