"""From the rows of a job's steps to its stages as their readers see them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from meshroom_tasks.jobs.base import Row
from meshroom_tasks.jobs.records import ChunkView, Reuse, StageView, StepState, Usage

_FIXED_BEFORE, _FIXED_AFTER = ("ingest", "plan"), ("results",)


def stage_views(stages: Sequence[Row], steps: Sequence[Row], waits: Mapping[str, str]) -> tuple[StageView, ...]:
    """In the order in which they are run. `waits`: by the id of a step what it waits for."""
    node_types = {row.name: row.node_type for row in stages}
    steps_of: dict[str, list[Row]] = defaultdict(list)
    for step in steps:
        steps_of[step.stage or step.kind].append(step)
    chunks = {
        name: [_chunk_view(step, waits.get(step.id)) for step in sorted(of_stage, key=lambda step: step.chunk)]
        for name, of_stage in steps_of.items()
    }
    ended = any(step.kind == "ingest" and step.state in ("failed", "cancelled") for step in steps)
    to_come = [_chunk_to_come("cancelled" if ended else "blocked")]
    order = (*_FIXED_BEFORE, *node_types, *_FIXED_AFTER)
    return tuple(_stage_view(name, node_types.get(name, name), chunks.get(name, to_come)) for name in order)


def reuse_of(steps: Sequence[Row]) -> Reuse:
    chunks = [step for step in steps if step.kind == "chunk"]
    return Reuse(chunks=len(chunks), cached=sum(step.state == "done" and step.cached for step in chunks))


def _stage_view(name: str, node_type: str, chunks: Sequence[ChunkView]) -> StageView:
    return StageView(
        name=name,
        node_type=node_type,
        state=stage_state([chunk.state for chunk in chunks]),
        progress=sum(chunk.progress for chunk in chunks) / len(chunks),
        cached=all(chunk.cached for chunk in chunks),
        chunks=tuple(chunks),
    )


def stage_state(chunks: Sequence[StepState]) -> StepState:
    """A stage's state from those of its chunks: the worst that is final, else running as soon as any has begun."""
    states = set(chunks)
    for final in ("failed", "cancelled"):
        if final in states:
            return final
    if states == {"done"}:
        return "done"
    if states & {"running", "done"}:
        return "running"
    return "ready" if "ready" in states else "blocked"


def _chunk_to_come(state: StepState) -> ChunkView:
    """Of `plan` and `results`, whose steps are written when the photos are there."""
    return ChunkView(0, state, 0, cached=False, progress=0.0, worker=None, started_at=None, finished_at=None)


def _chunk_view(step: Row, waiting: str | None) -> ChunkView:
    usage = (step.entry or {}).get("usage")
    return ChunkView(
        index=step.chunk,
        state=step.state,
        attempts=step.attempts,
        cached=step.cached,
        progress=1.0 if step.state == "done" else step.progress,
        worker=step.worker,
        started_at=step.started_at,
        finished_at=step.finished_at,
        usage=Usage(**usage) if usage else None,
        waiting=waiting,
    )
