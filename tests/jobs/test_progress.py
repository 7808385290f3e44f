"""How far a job is: tables, and the promise that it never goes back, on whole stores."""

from __future__ import annotations

import random

import pytest

from meshroom_tasks.errors import EngineError, GpuMemory
from meshroom_tasks.jobs.progress import PARTS, Task, job_progress
from meshroom_tasks.jobs.records import Adjustment, Entry, Relief, StepState, Work
from meshroom_tasks.jobs.stage_views import stage_state
from meshroom_tasks.jobs.store import JobStore

from .conftest import GRAPH, RESULTS, Clock, claim_kind, entry_for, run_to_plan


def chunk(weight: float, reached: float = 0.0, *, state: StepState = "running", cached: bool = False) -> Task:
    return Task("chunk", "cpu", state, weight=weight, reached=reached, cached=cached)


def done(weight: float, *, cached: bool = False) -> Task:
    return chunk(weight, 0.0 if cached else 1.0, state="done", cached=cached)


PLANNED = [Task("ingest", "ingest", "done", reached=1), Task("plan", "ingest", "done", reached=1)]
BEFORE = PARTS["ingest"] + PARTS["plan"]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([], 0.0),
        ([chunk(10), chunk(30)], 0.0),
        ([done(10), chunk(30)], 0.25),
        ([done(10), chunk(30, 0.5)], 0.625),
        ([done(10), done(30)], 1.0),
        # What was found at once leaves the sum; what had been computed of it before stays.
        ([done(300, cached=True), done(10), chunk(30)], 0.25),
        ([done(300, cached=True), done(10, cached=True)], 1.0),
        ([done(300, cached=True), chunk(10)], 0.0),
        ([Task("chunk", "cpu", "done", weight=10, reached=0.5, cached=True), chunk(5)], 0.5),
        ([chunk(0), done(0)], 0.0),
    ],
)
def test_the_stages_count_by_their_weights(chunks: list[Task], expected: float) -> None:
    found = job_progress([*PLANNED, *chunks])
    assert found == pytest.approx(BEFORE + PARTS["chunk"] * expected)


def test_a_job_is_as_far_as_its_steps() -> None:
    assert job_progress([]) == 0
    assert job_progress([Task("ingest", "ingest", "running", reached=0.5)]) == pytest.approx(PARTS["ingest"] / 2)
    assert job_progress([*PLANNED, done(1), Task("results", "ingest", "done", reached=1)]) == pytest.approx(1)
    assert job_progress([*PLANNED, chunk(1)], floor=0.5) == pytest.approx(0.5 + BEFORE / 2)


def test_finding_a_chunk_takes_nothing_back() -> None:
    dice = random.Random(3)
    for _ in range(300):
        tasks = [chunk(dice.uniform(0, 9), dice.choice([0, dice.random()])) for _ in range(6)]
        before = job_progress(tasks)
        found = dice.randrange(6)
        tasks[found] = chunk(tasks[found].weight, tasks[found].reached, state="done", cached=True)
        assert job_progress(tasks) >= before - 1e-12


def test_it_never_goes_back_whatever_happens_to_the_steps(store: JobStore, clock: Clock) -> None:
    """Tries that fail or fall silent, chunks that are computed, found, or given up half-way."""
    dice = random.Random(8)
    job_id = run_to_plan(store)
    seen = [store.job(job_id).progress]
    while store.job(job_id).status == "running":
        work = claim_kind(store, "chunk") or claim_kind(store, "results")
        clock.advance(3)
        if work is None:
            continue
        seen.append(store.job(job_id).progress)
        assert store.heartbeat(work, dice.random()) is None
        seen.append(store.job(job_id).progress)
        if work.kind == "results":
            store.finish_results(work, RESULTS, {})
        elif work.attempt == 1:
            if dice.random() < 0.5:
                store.fail(work, EngineError("once more"))
            else:
                clock.advance(31)
                store.reclaim_expired()
        else:
            entry = entry_for(work)
            cached = dice.random() < 0.3
            store.finish_chunk(work, Entry(entry.key, entry.bundle_key, entry.digest, 5, entry.usage, cached))
        seen.append(store.job(job_id).progress)
    assert store.job(job_id).status == "completed"
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(set(seen)) > 6


def test_a_new_plan_within_an_attempt_takes_nothing_back(store: JobStore) -> None:
    job_id = run_to_plan(store)
    seen = [0.0]

    def look() -> None:
        seen.append(store.job(job_id).progress)

    def next_one(kind: str) -> Work:
        look()
        work = claim_kind(store, kind)
        assert work is not None
        return work

    for _ in range(2):
        work = next_one("chunk")
        store.finish_chunk(work, entry_for(work))
    work = next_one("chunk")
    store.heartbeat(work, 0.5)
    look()
    before = seen[-1]
    lower = Adjustment(work.node_type, work.node_type, GpuMemory.code, {}, "lower")
    store.fail(work, GpuMemory("too large"), Relief(adjustment=lower))
    store.finish_plan(next_one("plan"), "engine-1", GRAPH)
    for _ in range(3):
        work = next_one("chunk")
        store.finish_chunk(work, entry_for(work))
    look()
    assert seen == sorted(seen)
    assert before < seen[-1] < 1
    store.cancel(job_id)
    store.requeue(job_id, "ingest")
    assert store.job(job_id).progress == 0


def test_the_weights_of_a_job_are_fixed_when_it_is_planned(store: JobStore, clock: Clock) -> None:
    teacher, taught = run_to_plan(store), run_to_plan(store, priority=0)
    init = claim_kind(store, "Init")
    assert init is not None
    assert init.job_id == teacher
    clock.advance(1000)
    before = store.job(taught).progress
    store.finish_chunk(init, entry_for(init))
    assert store.job(taught).progress == before
    later = run_to_plan(store, priority=9)
    left = claim_kind(store, "chunk")
    assert left is not None
    assert left.job_id == later
    store.heartbeat(left, 0.5)
    assert store.job(later).progress == pytest.approx(BEFORE + PARTS["chunk"] * 0.5 / 5, abs=0.001)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (["blocked", "blocked"], "blocked"),
        (["ready", "blocked"], "ready"),
        (["running", "ready"], "running"),
        (["done", "ready"], "running"),
        (["done", "done"], "done"),
        (["done", "failed"], "failed"),
        (["cancelled", "done"], "cancelled"),
        (["failed", "cancelled"], "failed"),
        ([], "blocked"),
    ],
)
def test_state_of_a_stage(chunks: list[StepState], expected: StepState) -> None:
    assert stage_state(chunks) == expected
