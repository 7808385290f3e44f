"""How long a job may still take, and what its steps are foretold to take: tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from meshroom_tasks.jobs.experience import Experience, Sample
from meshroom_tasks.jobs.forecast import forecast, views_of_chunk
from meshroom_tasks.jobs.progress import Task
from meshroom_tasks.jobs.records import PlannedWork
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.time_left import Slot, seconds_left
from meshroom_tasks.jobs.workers import WorkerFacts

from .conftest import Clock, claim_kind, entry_for, planned, run_to_plan

CPU = Slot(frozenset({"cpu", "ingest"}))
GPU = Slot(frozenset({"gpu"}))
READS = {"A": (), "B": ("A",), "C": ("A",), "D": ("B", "C")}


def task(stage: str, state: str = "blocked", weight: float = 10.0, **more: object) -> Task:
    return Task("chunk", stage=stage, state=state, weight=weight, **{"queue": "cpu", **more})  # type: ignore[arg-type]


def done(stage: str, weight: float = 10.0, seconds: float = 10.0) -> Task:
    return task(stage, "done", weight, progress=1.0, reached=1.0, seconds=seconds)


A = done("A")
FAN = [A, *[task("B", "ready") for _ in range(4)], task("C", "ready"), task("D")]


@pytest.mark.parametrize(
    ("tasks", "slots", "expected"),
    [
        # One after the other, or side by side as far as the graph and the workers allow.
        ([A, task("B", "ready"), task("C", "ready"), task("D")], [CPU], 30),
        ([A, task("B", "ready"), task("C", "ready"), task("D")], [CPU] * 2, 20),
        ([A, task("B", "ready"), task("C", "ready"), task("D")], [CPU] * 9, 20),
        (FAN, [CPU], 60),
        (FAN, [CPU] * 2, 40),
        (FAN, [CPU] * 4, 30),
        (FAN, [CPU] * 5, 20),
        # A slow job is foretold to stay slow, a fast one fast.
        ([done("A", seconds=20), task("B", "ready")], [CPU], 20),
        ([done("A", seconds=5), task("B", "ready")], [CPU], 5),
        # Queues have their own workers; without one for what is to be done, nothing can be said.
        ([A, task("B", "ready", queue="gpu"), task("C", "ready")], [CPU, GPU], 10),
        ([A, task("B", "ready", queue="gpu"), task("C", "ready")], [CPU], None),
        # What runs occupies its worker.
        ([A, task("B", "running", seconds=4), task("C", "ready")], [CPU], 16),
        ([A, task("B", "running", seconds=4), task("C", "ready")], [], 16),
        ([A, task("B", "running", seconds=4)], [], 6),
        ([A, task("B", "running", seconds=40)], [CPU], 0.5),
        ([A, task("B", "running", seconds=5, progress=0.5)], [CPU], 5),
        # Results come last.
        ([A, task("B", "ready"), Task("results", "ingest", "blocked", weight=3)], [CPU] * 2, 13),
        # All that was found in the stage cache says nothing of the rest.
        ([replace(A, cached=True), task("B", "ready")], [CPU], None),
        ([replace(A, cached=True), task("B", "running", seconds=1)], [CPU], None),
        ([], [CPU], None),
        ([task("A", "ready")], [CPU], None),
    ],
)
def test_the_rest_of_the_graph_on_the_workers_that_there_are(
    tasks: Sequence[Task], slots: Sequence[Slot], expected: float | None
) -> None:
    found = seconds_left(tasks, READS, slots, 0.0)
    assert found == (None if expected is None else pytest.approx(expected, abs=1.0))


@pytest.mark.parametrize(
    ("tasks", "measured", "expected"),
    [
        ([done("A", 1, 4), task("B", "ready", 99)], 0.0, None),
        ([done("A", 1, 4), task("B", "ready", 99)], 1.0, 99 * 14 / 11),
        ([done("A", 50, 100), task("B", "ready", 50)], 0.0, 100),
        ([done("A", 50, 100), task("B", "ready", 50)], 1.0, 50 * 110 / 60),
        ([replace(A, cached=True), task("B", "running", 100, seconds=10)], 1.0, 90),
        ([replace(A, cached=True), task("B", "running", 100, seconds=10)], 0.5, None),
    ],
)
def test_experience_weighs_against_the_pace_of_the_job(
    tasks: Sequence[Task], measured: float, expected: float | None
) -> None:
    found = seconds_left(tasks, READS, [CPU], measured)
    assert found == (None if expected is None else pytest.approx(expected, abs=0.5))


@pytest.mark.parametrize(
    ("chunked", "block_size", "size", "chunk", "expected"),
    [(True, 12, 23, 0, 12), (True, 12, 23, 1, 11), (True, 12, 23, 2, 0), (False, 0, 1, 0, 23), (True, 0, 1, 0, 23)],
)
def test_views_of_a_chunk(chunked: bool, block_size: int, size: int, chunk: int, expected: int) -> None:
    assert views_of_chunk(chunked, block_size, size, chunk, 23) == expected


def stage(name: str, weight: float, block_size: int = 0, size: int = 1, chunks: int = 1) -> PlannedWork:
    return replace(
        planned(name, chunks=chunks), chunked=block_size > 0, block_size=block_size, size=size, weight=weight
    )


def took(seconds: float, views: int = 23) -> Experience:
    return Experience().after(Sample(views, views, seconds, 0, 0, 0))


def test_a_forecast_without_experience_is_by_the_policies() -> None:
    found = forecast([stage("A", 46, 40, 46, 2), stage("FeatureMatching", 10), stage("C", 5)], 46, {})
    assert found.chunks["A_1"] == (pytest.approx(80), pytest.approx(12))
    assert found.chunks["FeatureMatching_1"] == (pytest.approx(10 * 46 * 45 / 23 / 22),)
    assert found.chunks["C_1"] == (10,)
    assert (found.results, found.measured) == (3, 0)


def test_a_forecast_is_by_experience_and_what_is_new_in_proportion() -> None:
    known = {"A": took(20.0), "results": took(7.0)}
    found = forecast([stage("A", 10), stage("New", 30)], 23, known)
    assert found.chunks == {"A_1": (pytest.approx(20),), "New_1": (pytest.approx(60),)}
    assert found.results == pytest.approx(7)
    assert found.measured == pytest.approx(0.25)


def test_a_job_says_how_long_it_takes_once_it_can(store: JobStore, clock: Clock) -> None:
    facts = WorkerFacts("w1", "host", 1, ("cpu", "ingest"), 2)
    job_id = run_to_plan(store)
    assert store.job(job_id).seconds_left is None
    init = claim_kind(store, "Init")
    assert init is not None
    clock.advance(20)
    store.finish_chunk(init, entry_for(init))
    assert store.job(job_id).seconds_left is None, "no worker is known"
    store.worker_started(facts)
    first = store.job(job_id).seconds_left
    assert first is not None
    store.worker_started(replace(facts, name="w2", processes=9))
    second = store.job(job_id).seconds_left
    assert second is not None
    assert second < first


def test_a_job_says_how_many_are_served_before_it(store: JobStore, clock: Clock) -> None:
    first = run_to_plan(store)
    clock.advance(1)
    second = run_to_plan(store)
    clock.advance(1)
    urgent = run_to_plan(store, priority=9)
    assert [store.job(job_id).queued_behind for job_id in (first, second, urgent)] == [1, 2, 0]
    work = claim_kind(store, "chunk")
    assert work is not None
    assert work.job_id == urgent
    assert [store.job(job_id).queued_behind for job_id in (first, second, urgent)] == [1, 2, None]
