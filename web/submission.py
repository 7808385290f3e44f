"""From a well-formed request to a job that can be recorded: what only this deployment's settings can judge."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from meshroom_tasks.egress import Egress, check_url
from meshroom_tasks.errors import RequestRefused
from meshroom_tasks.jobs.records import NO_CAMERA, Camera, NewJob, Options
from meshroom_tasks.settings import Settings
from web.idempotency import key_of_request
from web.photo_checks import PhotoChecks
from web.pipeline_checks import Found, check_pipeline
from web.problems import Refused
from web.retention import faults_of_span
from web.schemas.requests import Reconstruction
from web.services import Services

_MOST_FAULTS = 20


def new_job(body: Reconstruction, parts: Services, request_id: str) -> NewJob:
    """Raises Refused with what is wrong, each fault at its place, and at most twenty of them."""
    photos = PhotoChecks(parts)
    callback = _callback(body, parts.settings)
    kept = faults_of_span(body.expires_in, parts.settings)
    faults = chain(photos.faults(body.image_urls), callback, kept, check_pipeline(body, parts.pipelines))
    found = list(islice(faults, _MOST_FAULTS))
    if found:
        raise Refused.because(found)
    return NewJob(
        image_urls=tuple(body.image_urls),
        callback_url=body.callback_url,
        callback_events=tuple(body.callback_events),
        expires_in=body.expires_in,
        metadata=body.metadata,
        pipeline=body.pipeline,
        settings=body.settings,
        priority=body.priority,
        outputs=tuple(body.outputs),
        options=Options(body.min_registered_share, Camera(**body.camera.model_dump()) if body.camera else NO_CAMERA),
        request_id=request_id,
        idempotency=key_of_request(body),
        uploads=tuple(photos.uploads),
        image_count=photos.count,
    )


def _callback(body: Reconstruction, settings: Settings) -> Iterator[Found]:
    if body.callback_url is None:
        if body.callback_events:
            yield "/callback_events", RequestRefused("say callback_url as well: it is where events are posted")
    else:
        try:
            check_url(body.callback_url, Egress.to(settings.callback_private_hosts))
        except RequestRefused as error:
            yield "/callback_url", error
