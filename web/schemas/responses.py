"""What clients get. Times are ISO 8601 in UTC, durations seconds, sizes bytes, progress 0 to 1."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from meshroom_tasks.jobs.records import DeliveryEvent, DeliveryStatus, JobStatus, OptionalEvent, StepState

_JOB_ID = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class Accepted(Answer):
    job_id: str = Field(examples=[_JOB_ID])
    status: JobStatus = Field(examples=["queued"])
    message: str = Field(examples=[f"Job {_JOB_ID} has been queued for processing"])


class AcceptedHeaders(BaseModel):
    location: str = Field(description="The address of the job.", examples=[f"/api/v1/jobs/{_JOB_ID}"])
    retry_after: str = Field(description="Seconds to wait before asking for it.", examples=["5"])
    idempotency_replayed: str | None = Field(
        None, description="`true`: the job is that of an earlier request with this key.", examples=["true"]
    )


class Usage(Answer):
    wall_seconds: float
    cpu_seconds: float = Field(description="CPU time of the whole process tree.")
    peak_bytes: int = Field(description="Peak resident memory of its largest process.")


class Chunk(Answer):
    index: int
    state: StepState
    progress: float
    cached: bool = Field(description="Taken from an earlier computation on the same photos and settings.")
    attempts: int
    worker: str | None
    started_at: datetime | None
    finished_at: datetime | None
    usage: Usage | None
    waiting: str | None = Field(
        description="What a chunk that is ready waits for, other than its turn.",
        examples=["waiting for disk on worker cpu@host: needs 3.1 GB, 800 MB free"],
    )


class Reuse(Answer):
    chunks: int = Field(description="Of all stages of the pipeline.", examples=[40])
    cached: int = Field(description="Taken from earlier computations so far.", examples=[31])


class Stage(Answer):
    name: str = Field(description="`ingest`, `plan`, a node of the pipeline, or `results`.", examples=["DepthMap"])
    node_type: str
    state: StepState
    progress: float
    cached: bool
    chunks: list[Chunk]


class Result(Answer):
    name: str = Field(examples=["texturedMesh.obj"])
    url: str = Field(description="Fetch it without a key.")
    size: int
    sha256: str
    media_type: str = Field(examples=["model/obj"])


class JobError(Answer):
    code: str = Field(description="Stable; see the list of codes above.", examples=["photos_do_not_overlap"])
    message: str = Field(description="One sentence that says what to do.")
    stage: str | None
    chunk: int | None
    worker: str | None
    log_tail: list[str] = Field(description="The last lines of the stage's log.")
    context: dict[str, Any] = Field(description="Facts, such as the index of the photo.")


class Adjustment(Answer):
    """Settings that were lowered since a stage ran out of memory."""

    node: str = Field(examples=["DepthMap_1"])
    values: dict[str, Any] = Field(description="What was set instead, by attribute.", examples=[{"downscale": 4}])
    code: str = Field(description="Of the failure.", examples=["gpu_memory_exhausted"])
    message: str = Field(examples=["DepthMap ran out of GPU memory; it was run at half the resolution"])


class JobLinks(Answer):
    self: str
    cancel: str
    requeue: str
    extend: str
    logs: str = Field(description="Put a stage's name in the place of `{stage}`.")
    deliveries: str


class CameraKnown(Answer):
    field_of_view_degrees: float | None
    sensor_width_mm: float | None


class Job(Answer):
    id: str = Field(examples=[_JOB_ID])
    job_id: str = Field(description="The same as `id`.", examples=[_JOB_ID])
    tenant: str = Field(description="Whose key submitted it.", examples=["default"])
    status: JobStatus
    progress: float
    seconds_left: float | None = Field(
        description="An estimate on the workers that there are; null while nothing can be said."
    )
    queued_behind: int | None = Field(
        description="How many jobs are served before it, while none of its steps is running; else null."
    )
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    pipeline: str
    settings: dict[str, dict[str, Any]]
    priority: int
    outputs: list[str]
    min_registered_share: float | None = Field(description="As it was sent; null: the service's default.")
    camera: CameraKnown | None = Field(description="As it was sent; null: nothing was.")
    adjustments: list[Adjustment] = Field(description="What the service lowered in `settings` to finish the job.")
    image_count: int
    callback_url: str | None = Field(description="Without its query string, which may hold secrets.")
    callback_events: list[OptionalEvent] = Field(description="As it was sent.")
    metadata: dict[str, Any] = Field(description="As it was sent.")
    engine: str | None = Field(description="Name and version of what computes; null until the job is planned.")
    stages: list[Stage]
    reuse: Reuse = Field(description="What need not be computed, since it was for another job.")
    warnings: list[dict[str, Any]]
    results: list[Result]
    quality: dict[str, Any] = Field(description="Photos used, reprojection error, points, faces and more.")
    error: JobError | None
    attempts: int = Field(description="1, and one more with each requeue.")
    request_id: str = Field(description="Of the request that submitted the job.")
    expires_in: float | None = Field(description="As it was sent; null: the service's default.")
    expires_at: datetime | None = Field(
        description="When it goes with all that it has; null: never, or it has not ended."
    )
    results_expire_at: datetime | None = Field(
        description="When its results go; `requeue` from `results` makes them again. Null: with the job."
    )
    links: JobLinks


class JobPage(Answer):
    data: list[Job]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last.")


class Attempt(Answer):
    number: int
    at: datetime
    status_code: int | None
    error: str | None
    seconds: float
    response_head: str = Field(description="How the receiver's answer begins.")


class Delivery(Answer):
    id: str = Field(description="The `webhook-id`.", examples=["msg_3b0c8d5c5d9f4f6f8a1d2b3c4d5e6f70"])
    job_id: str
    event: DeliveryEvent = Field(description="What it tells.", examples=["job.completed"])
    status: DeliveryStatus = Field(
        description="`pending`: it will be posted (again) at `next_attempt_at`; `succeeded`: answered with 2xx; "
        "`failed`: given up after the last attempt; `disabled`: the receiver answered 410."
    )
    url: str = Field(description="Without its query string.")
    body: dict[str, Any] = Field(description="What is posted.")
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: list[Attempt]


class Deliveries(Answer):
    data: list[Delivery]


class FailingEndpoint(Answer):
    tenant: str = Field(examples=["default"])
    endpoint: str = Field(
        description="The callback URL without its query string.", examples=["https://shop.example.com/hook"]
    )
    since: datetime = Field(description="The first attempt that failed after the last one that was received.")
    last_attempt_at: datetime
    status_code: int | None = Field(description="What it answered last; null where no answer came.", examples=[503])
    error: str | None = Field(examples=["the receiver answered 503"])
    last_success_at: datetime | None
    next_attempt_at: datetime | None = Field(description="Null where nothing is pending.")
    pending: int = Field(description="Deliveries that were tried and will be tried again.")
    failed: int = Field(description="Deliveries that were given up after the last attempt.")
    disabled: int = Field(description="Deliveries that were answered with 410.")


class FailingEndpoints(Answer):
    data: list[FailingEndpoint]


class Health(Answer):
    status: str = Field(examples=["ok"])


class RefusingWorker(Answer):
    name: str = Field(examples=["gpu0@render-3"])
    reason: str | None = Field(description="What its machine lacks; null for whoever asks without the API key.")


class Readiness(Answer):
    status: str = Field(examples=["ready"])
    checks: dict[str, str] = Field(examples=[{"database": "ok", "broker": "ok", "storage": "ok"}])
    refusing: list[RefusingWorker] = Field(description="Workers that take no tasks, and why.")
    queues_without_worker: list[str] = Field(
        description="Empty, since the service would not be ready; the problem lists them.", examples=[[]]
    )


class Fault(Answer):
    pointer: str = Field(description="JSON pointer to what is wrong.", examples=["/image_urls/3"])
    detail: str = Field(examples=["address not allowed"])
    place: str = Field(serialization_alias="in", description="`body`, `query` or `header`.", examples=["body"])


class Problem(Answer):
    """RFC 9457 problem details: what every error looks like."""

    type: str = Field(examples=["urn:meshroom-tasks:problem:address_not_allowed"])
    title: str = Field(examples=["Address not allowed"])
    status: int = Field(examples=[422])
    detail: str = Field(description="One sentence that says what to do.", examples=["address not allowed"])
    code: str = Field(description="Stable; see the list of codes above.", examples=["address_not_allowed"])
    errors: list[Fault]
    request_id: str = Field(examples=["b1946ac92492d2347c6235b4d2611184"])


class Attribute(Answer):
    """Something that can be set in a node."""

    type: str = Field(description="`bool`, `int`, `float`, `string`, `list` or `group`.", examples=["string"])
    default: Any = Field(description="Null for a group.", examples=["normal"])
    choices: list[Any] | None = Field(
        default=None,
        description="The values allowed, of a list: for each item; null: no such limit.",
        examples=[["low", "medium", "normal", "high", "ultra"]],
    )
    minimum: float | None = Field(default=None, description="The least number allowed; null: no such limit.")
    maximum: float | None = Field(default=None, description="The greatest number allowed; null: no such limit.")
    attributes: dict[str, Attribute] = Field(description="Of a group.")


class PipelineStage(Answer):
    name: str = Field(description="Name it, or its node type, in `settings`.", examples=["FeatureExtraction_1"])
    node_type: str = Field(examples=["FeatureExtraction"])
    queue: str = Field(description="Where its chunks are run: `cpu` or `gpu`.", examples=["cpu"])
    attributes: dict[str, Attribute] = Field(description="What can be set in it, by name.")


class Pipeline(Answer):
    name: str = Field(examples=["default"])
    title: str
    description: str
    stages: list[PipelineStage]


class PipelineList(Answer):
    data: list[Pipeline]
