"""What is posted to `callback_url`; see `meshroom_tasks.jobs.notices`, which builds it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from meshroom_tasks.jobs.records import ExpiringPart
from web.schemas.responses import Answer, Result

_OF_JOB: dict[str, Any] = {"job_id": "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b", "metadata": {"order": 4711}}
_EVENT: dict[str, Any] = {**_OF_JOB, "timestamp": "2026-11-20T12:00:00+00:00"}
_MODEL = "https://recon.example.com/results/1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b/texturedMesh.obj"
_FILE = {
    "name": "texturedMesh.obj",
    "url": _MODEL,
    "size": 48123,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "media_type": "model/obj",
}


def _example(common: dict[str, Any], **own: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [{**common, **own}]})


class CompletedCallback(Answer):
    model_config = _example(_OF_JOB, status="completed", result_url=_MODEL, results=[_FILE])

    job_id: str
    status: Literal["completed"]
    result_url: str = Field(
        description="The textured OBJ; fetch it without a key.",
        examples=["https://recon.example.com/results/1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b/texturedMesh.obj"],
    )
    metadata: dict[str, Any] = Field(description="As it was sent with the job.")
    results: list[Result]


class FailedCallback(Answer):
    model_config = _example(
        _OF_JOB,
        status="failed",
        error="The photos do not overlap; take them from closer positions.",
        error_code="photos_do_not_overlap",
    )

    job_id: str
    status: Literal["failed"]
    error: str = Field(description="One sentence that says what to do.")
    error_code: str = Field(description="Stable; see the list of codes above.", examples=["photos_do_not_overlap"])
    metadata: dict[str, Any] = Field(description="As it was sent with the job.")


class Event(Answer):
    """Posted only where `callback_events` asks for it. The `type` is what the end of a job has not."""

    timestamp: datetime = Field(description="When it was; late events may come in another order.")
    job_id: str
    metadata: dict[str, Any] = Field(description="As it was sent with the job.")


class StartedEvent(Event):
    model_config = _example(_EVENT, type="job.started", attempt=1)

    type: Literal["job.started"]
    attempt: int = Field(description="1, and one more with each requeue.")


class ExpiringEvent(Event):
    model_config = _example(_EVENT, type="job.expiring", what="job", expires_at="2026-11-21T12:00:00+00:00")

    type: Literal["job.expiring"]
    what: ExpiringPart = Field(description="The job with all that it has, or its results alone.")
    expires_at: datetime


class StageCompletedEvent(Event):
    model_config = _example(_EVENT, type="job.stage_completed", attempt=1, stage="DepthMap_1", chunks=4, cached=False)

    type: Literal["job.stage_completed"]
    attempt: int = Field(description="1, and one more with each requeue.")
    stage: str = Field(description="As in `stages` of the job.", examples=["DepthMap_1"])
    chunks: int
    cached: bool = Field(description="Whether all of it was taken from earlier computations.")
