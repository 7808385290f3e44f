"""The workers, as operators see them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from meshroom_tasks.jobs.workers import WorkerState
from web.schemas.responses import Answer


class Gpu(Answer):
    uuid: str
    name: str = Field(examples=["NVIDIA GeForce RTX 4090"])
    memory_bytes: int


class RunningStep(Answer):
    job_id: str
    stage: str = Field(description="`ingest`, `plan`, a node of the pipeline, or `results`.", examples=["DepthMap_1"])
    chunk: int
    progress: float
    started_at: datetime


class Worker(Answer):
    name: str = Field(examples=["gpu0@render-3"])
    state: WorkerState = Field(
        description="`running`; `draining`: takes nothing new, and stays; `stopping`: takes nothing new, and ends; "
        "`refused`: took nothing, `refusal` says why; `lost`: has not been heard of for the length of a lease."
    )
    host: str
    queues: list[str] = Field(examples=[["gpu"]])
    processes: int = Field(description="How many steps it runs at once.")
    engine: str | None = Field(description="Name and version of what computes here; null where nothing does.")
    gpu: Gpu | None = Field(description="The one that it is pinned to.")
    refusal: str | None = Field(description="What its machine lacks.")
    running: list[RunningStep]
    started_at: datetime
    last_seen: datetime


class WorkerList(Answer):
    data: list[Worker]
