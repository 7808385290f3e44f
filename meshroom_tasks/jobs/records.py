"""The values that cross the border of the job store: what goes in, what a step's holder gets, what readers see.

All are frozen; times are aware UTC datetimes; durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from meshroom_tasks.api_keys import DEFAULT_TENANT
from meshroom_tasks.jobs.labels import step_label

JobStatus = Literal["queued", "running", "completed", "failed", "cancelled"]
StepKind = Literal["ingest", "plan", "chunk", "results"]
StepState = Literal["blocked", "ready", "running", "done", "failed", "cancelled"]
DeliveryStatus = Literal["pending", "succeeded", "failed", "disabled"]
OptionalEvent = Literal["job.started", "job.stage_completed", "job.expiring"]
"""What a client is told besides the end, where it asks for it."""
OPTIONAL_EVENTS: tuple[OptionalEvent, ...] = get_args(OptionalEvent)
DeliveryEvent = Literal["job.completed", "job.failed"] | OptionalEvent

ExpiringPart = Literal["job", "results"]

JSON = Any


@dataclass(frozen=True)
class IdempotencyKey:
    """What a client calls one submission, however often it sends it; `fingerprint` is a hash of what it asked for."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class Camera:
    """What a client knows of the camera where the photos do not tell it; None: nothing.

    `field_of_view_degrees`: along the longer side, for photos without a focal length. `sensor_width_mm`: the longer
    side, for photos that tell a focal length and the camera's name.
    """

    field_of_view_degrees: float | None = None
    sensor_width_mm: float | None = None


NO_CAMERA = Camera()


@dataclass(frozen=True)
class Options:
    """What a client may say besides settings of nodes; None: as the service is set up.

    `min_registered_share`: 0 to 1, photos that must be placed for the job to go on.
    """

    min_registered_share: float | None = None
    camera: Camera = NO_CAMERA

    @classmethod
    def of(cls, recorded: Mapping[str, JSON]) -> Options:
        """From the form that `dataclasses.asdict` makes; what was recorded before a field was there has its default."""
        return cls(**{**recorded, "camera": Camera(**recorded.get("camera", {}))})


@dataclass(frozen=True)
class Adjustment:
    """Attributes of a node that were lowered after it ran out of memory. `code`: that of the failure."""

    node: str
    node_type: str
    code: str
    values: Mapping[str, JSON]
    message: str


@dataclass(frozen=True)
class Relief:
    """What would help a step if it ran out of memory: the queue of larger workers, lower settings; None: nothing."""

    larger_queue: str | None = None
    adjustment: Adjustment | None = None


NO_RELIEF = Relief()


@dataclass(frozen=True)
class TenantLimits:
    """What a tenant may have at a time; 0: no limit."""

    max_running_jobs: int = 0
    max_queued_jobs: int = 0
    max_images: int = 0
    """Photos of one job."""
    max_job_bytes: int = 0
    """All photos of one job."""
    max_storage_bytes: int = 0
    """Photos and results of all its jobs."""


NO_LIMITS = TenantLimits()


@dataclass(frozen=True)
class Expiry:
    """How long after its end a job, and its results, are kept where the request does not say so; None: for ever.

    `notice`: how long before that clients are told who ask for it.
    """

    job: timedelta | None = None
    results: timedelta | None = None
    notice: timedelta = timedelta(days=1)


NO_EXPIRY = Expiry()


@dataclass(frozen=True)
class NewJob:
    """A validated request, ready to be recorded."""

    image_urls: tuple[str, ...]
    callback_url: str | None
    metadata: Mapping[str, JSON]
    pipeline: str = "default"
    settings: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    priority: int = 5
    outputs: tuple[str, ...] = ("obj", "glb")
    request_id: str = ""
    options: Options = field(default_factory=lambda: Options())
    uploads: tuple[str, ...] = ()
    """Ids of the uploads that `image_urls` name."""
    image_count: int | None = None
    """Photos that are known of before ZIPs are unpacked and prefixes listed; None: as many as URLs."""
    idempotency: IdempotencyKey | None = None
    tenant: str = DEFAULT_TENANT
    callback_events: tuple[OptionalEvent, ...] = ()
    expires_in: float | None = None
    """Seconds after its end; None: as the service is set up."""


@dataclass(frozen=True)
class Submitted:
    """`replayed`: the job was recorded by an earlier request with the same idempotency key."""

    job_id: str
    replayed: bool = False


@dataclass(frozen=True)
class Photo:
    """One checked photo. `name` is `{index:04d}_{sha8}.{ext}`, its name in storage and workspace.

    `source`: what its client calls it where its URL does not say so.
    """

    index: int
    name: str
    sha256: str
    size: int
    width: int
    height: int
    media_type: str
    source: str = ""


@dataclass(frozen=True)
class ReadItem:
    """One stored chunk that a chunk reads."""

    node_type: str
    uid: str
    chunk: int
    digest: str
    bundle_key: str
    stage: str = ""
    size: int = 0
    unpacked_size: int = 0
    """Bytes of the bundle, and of the files in it; 0 where it was not noted."""


