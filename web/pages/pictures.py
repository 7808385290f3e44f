"""Photos and results as the pages show them: from this origin, wherever they are stored."""

from __future__ import annotations

from flask import Response, request
from flask.typing import ResponseReturnValue

from meshroom_tasks.errors import NotFound, ObjectMissing
from meshroom_tasks.ingest import photo_key
from web.auth import caller
from web.downloads import send
from web.pages.assets import FOLDER
from web.pages.blueprints import page_blueprint
from web.pages.thumbnails import Thumbnails
from web.services import services
from web.tenancy import own_jobs

blueprint = page_blueprint("pictures", __name__)

PREVIEW = "preview.png"
_DAY = 86_400
_SMALL, _LARGE = Thumbnails(480), Thumbnails(1600)
_NOTHING = (FOLDER / "no-picture.svg").read_bytes()


@blueprint.get("/jobs/<id:job_id>/picture")
def of_job(job_id: str) -> ResponseReturnValue:
    """The picture that a job is known by: of its model, else its first photo."""
    jobs = own_jobs()
    job = jobs.job(job_id)
    for result in job.results:
        if result.name == PREVIEW:
            return _thumbnail(_chosen(), result.key, result.sha256)
    found = jobs.photos(job_id)
    if not found.photos:
        return _nothing()
    return _thumbnail(_chosen(), photo_key(found.digest, found.photos[0].name), found.photos[0].sha256)


@blueprint.get("/jobs/<id:job_id>/photos/<int:number>")
def photo(job_id: str, number: int) -> ResponseReturnValue:
    found = own_jobs().photos(job_id)
    if number >= len(found.photos):
        raise NotFound("the job has no photo of this number")
    chosen = found.photos[number]
    return _thumbnail(_chosen(), photo_key(found.digest, chosen.name), chosen.sha256)


@blueprint.get("/jobs/<id:job_id>/files/<file:name>")
def file(job_id: str, name: str) -> ResponseReturnValue:
    """A result, for what a page draws from it."""
    storage = services().storage
    found = next((result for result in own_jobs().job(job_id).results if result.name == name), None)
    if found is None or storage.stat(found.key) is None:
        raise NotFound("the job has no such result, or no longer")
    key = found.key
    response = send(
        lambda start: storage.open(key, start), size=found.size, media_type=found.media_type, etag=found.sha256
    )
    response.headers["Cache-Control"] = "private, no-cache"
    return services().sending.holding(response, caller().tenant)


def _chosen() -> Thumbnails:
    return _LARGE if "large" in request.args else _SMALL


def _thumbnail(made_by: Thumbnails, key: str, sha256: str) -> Response:
    try:
        data = made_by.of(services().storage, key, sha256)
    except ObjectMissing:
        data = None
    if data is None:
        return _nothing()
    response = Response(data, mimetype="image/jpeg")
    response.headers["Cache-Control"] = f"private, max-age={_DAY}"
    response.set_etag(sha256)
    response.make_conditional(request)
    return response


def _nothing() -> Response:
    """Not an error, since a page shows it in the picture's place."""
    response = Response(_NOTHING, mimetype="image/svg+xml")
    response.headers["Cache-Control"] = "no-store"
    return response
