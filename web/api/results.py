"""Downloading results: with the key under `/api/`, and without it under `/results/`, where the job id is the secret."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, redirect
from werkzeug.wrappers import Response as AnyResponse

from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs.records import JobView, ResultFile
from web.archives import send_zip
from web.downloads import send
from web.openapi.parts import FILE_RESPONSES, ZIP_RESPONSES
from web.services import services
from web.tenancy import own_jobs

blueprint = APIBlueprint("results", __name__, tag="Results")

_PRESIGNED_SECONDS = 3600
_SHOWN_BY_BROWSERS = ("image/", "application/json", "text/")


@blueprint.get("/api/v1/jobs/<id:job_id>/results/<file:name>")
@blueprint.doc(operation_id="getResult", responses=FILE_RESPONSES)
def get_result(job_id: str, name: str) -> AnyResponse:
    """Download a result

    Takes `Range`, `If-Range` and `If-None-Match`; the `ETag` is the file's sha256.
    """
    return _download(own_jobs().job(job_id), name)


@blueprint.get("/api/v1/jobs/<id:job_id>/results.zip")
@blueprint.doc(operation_id="getResults", responses=ZIP_RESPONSES)
def get_results(job_id: str) -> Response:
    """Download all results as one ZIP

    Made while it is sent; the files in it are those that `results` of the job lists.
    """
    return _archive(own_jobs().job(job_id))


@blueprint.get("/results/<id:job_id>/all.zip")
@blueprint.doc(operation_id="openResults", responses=ZIP_RESPONSES)
def open_results(job_id: str) -> Response:
    """Download all results as one ZIP, without a key

    The job id cannot be guessed; whoever knows it may fetch the results.
    """
    return _archive(services().store.job(job_id))


@blueprint.get("/results/<id:job_id>/<file:name>")
@blueprint.doc(operation_id="openResult", responses=FILE_RESPONSES)
def open_result(job_id: str, name: str) -> AnyResponse:
    """Download a result without a key

    What `result_url` names. The job id cannot be guessed; whoever knows it may fetch the results, from a page of any
    origin. The files of a model stand side by side, so that a viewer finds the materials and textures of an OBJ.
    """
    return _download(services().store.job(job_id), name)


def _download(job: JobView, name: str) -> AnyResponse:
    parts = services()
    result = _find(job, name)
    elsewhere = parts.storage.url(
        result.key, seconds=_PRESIGNED_SECONDS, media_type=result.media_type, disposition=_disposition(result)
    )
    if elsewhere is not None:
        return _fresh(redirect(elsewhere, 307))
    if parts.storage.stat(result.key) is None:
        raise NotFound("this result is no longer kept")
    response = send(
        lambda start: parts.storage.open(result.key, start),
        size=result.size,
        media_type=result.media_type,
        etag=result.sha256,
    )
    return _as_file(parts.sending.holding(response, job.tenant), result)


def _archive(job: JobView) -> Response:
    parts, results = services(), job.results
    if not results:
        raise NotFound(_without_results(job))
    missing = [result.name for result in results if parts.storage.stat(result.key) is None]
    if missing:
        raise NotFound(f"these results are no longer kept: {', '.join(missing)}")
    return parts.sending.holding(send_zip(f"{job.id}.zip", results, parts.storage), job.tenant)


def _find(job: JobView, name: str) -> ResultFile:
    for result in job.results:
        if result.name == name:
            return result
    raise NotFound("the job has no result of this name" if job.results else _without_results(job))


def _without_results(job: JobView) -> str:
    expired = job.status == "completed" and job.results_expire_at is not None
    return "its results have expired; requeue the job from `results`" if expired else "the job has no results (yet)"


def _as_file(response: Response, result: ResultFile) -> Response:
    response.headers["Content-Disposition"] = _disposition(result)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _disposition(result: ResultFile) -> str:
    shown = result.media_type.startswith(_SHOWN_BY_BROWSERS)
    return f'{"inline" if shown else "attachment"}; filename="{result.name}"'


def _fresh(redirection: AnyResponse) -> AnyResponse:
    """Not kept by any cache: the address in it expires."""
    redirection.headers["Cache-Control"] = "no-store"
    return redirection
