"""The rows of the workers: what they tell, what is asked of them, when they are forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from meshroom_tasks.errors import NotFound
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.workers import WorkerFacts

from .conftest import Clock, claim_kind, entry_for, run_to_plan

GPU0 = WorkerFacts(
    name="gpu0@host",
    host="host",
    pid=7,
    queues=("gpu",),
    processes=1,
    engine="meshroom-2023.3.0",
    gpu_uuid="GPU-1",
    gpu_name="NVIDIA Test",
    gpu_memory_bytes=24 * 2**30,
)
CPU = WorkerFacts(name="cpu@host", host="host", pid=8, queues=("cpu",), processes=4)


def states(store: JobStore) -> dict[str, str]:
    return {view.name: view.state for view in store.workers()}


def test_a_worker_is_shown_as_it_tells_of_itself(store: JobStore, clock: Clock) -> None:
    started = clock.now
    store.worker_started(GPU0)
    clock.advance(5)
    assert store.worker_seen(GPU0) is False
    (view,) = store.workers()
    told = {name: value for name, value in vars(GPU0).items() if name not in ("pid", "stopping")}
    assert {name: getattr(view, name) for name in told} == told
    assert (view.state, view.running) == ("running", ())
    assert (view.started_at, view.last_seen) == (started, started + timedelta(seconds=5))


def test_what_a_worker_computes_is_asked_of_the_steps(store: JobStore) -> None:
    store.worker_started(GPU0)
    store.worker_started(CPU)
    job_id = run_to_plan(store)
    work = claim_kind(store, "chunk", "gpu0@host")
    assert work is not None
    gpu, cpu = sorted(store.workers(), key=lambda view: view.name != "gpu0@host")
    assert [(step.job_id, step.stage, step.chunk) for step in gpu.running] == [(job_id, work.node, work.chunk)]
    assert cpu.running == ()
    store.finish_chunk(work, entry_for(work))
    assert all(view.running == () for view in store.workers())


def test_a_silent_worker_is_lost_and_after_an_hour_forgotten(store: JobStore, clock: Clock) -> None:
    store.worker_started(GPU0)
    store.worker_started(CPU)
    clock.advance(31)
    store.worker_seen(CPU)
    assert states(store) == {"cpu@host": "running", "gpu0@host": "lost"}
    clock.advance(3600)
    assert states(store) == {"cpu@host": "lost"}
    store.worker_seen(CPU)
    clock.now -= timedelta(hours=1)
    assert states(store) == {"cpu@host": "running"}, "the row itself is gone"


def test_a_drain_is_seen_by_the_heartbeat_and_ends_with_a_new_start(store: JobStore) -> None:
    store.worker_started(GPU0)
    assert store.ask_to_drain("gpu0@host").state == "draining"
    assert store.worker_seen(GPU0) is True
    assert states(store) == {"gpu0@host": "draining"}
    assert store.ask_to_drain("gpu0@host", drain=False).state == "running"
    assert store.worker_seen(GPU0) is False
    store.ask_to_drain("gpu0@host")
    store.worker_started(replace(GPU0, pid=9))
    assert store.worker_seen(replace(GPU0, pid=9)) is False


def test_nobody_can_be_drained_who_is_not_there(store: JobStore, clock: Clock) -> None:
    store.worker_started(GPU0)
    with pytest.raises(NotFound, match="no worker 'gpu1@host'"):
        store.ask_to_drain("gpu1@host")
    clock.advance(3601)
    with pytest.raises(NotFound):
        store.ask_to_drain("gpu0@host")


def test_a_refusal_says_why_and_stays_visible(store: JobStore, clock: Clock) -> None:
    store.worker_started(replace(GPU0, refusal="no GPU is visible"))
    clock.advance(600)
    (view,) = store.workers()
    assert (view.state, view.refusal) == ("refused", "no GPU is visible")
    store.worker_started(GPU0)
    assert states(store) == {"gpu0@host": "running"}


def test_a_worker_that_ends_takes_its_row_along_but_not_that_of_its_successor(store: JobStore) -> None:
    store.worker_started(GPU0)
    store.worker_seen(replace(GPU0, stopping=True))
    assert states(store) == {"gpu0@host": "stopping"}
    store.worker_started(replace(GPU0, pid=9))
    store.worker_gone("gpu0@host", 7)
    assert states(store) == {"gpu0@host": "running"}
    store.worker_gone("gpu0@host", 9)
    assert states(store) == {}


def test_two_workers_of_one_name_share_a_row_and_both_drain(store: JobStore) -> None:
    one, other = GPU0, replace(GPU0, pid=9)
    store.worker_started(one)
    store.worker_started(other)
    assert states(store) == {"gpu0@host": "running"}
    store.ask_to_drain("gpu0@host")
    assert (store.worker_seen(one), store.worker_seen(other)) == (True, True)
