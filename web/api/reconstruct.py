"""Submitting a job."""

from __future__ import annotations

from apiflask import APIBlueprint

from meshroom_tasks.errors import UploadUnknown
from meshroom_tasks.jobs.records import Submitted
from web import presenters
from web.idempotency import REPLAYED, key_of_request
from web.problems import Refused
from web.request_ids import current_request_id
from web.schemas.requests import RECONSTRUCTION_EXAMPLES, Reconstruction
from web.schemas.responses import Accepted, AcceptedHeaders
from web.services import services
from web.submission import new_job
from web.tenancy import own_jobs

blueprint = APIBlueprint("reconstruct", __name__, url_prefix="/api/v1", tag="Jobs")

_POLL_SECONDS = "5"


@blueprint.post("/reconstruct")
@blueprint.input(Reconstruction, arg_name="body", examples=RECONSTRUCTION_EXAMPLES)
@blueprint.output(
    Accepted, status_code=202, description="The job is recorded; it will not be lost.", headers=AcceptedHeaders
)
@blueprint.doc(operation_id="reconstruct")
def reconstruct(body: Reconstruction) -> tuple[Accepted, int, dict[str, str]]:
    """Reconstruct a model from photos

    Records a job and answers at once; `Location` names the job, to be asked for after `Retry-After` seconds. When the
    job ends, its outcome is posted to `callback_url` (see the webhooks below). Send an `Idempotency-Key` of your own
    with it: a request that is sent again within three days under the same key, because its answer was lost, gets the
    answer of the first one, and no second job.
    """
    parts = services()
    try:
        submitted = own_jobs().submit_once(new_job(body, parts, current_request_id()))
    except (Refused, UploadUnknown):
        before = _submitted_before(body)
        if before is None:
            raise
        submitted = before
    parts.announce()
    headers = {"Location": presenters.job_path(submitted.job_id), "Retry-After": _POLL_SECONDS}
    if submitted.replayed:
        headers[REPLAYED] = "true"
    return presenters.accepted(submitted.job_id), 202, headers


def _submitted_before(body: Reconstruction) -> Submitted | None:
    """The answer that was given under this request's key when its uploads, or our settings, were still others."""
    key = key_of_request(body)
    return own_jobs().submitted_before(key) if key is not None else None
