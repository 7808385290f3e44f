"""Reading what the engine said."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, request

from meshroom_tasks.errors import NotFound
from meshroom_tasks.handoff.stage_logs import log_key
from meshroom_tasks.storage import Storage
from web.api.jobs import require_stage
from web.auth import caller, while_allowed
from web.downloads import send
from web.job_events import is_over
from web.log_events import LogFollower
from web.openapi.parts import LOG_RESPONSES
from web.schemas.requests import LogQuery
from web.services import services
from web.tenancy import own_jobs

blueprint = APIBlueprint("logs", __name__, url_prefix="/api/v1/jobs", tag="Jobs")

_TEXT = "text/plain; charset=utf-8"
_FINISHED = ("done", "failed", "cancelled")
_TAIL_BYTES = 1 << 20


@blueprint.get("/<id:job_id>/logs/<stage>")
@blueprint.input(LogQuery, location="query", arg_name="query")
@blueprint.doc(operation_id="getLog", responses=LOG_RESPONSES)
def get_log(job_id: str, stage: str, query: LogQuery) -> Response:
    """The log of a stage

    Of one chunk of it, the first unless `chunk` says otherwise; all attempts, the last one below. To follow a log while
    the stage runs, ask with `follow=true`; or ask again with `Range: bytes=<what you have>-`: 206 brings what is new,
    416 says that there is nothing new yet.
    """
    require_stage(job_id, stage)
    storage = services().storage
    key = log_key(job_id, stage, query.chunk)
    if query.follow:
        return _follow(job_id, stage, query.chunk, key)
    stored = storage.stat(key)
    if stored is None:
        raise NotFound("this chunk has no log yet")
    if query.tail is not None:
        return Response(_tail(storage, key, stored.size, query.tail), content_type=_TEXT)
    return send(lambda start: storage.open(key, start), size=stored.size, media_type=_TEXT)


def _follow(job_id: str, stage: str, chunk: int, key: str) -> Response:
    parts, jobs = services(), own_jobs()

    def is_finished() -> bool:
        job = jobs.job(job_id)
        states = [one.state for view in job.stages if view.name == stage for one in view.chunks if one.index == chunk]
        return is_over(job) or all(state in _FINISHED for state in states)

    last = request.headers.get("Last-Event-ID", "")
    position = int(last) if last.isascii() and last.isdecimal() and len(last) < 16 else 0
    follower = LogFollower(parts.storage, key, position, is_finished)
    return parts.streams.open(while_allowed(follower.poll), caller().tenant)


def _tail(storage: Storage, key: str, size: int, lines: int) -> bytes:
    """The last lines, as far as they lie within the last megabyte."""
    with storage.open(key, max(0, size - _TAIL_BYTES)) as stream:
        return b"".join(stream.read().splitlines(keepends=True)[-lines:])
