"""Jobs that need the same chunks: who computes, who waits for whom, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshroom_tasks.jobs.records import Reuse, Work
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.stops import JobCancelled

from .conftest import GRAPH, Clock, claim_kind, entry_for, run_chunks, run_to_plan
from .random_services import RandomService


def two_jobs(store: JobStore, clock: Clock) -> tuple[str, str, Work]:
    """The older one's first chunk is running."""
    older = run_to_plan(store)
    clock.advance(1)
    younger = run_to_plan(store)
    work = claim_kind(store, "chunk")
    assert work is not None
    assert work.job_id == older
    return older, younger, work


def waiting_for(store: JobStore, job_id: str) -> dict[str, str]:
    return {
        f"{stage.name}/{chunk.index}": chunk.waiting
        for stage in store.job(job_id).stages
        for chunk in stage.chunks
        if chunk.waiting is not None
    }


def test_a_job_says_which_job_it_waits_for(store: JobStore, clock: Clock) -> None:
    older, younger, work = two_jobs(store, clock)
    assert waiting_for(store, younger) == {"Init_1/0": f"waiting for job {older}, which computes the same"}
    assert waiting_for(store, older) == {}
    store.finish_chunk(work, entry_for(work))
    assert waiting_for(store, younger) == {}


@pytest.mark.parametrize("end", ["dies", "is cancelled"])
def test_the_one_that_waits_takes_over(store: JobStore, clock: Clock, end: str) -> None:
    older, younger, work = two_jobs(store, clock)
    if end == "dies":
        clock.advance(31)
        assert store.reclaim_expired() == 1
    else:
        store.cancel(older)
        assert claim_kind(store, "chunk") is None, "its holder has not stopped yet"
        store.fail(work, JobCancelled("stopped"))
    taken = claim_kind(store, "chunk")
    assert taken is not None
    assert (taken.job_id, taken.node) == (younger, "Init_1")


def test_a_job_says_how_much_it_has_reused(store: JobStore, clock: Clock) -> None:
    service = RandomService(store, clock, 3, calm=True)
    first = service.submit(GRAPH)
    service.run([first])
    assert store.job(first).reuse == Reuse(chunks=5, cached=0)
    same = service.submit(GRAPH)
    service.run([same])
    assert store.job(same).reuse == Reuse(chunks=5, cached=5)
    touched = ("Right", "Join")
    graph = tuple(replace(stage, uid="other") if stage.node_type in touched else stage for stage in GRAPH)
    partly = service.submit(graph)
    service.run([partly])
    assert store.job(partly).reuse == Reuse(chunks=5, cached=3)


def test_before_it_is_planned_a_job_has_no_chunks(store: JobStore) -> None:
    job_id = run_to_plan(store, ())
    assert store.job(job_id).reuse == Reuse(0, 0)
    assert run_chunks(store) == []
