"""From a well-formed request to a job that can be recorded: what only this deployment's settings can judge."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from meshroom_tasks.egress import Egress, check_url
from meshroom_tasks.errors import RequestRefused, TooFewImages
from meshroom_tasks.jobs.records import NO_CAMERA, Camera, NewJob, Options
from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.settings import Settings
from web.idempotency import key_of_request
from web.pipeline_checks import Found, check_pipeline
from web.problems import Refused
from web.schemas.requests import Reconstruction

_MOST_FAULTS = 20


def new_job(body: Reconstruction, settings: Settings, pipelines: Pipelines, request_id: str) -> NewJob:
    """Raises Refused with what is wrong, each fault at its place, and at most twenty of them."""
    faults = chain(_images(body, settings), _callback(body, settings), check_pipeline(body, pipelines))
    found = list(islice(faults, _MOST_FAULTS))
    if found:
        raise Refused.because(found)
    return NewJob(
        image_urls=tuple(body.image_urls),
        callback_url=body.callback_url,
        metadata=body.metadata,
        pipeline=body.pipeline,
        settings=body.settings,
        priority=body.priority,
        outputs=tuple(body.outputs),
        options=Options(body.min_registered_share, Camera(**body.camera.model_dump()) if body.camera else NO_CAMERA),
        request_id=request_id,
        idempotency=key_of_request(body),
    )


def _images(body: Reconstruction, settings: Settings) -> Iterator[Found]:
    count = len(body.image_urls)
    if count < settings.min_images:
        yield (
            "/image_urls",
            TooFewImages(f"a reconstruction needs at least {settings.min_images} photos, and {count} were given"),
        )
    if count > settings.max_images:
        yield (
            "/image_urls",
            RequestRefused(f"a job may have at most {settings.max_images} photos, and {count} were given"),
        )
        return
    egress = Egress.to(settings.image_private_hosts)
    for index, url in enumerate(body.image_urls):
        yield from _address(f"/image_urls/{index}", url, egress)


def _callback(body: Reconstruction, settings: Settings) -> Iterator[Found]:
    if body.callback_url is not None:
        yield from _address("/callback_url", body.callback_url, Egress.to(settings.callback_private_hosts))


def _address(pointer: str, url: str, egress: Egress) -> Iterator[Found]:
    try:
        check_url(url, egress)
    except RequestRefused as error:
        yield pointer, error
