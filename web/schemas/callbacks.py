"""What is posted to `callback_url`; see `meshroom_tasks.jobs.notices`, which builds it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from web.schemas.responses import Answer, Result


class CompletedCallback(Answer):
    job_id: str
    status: Literal["completed"]
    result_url: str = Field(
        description="The textured OBJ; fetch it without a key.",
        examples=["https://recon.example.com/results/1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b/texturedMesh.obj"],
    )
    metadata: dict[str, Any] = Field(description="As it was sent with the job.")
    results: list[Result]


class FailedCallback(Answer):
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
    type: Literal["job.started"]
    attempt: int = Field(description="1, and one more with each requeue.")


class StageCompletedEvent(Event):
    type: Literal["job.stage_completed"]
    attempt: int = Field(description="1, and one more with each requeue.")
    stage: str = Field(description="As in `stages` of the job.", examples=["DepthMap_1"])
    chunks: int
    cached: bool = Field(description="Whether all of it was taken from earlier computations.")