@dataclass(frozen=True)
class Work:
    """A claimed step, as its holder sees it.

    `token` is the fencing token: every later word about the step is accepted only with it.
    The fields from `node` on are set for chunks only.
    """

    step_id: str
    job_id: str
    kind: StepKind
    token: str
    attempt: int
    request_id: str
    image_urls: tuple[str, ...]
    pipeline: str
    settings: Mapping[str, Mapping[str, JSON]]
    outputs: tuple[str, ...]
    options: Options = Options()
    adjustments: tuple[Adjustment, ...] = ()
    max_images: int = 0
    max_job_bytes: int = 0
    """What one job of the tenant may have; 0: no limit of its own. For ingest only."""
    engine: str = ""
    photos_digest: str = ""
    photos: tuple[Photo, ...] = ()
    node: str = ""
    node_type: str = ""
    uid: str = ""
    chunk: int = 0
    chunk_count: int = 1
    chunked: bool = False
    block_size: int = 0
    """Of a stage of several chunks; part of their addresses."""
    reads: tuple[ReadItem, ...] = ()
    reads_photos: bool = False
    views: int = 0
    """How many photos the chunk handles; all of the job where its stage is not cut into chunks."""
    refresh: bool = False
    """Compute it even when the stage cache has it: the operator asked for it."""

    @property
    def label(self) -> str:
        return step_label(self.kind, self.node or None, self.chunk, self.job_id)


@dataclass(frozen=True)
class PlannedWork:
    """One stage of a planned graph with the policy it runs under. `reads` names the stages whose outputs it reads."""

    name: str
    node_type: str
    uid: str
    chunk_count: int
    chunked: bool
    reads: tuple[str, ...]
    reads_photos: bool
    queue: str
    weight: float
    block_size: int = 0
    size: int = 1
    """Chunk i of a chunked stage handles items [i * block_size, (i + 1) * block_size) of its `size` items."""


@dataclass(frozen=True)
class Usage:
    """What one chunk cost: seconds of its whole process tree, peak resident bytes of its largest process."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Entry:
    """A chunk's outputs in the object store. `digest` is the sha256 of the bundle; lineage is part of the key.

    `size` is that of the bundle, `unpacked_size` that of the files in it (0 where it was not noted).
    """

    key: str
    bundle_key: str
    digest: str
    size: int
    usage: Usage | None
    cached: bool = False
    unpacked_size: int = 0


@dataclass(frozen=True)
class ResultFile:
    name: str
    key: str
    size: int
    sha256: str
    media_type: str


@dataclass(frozen=True)
class ErrorView:
    code: str
    message: str
    stage: str | None = None
    chunk: int | None = None
    worker: str | None = None
    log_tail: tuple[str, ...] = ()
    context: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True)
class ChunkView:
    index: int
    state: StepState
    attempts: int
    cached: bool
    progress: float
    worker: str | None
    started_at: datetime | None
    finished_at: datetime | None
    usage: Usage | None = None
    waiting: str | None = None
    """What a chunk that is ready waits for, other than its turn."""


@dataclass(frozen=True)
class StageView:
    """A step of the job as a client sees it: `ingest`, `plan`, each node of the graph, `results`."""

    name: str
    node_type: str
    state: StepState
    progress: float
    cached: bool
    chunks: tuple[ChunkView, ...]


@dataclass(frozen=True)
class Reuse:
    """How many of the `chunks` of the job's graph were taken from the stage cache so far."""

    chunks: int
    cached: int


@dataclass(frozen=True)
class JobView:
    id: str
    tenant: str
    status: JobStatus
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    pipeline: str
    settings: Mapping[str, Mapping[str, JSON]]
    priority: int
    outputs: tuple[str, ...]
    options: Options
    adjustments: tuple[Adjustment, ...]
    image_count: int
    callback_url: str | None
    callback_events: tuple[OptionalEvent, ...]
    metadata: Mapping[str, JSON]
    progress: float
    seconds_left: float | None
    queued_behind: int | None
    """Jobs whose steps are taken before its own, while none of its own is running; None otherwise."""
    engine: str | None
    stages: tuple[StageView, ...]
    reuse: Reuse
    warnings: tuple[Mapping[str, JSON], ...]
    results: tuple[ResultFile, ...]
    quality: Mapping[str, JSON]
    error: ErrorView | None
    attempts: int
    request_id: str
    expires_in: float | None
    expires_at: datetime | None
    results_expire_at: datetime | None


@dataclass(frozen=True)
class AttemptView:
    number: int
    at: datetime
    status_code: int | None
    error: str | None
    seconds: float
    response_head: str


@dataclass(frozen=True)
class DeliveryView:
    id: str
    job_id: str
    event: DeliveryEvent
    status: DeliveryStatus
    url: str
    body: Mapping[str, JSON]
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: tuple[AttemptView, ...]


@dataclass(frozen=True)
class Page:
    """A page of jobs, newest first. `next_cursor` is opaque; None on the last page."""

    jobs: tuple[JobView, ...]
    next_cursor: str | None
