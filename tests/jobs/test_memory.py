"""Steps that ran out of memory: what is decided, and what becomes of the job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshroom_tasks.errors import EngineKilled, GpuMemory, MemoryExhausted, ServiceError
from meshroom_tasks.jobs.memory import Remedy, remedy
from meshroom_tasks.jobs.records import NO_RELIEF, Adjustment, Relief, Work
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.workers import WorkerFacts
from meshroom_tasks.stops import JobCancelled, PlannedAnew

from .conftest import RESULTS, Clock, claim_kind, entry_for, planned, run_chunks, run_to_plan

POLICY: Remedy = "as the policy says"
LARGER: Remedy = "larger worker"
LOWER: Remedy = "lower settings"

HALF = Adjustment("Depth_1", "Depth", "gpu_memory_exhausted", {"downscale": 4}, "Depth was run at half the resolution")
BOTH = Relief("big", HALF)
GRAPH = (planned("Init"), planned("Depth", "Init", chunks=2), planned("Side", "Init"), planned("Mesh", "Depth", "Side"))
COARSE = tuple(replace(stage, uid="coarse") if stage.name in ("Depth_1", "Mesh_1") else stage for stage in GRAPH)


@pytest.mark.parametrize(
    ("code", "previous", "queue", "live", "relief", "adjusted", "expected"),
    [
        ("engine_killed", None, "cpu", True, BOTH, (), POLICY),
        ("engine_killed", "storage_unavailable", "cpu", True, BOTH, (), POLICY),
        ("engine_killed", "engine_killed", "cpu", True, BOTH, (), LARGER),
        ("engine_killed", "engine_killed", "big", True, BOTH, (), LOWER),
        ("engine_killed", "engine_killed", "cpu", True, NO_RELIEF, (), POLICY),
        ("memory_exhausted", None, "cpu", True, BOTH, (), LARGER),
        ("memory_exhausted", None, "cpu", False, BOTH, (), LOWER),
        ("memory_exhausted", "memory_exhausted", "big", True, BOTH, (), LOWER),
        ("memory_exhausted", None, "cpu", True, NO_RELIEF, (), POLICY),
        ("memory_exhausted", None, "big", True, BOTH, ("Depth",), POLICY),
        ("memory_exhausted", None, "big", True, BOTH, ("Meshing",), LOWER),
        ("memory_exhausted", None, "big", True, BOTH, ("A", "B", "C"), POLICY),
        ("gpu_memory_exhausted", None, "gpu", True, BOTH, (), LOWER),
        ("gpu_memory_exhausted", None, "gpu", True, Relief("big"), (), POLICY),
        ("engine_failed", None, "cpu", True, BOTH, (), POLICY),
        ("no_surface", "engine_killed", "cpu", True, BOTH, (), POLICY),
    ],
)
def test_remedy(
    code: str, previous: str | None, queue: str, live: bool, relief: Relief, adjusted: tuple[str, ...], expected: Remedy
) -> None:
    found = remedy(code, previous=previous, queue=queue, larger_is_live=live, relief=relief, adjusted=adjusted)
    assert found == expected


def claimed(store: JobStore, kind: str) -> Work:
    work = claim_kind(store, kind)
    assert work is not None
    return work


def at_depth(store: JobStore) -> tuple[str, Work]:
    job_id = run_to_plan(store, GRAPH)
    init = claimed(store, "Init")
    store.finish_chunk(init, entry_for(init))
    return job_id, claimed(store, "Depth")


def complete(store: JobStore, job_id: str) -> list[str]:
    ran = run_chunks(store)
    store.finish_results(claimed(store, "results"), RESULTS, {})
    assert store.job(job_id).status == "completed"
    return ran


def test_a_new_plan_with_lower_settings(store: JobStore) -> None:
    job_id, work = at_depth(store)
    store.fail(work, GpuMemory("too large"), BOTH)
    view = store.job(job_id)
    assert (view.status, view.adjustments) == ("running", (HALF,))
    assert [stage.name for stage in view.stages] == ["ingest", "plan", "results"]
    plan = claimed(store, "plan")
    assert plan.adjustments == (HALF,)
    assert store.finish_plan(plan, "engine-1", COARSE)
    assert len(complete(store, job_id)) == 5
    (warning,) = store.job(job_id).warnings
    assert (warning["code"], warning["message"]) == ("settings_lowered", HALF.message)


@pytest.mark.parametrize("leave", ["finish", "stopped", "lost"])
def test_the_new_plan_waits_for_what_still_runs(store: JobStore, clock: Clock, leave: str) -> None:
    job_id, work = at_depth(store)
    other, side = claimed(store, "Depth"), claimed(store, "Side")
    store.fail(work, GpuMemory("too large"), BOTH)
    assert claim_kind(store, "plan") is None
    reason = store.heartbeat(other, 0.5)
    assert isinstance(reason, PlannedAnew)
    store.fail(other, reason)
    assert claim_kind(store, "plan") is None
    if leave == "finish":
        assert store.finish_chunk(side, entry_for(side))
    elif leave == "stopped":
        store.fail(side, PlannedAnew("stop"))
    else:
        clock.advance(31)
        assert store.reclaim_expired() == 1
    plan = claimed(store, "plan")
    assert store.finish_plan(plan, "engine-1", COARSE)
    assert not store.finish_chunk(side, entry_for(side)), "the old holder's word is void"
    assert len(complete(store, job_id)) == 5


def test_settings_are_lowered_once_and_then_the_job_fails(store: JobStore) -> None:
    job_id, work = at_depth(store)
    store.fail(work, GpuMemory("too large"), BOTH)
    store.finish_plan(claimed(store, "plan"), "engine-1", COARSE)
    init = claimed(store, "Init")
    store.finish_chunk(init, entry_for(init))
    store.fail(claimed(store, "Depth"), GpuMemory("still too large"), BOTH)
    view = store.job(job_id)
    assert view.error is not None
    assert (view.status, view.error.code) == ("failed", "gpu_memory_exhausted")


def test_a_kill_is_tried_again_as_it_is_and_the_second_one_is_taken_for_memory(store: JobStore, clock: Clock) -> None:
    job_id, work = at_depth(store)
    store.fail(work, EngineKilled("killed"), Relief(adjustment=HALF))
    assert store.job(job_id).adjustments == ()
    clock.advance(3)
    again = claimed(store, "Depth")
    assert (again.step_id, again.attempt) == (work.step_id, 2)
    store.fail(again, EngineKilled("killed"), Relief(adjustment=HALF))
    assert store.job(job_id).adjustments == (HALF,)


def test_a_larger_worker(store: JobStore, clock: Clock) -> None:
    store.worker_started(WorkerFacts("big@b", "b", 1, ("big",), 1))
    job_id, work = at_depth(store)
    store.fail(work, MemoryExhausted("too large"), BOTH)
    (hint,) = (hint for hint in store.take_hints() if hint.subject == work.step_id)
    assert hint.queue == "big"
    again = store.claim(hint.subject, "big@b")
    assert again is not None
    assert (again.step_id, again.attempt) == (work.step_id, 2)
    assert [warning["code"] for warning in store.job(job_id).warnings] == ["larger_worker"]
    store.fail(again, MemoryExhausted("still too large"), BOTH)
    assert store.job(job_id).adjustments == (HALF,)


def test_a_cancel_goes_before_a_new_plan(store: JobStore) -> None:
    job_id, work = at_depth(store)
    side = claimed(store, "Side")
    store.fail(work, GpuMemory("too large"), BOTH)
    store.cancel(job_id)
    reason = store.heartbeat(side, 0.5)
    assert isinstance(reason, JobCancelled)
    store.fail(side, reason)
    assert store.job(job_id).status == "cancelled"
    store.requeue(job_id)
    assert claimed(store, "plan").adjustments == (HALF,), "what was learnt is kept"


@pytest.mark.parametrize("error", [MemoryExhausted("no"), GpuMemory("no")])
def test_without_help_the_job_fails(store: JobStore, error: ServiceError) -> None:
    job_id, work = at_depth(store)
    store.fail(work, error)
    assert store.job(job_id).status == "failed"


def test_the_reason_stays_to_be_seen(store: JobStore) -> None:
    job_id, work = at_depth(store)
    store.fail(work, MemoryExhausted("too large", log_tail=("bad_alloc",)), NO_RELIEF)
    error: Any = store.job(job_id).error
    assert (error.stage, error.chunk, error.worker, error.log_tail) == ("Depth_1", 0, "w1", ("bad_alloc",))
