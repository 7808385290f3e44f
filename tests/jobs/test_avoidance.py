"""A step that failed on one worker is left to others for a while, and never left to nobody."""

from __future__ import annotations

import pytest

from meshroom_tasks.errors import DiskFull, GpuMissing, PhotosWithoutOverlap, ServiceError
from meshroom_tasks.jobs.avoidance import blamed, is_avoided, machine_of
from meshroom_tasks.jobs.records import Work
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.workers import WorkerFacts
from meshroom_tasks.stops import Draining

from .conftest import Clock, planned, run_to_plan

GRAPH = (planned("Depth", queue="gpu", chunks=2),)


def worker(name: str, *queues: str, stopping: bool = False, refusal: str | None = None) -> WorkerFacts:
    return WorkerFacts(name, name.partition("@")[2], 1, queues or ("gpu",), 1, stopping=stopping, refusal=refusal)


def claimed_after(store: JobStore, clock: Clock, name: str) -> Work | None:
    """What a worker gets when the sweeper has renewed the hints."""
    store.renew_hints()
    hints = store.take_hints()
    store.drop_hints([hint.id for hint in hints])
    return next((work for hint in hints if (work := store.claim(hint.subject, name)) is not None), None)


def failed(store: JobStore, clock: Clock, error: ServiceError) -> Work:
    """A chunk that failed on gpu0@a and is due again; the other chunk is done with."""
    run_to_plan(store, GRAPH)
    hints = [hint for hint in store.take_hints() if hint.queue == "gpu"]
    first, other = (store.claim(hint.subject, "gpu0@a") for hint in hints)
    assert first is not None
    assert other is not None
    store.fail(first, error)
    store.drop_hints([hint.id for hint in store.take_hints()])
    clock.advance(2.5)
    return first


@pytest.mark.parametrize(
    ("name", "elsewhere", "avoided"),
    [
        ("gpu0@a", "worker", {"gpu0@a"}),
        ("gpu0@a", "machine", {"gpu0@a", "gpu1@a"}),
        ("plain", "machine", {"plain"}),
    ],
)
def test_who_is_avoided(name: str, elsewhere: str, avoided: set[str]) -> None:
    avoid = blamed(name, elsewhere)  # type: ignore[arg-type]
    assert {other for other in ("gpu0@a", "gpu1@a", "gpu0@b", "plain") if is_avoided(other, avoid)} == avoided
    assert machine_of(name).startswith("@")


def test_the_retry_goes_to_another_worker(store: JobStore, clock: Clock) -> None:
    for name in ("gpu0@a", "gpu1@a"):
        store.worker_started(worker(name))
    work = failed(store, clock, GpuMissing("no GPU"))
    assert claimed_after(store, clock, "gpu0@a") is None
    clock.advance(1)
    again = claimed_after(store, clock, "gpu1@a")
    assert again is not None
    assert (again.step_id, again.attempt) == (work.step_id, 2)


def test_what_the_machine_is_to_blame_for_goes_to_another_machine(store: JobStore, clock: Clock) -> None:
    for name in ("gpu0@a", "gpu1@a", "gpu0@b"):
        store.worker_started(worker(name))
    failed(store, clock, DiskFull("full"))
    assert claimed_after(store, clock, "gpu1@a") is None
    clock.advance(1)
    assert claimed_after(store, clock, "gpu0@b") is not None


@pytest.mark.parametrize(
    "others",
    [
        [],
        [worker("cpu@b", "cpu")],
        [worker("gpu0@b", stopping=True)],
        [worker("gpu0@b", refusal="no engine")],
    ],
)
def test_a_step_is_not_left_to_nobody(store: JobStore, clock: Clock, others: list[WorkerFacts]) -> None:
    for facts in [worker("gpu0@a"), *others]:
        store.worker_started(facts)
    failed(store, clock, GpuMissing("no GPU"))
    assert claimed_after(store, clock, "gpu0@a") is not None


def test_a_lost_worker_is_no_other_worker(store: JobStore, clock: Clock) -> None:
    store.worker_started(worker("gpu0@b"))
    clock.advance(31)
    store.worker_started(worker("gpu0@a"))
    failed(store, clock, GpuMissing("no GPU"))
    assert claimed_after(store, clock, "gpu0@a") is not None


def test_after_a_while_the_worker_may_try_again(store: JobStore, clock: Clock) -> None:
    for name in ("gpu0@a", "gpu0@b"):
        store.worker_started(worker(name))
    failed(store, clock, GpuMissing("no GPU"))
    waited = 0
    while (again := claimed_after(store, clock, "gpu0@a")) is None:
        clock.advance(1)
        waited += 1
        assert waited < 70, "the other worker is busy for hours"
    assert waited >= 55
    assert again.attempt == 2


def test_a_given_back_step_avoids_nobody(store: JobStore, clock: Clock) -> None:
    for name in ("gpu0@a", "gpu0@b"):
        store.worker_started(worker(name))
    failed(store, clock, Draining("the worker stops"))
    clock.advance(10)
    assert claimed_after(store, clock, "gpu0@a") is not None


def test_what_is_not_tried_again_avoids_nobody_after_a_requeue(store: JobStore, clock: Clock) -> None:
    for name in ("gpu0@a", "gpu0@b"):
        store.worker_started(worker(name))
    job_id = run_to_plan(store, (planned("Depth", queue="gpu"),))
    hint = next(hint for hint in store.take_hints() if hint.queue == "gpu")
    for delay in (2.5, 10.5):
        work = store.claim(hint.subject, "gpu0@b" if delay == 2.5 else "gpu0@a")
        assert work is not None
        store.fail(work, GpuMissing("no GPU"))
        clock.advance(delay)
    last = store.claim(hint.subject, "gpu0@b")
    assert last is not None
    store.fail(last, PhotosWithoutOverlap("no"))
    store.requeue(job_id)
    assert store.claim(hint.subject, "gpu0@a") is not None
