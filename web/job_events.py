"""What happened to a job between two looks at it. Pure."""

from __future__ import annotations

from meshroom_tasks.jobs.records import JobView
from meshroom_tasks.jobs.states import ENDED
from web.event_stream import Event


def events_between(before: JobView | None, after: JobView) -> list[Event]:
    """`state`, `stage` and `progress` events, in this order; everything when nothing was seen before."""
    events = []
    if before is None or before.status != after.status:
        events.append(Event("state", _state(after)))
    known = {stage.name: stage.state for stage in before.stages} if before is not None else {}
    for stage in after.stages:
        if known.get(stage.name) != stage.state:
            data = {"name": stage.name, "node_type": stage.node_type, "state": stage.state, "cached": stage.cached}
            events.append(Event("stage", data))
    if before is None or before.progress != after.progress:
        events.append(Event("progress", {"progress": after.progress, "seconds_left": after.seconds_left}))
    return events


def is_over(job: JobView) -> bool:
    """Whether nothing more will happen to it, unless somebody requeues it."""
    return job.status in ENDED


def _state(job: JobView) -> dict[str, object]:
    error = {"code": job.error.code, "message": job.error.message} if job.error is not None else None
    return {"job_id": job.id, "status": job.status, "attempts": job.attempts, "error": error}
