"""One job: what it does, what it made, what went wrong and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from flask.typing import ResponseReturnValue

from meshroom_tasks.egress import redact
from meshroom_tasks.jobs.photos import PhotoSet
from meshroom_tasks.jobs.records import JobView
from web.pages.blueprints import page_blueprint
from web.pages.rendering import live_page
from web.pages.timeline import timeline
from web.pages.unserved import unserved_queues
from web.tenancy import own_jobs

blueprint = page_blueprint("job", __name__)


@dataclass(frozen=True)
class PhotoCard:
    """`placed`: whether StructureFromMotion found its camera; None: not known yet."""

    number: int
    name: str
    version: str
    width: int
    height: int
    placed: bool | None


@blueprint.get("/jobs/<id:job_id>")
def show(job_id: str) -> ResponseReturnValue:
    jobs = own_jobs()
    job = jobs.job(job_id)
    return live_page(
        "job.html",
        job=job,
        photos=photo_cards(job, jobs.photos(job_id)),
        timeline=timeline(job, datetime.now(UTC)),
        deliveries=jobs.deliveries(job_id) if job.callback_url else (),
        callback_url=redact(job.callback_url or ""),
        unserved=unserved_queues([job]),
        files={result.name: result for result in job.results},
        is_live=job.status in ("queued", "running"),
    )


def photo_cards(job: JobView, found: PhotoSet) -> tuple[PhotoCard, ...]:
    """The photos with what is known of each. Pure."""
    left_out = _left_out(job)
    judged = any(stage.node_type == "StructureFromMotion" and stage.state in ("done", "failed") for stage in job.stages)
    return tuple(
        PhotoCard(
            number=position,
            name=photo.source or _end_of(found.urls, photo.index) or photo.name,
            version=photo.sha256[:12],
            width=photo.width,
            height=photo.height,
            placed=photo.index not in left_out if judged else None,
        )
        for position, photo in enumerate(found.photos)
    )


def _left_out(job: JobView) -> frozenset[int]:
    told: list[Mapping[str, Any]] = [warning for warning in job.warnings if warning.get("code") == "photos_not_used"]
    if job.error is not None:
        told.append(job.error.context)
    return frozenset(int(photo["index"]) for item in told for photo in item.get("left_out") or ())


def _end_of(urls: tuple[str, ...], index: int) -> str:
    return unquote(PurePosixPath(urlsplit(urls[index]).path).name) if index < len(urls) else ""
