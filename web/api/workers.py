"""Who computes, on what, and how it is doing."""

from __future__ import annotations

from apiflask import APIBlueprint

from meshroom_tasks.jobs.workers import WorkerView
from web.schemas.workers import Gpu, RunningStep, Worker, WorkerList
from web.services import services

blueprint = APIBlueprint("workers", __name__, url_prefix="/api/v1", tag="Workers")


@blueprint.get("/workers")
@blueprint.output(WorkerList)
@blueprint.doc(operation_id="listWorkers")
def list_workers() -> WorkerList:
    """The workers that were heard of in the last hour

    Each with its machine, its GPU, and the steps that it runs now.
    """
    return WorkerList(data=[_worker(view) for view in services().store.workers()])


def _worker(view: WorkerView) -> Worker:
    return Worker(
        name=view.name,
        state=view.state,
        host=view.host,
        queues=list(view.queues),
        processes=view.processes,
        engine=view.engine,
        gpu=Gpu(uuid=view.gpu_uuid, name=view.gpu_name or "", memory_bytes=view.gpu_memory_bytes or 0)
        if view.gpu_uuid is not None
        else None,
        refusal=view.refusal,
        running=[
            RunningStep(
                job_id=step.job_id,
                stage=step.stage,
                chunk=step.chunk,
                progress=step.progress,
                started_at=step.started_at,
            )
            for step in view.running
        ],
        started_at=view.started_at,
        last_seen=view.last_seen,
    )
