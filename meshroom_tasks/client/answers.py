"""What the service answers, as far as a client looks at it. Fields that are new are ignored, never refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["queued", "running", "completed", "failed", "cancelled"]

ENDED: tuple[Status, ...] = ("completed", "failed", "cancelled")


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Chunk(_Answer):
    index: int
    state: str
    progress: float
    cached: bool
    attempts: int
    worker: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    waiting: str | None = None


class Stage(_Answer):
    """`ingest`, `plan`, each node of the pipeline, `results`. `progress` is 0 to 1."""

    name: str
    node_type: str
    state: str
    progress: float
    cached: bool
    chunks: tuple[Chunk, ...] = ()


class Result(_Answer):
    """A file. `size` in bytes, `sha256` in hex; `url` needs no key."""

    name: str
    url: str
    size: int
    sha256: str
    media_type: str


class JobError(_Answer):
    code: str
    message: str
    stage: str | None = None
    chunk: int | None = None
    worker: str | None = None
    log_tail: tuple[str, ...] = ()
    context: dict[str, Any] = {}


class Job(_Answer):
    """`progress` is 0 to 1; `seconds_left` an estimate, None while nothing can be said."""

    id: str
    status: Status
    progress: float
    seconds_left: float | None = None
    queued_behind: int | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    pipeline: str
    image_count: int
    metadata: dict[str, Any] = {}
    stages: tuple[Stage, ...] = ()
    warnings: tuple[dict[str, Any], ...] = ()
    results: tuple[Result, ...] = ()
    quality: dict[str, Any] = {}
    error: JobError | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class JobPage(_Answer):
    data: tuple[Job, ...]
    next_cursor: str | None = None


class Send(_Answer):
    method: Literal["POST", "PUT"]
    url: str
    fields: dict[str, str] = {}


class UploadedFile(_Answer):
    name: str
    size: int
    url: str
    arrived: bool
    send: Send | None = None


class Upload(_Answer):
    upload_id: str
    url: str
    complete: bool
    missing: tuple[str, ...] = ()
    files: tuple[UploadedFile, ...] = ()
