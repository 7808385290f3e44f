"""What a job does when something that it has stored is lost."""

from __future__ import annotations

import random

import pytest

from meshroom_tasks.errors import StoredResultLost
from meshroom_tasks.jobs.records import JobView, ReadItem, Work
from meshroom_tasks.jobs.recovery import MOST_RECOVERIES
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.stops import InputsOutdated

from .conftest import GRAPH, RESULTS, Clock, claim_kind, entry_for, run_chunks, run_to_plan
from .random_services import RandomService, changed, random_graph


def claimed(store: JobStore, kind: str) -> Work:
    work = claim_kind(store, kind)
    assert work is not None
    return work


def finish(store: JobStore, kind: str, content: str = "") -> Work:
    work = claimed(store, kind)
    assert store.finish_chunk(work, entry_for(work, content))
    return work


def lost(*items: ReadItem) -> StoredResultLost:
    return StoredResultLost("gone", bundle_keys=tuple(item.bundle_key for item in items))


def states(view: JobView) -> list[str]:
    return [f"{stage.name}/{chunk.index} {chunk.state}" for stage in view.stages[2:] for chunk in stage.chunks]


def test_what_was_lost_runs_again_and_all_that_follows(store: JobStore) -> None:
    job_id = run_to_plan(store)
    for kind in ("Init", "Left", "Left", "Right"):
        finish(store, kind)
    join = claimed(store, "Join")
    store.fail(join, lost(join.reads[1]))
    view = store.job(job_id)
    assert (view.status, view.error) == ("running", None)
    assert states(view) == [
        "Init_1/0 done",
        "Left_1/0 done",
        "Left_1/1 ready",
        "Right_1/0 done",
        "Join_1/0 blocked",
        "results/0 blocked",
    ]
    assert view.warnings == (
        {
            "code": "stored_result_lost",
            "message": "The stored result of Left_1, chunk 2, was lost or damaged and is computed again.",
            "stage": "Left_1",
            "chunk": 1,
        },
    )
    finish(store, "Left", "other bytes")
    again = claimed(store, "Join")
    assert [item.digest for item in again.reads] == ["Left-0-", "Left-1-other bytes", "Right-0-"]
    assert again.attempt == 1


def test_what_runs_on_lost_bytes_is_stopped_before_it_runs_again(store: JobStore) -> None:
    job_id = run_to_plan(store)
    init = finish(store, "Init")
    first, second, third = claimed(store, "Left"), claimed(store, "Left"), claimed(store, "Right")
    assert init.node == "Init_1"
    store.fail(first, lost(first.reads[0]))
    finish(store, "Init", "new")
    assert isinstance(store.heartbeat(second, 0.5), InputsOutdated)
    assert states(store.job(job_id))[1:4] == ["Left_1/0 ready", "Left_1/1 running", "Right_1/0 running"]
    store.fail(second, InputsOutdated("stopped"))
    assert not store.finish_chunk(third, entry_for(third)), "computed from what is no longer the job's"
    for kind in ("Left", "Left", "Right"):
        assert finish(store, kind).reads[0].digest == "Init-0-new"
    assert run_chunks(store) == ["Join_1/0"]


def test_a_worker_that_dies_with_outdated_work_counts_no_attempt(store: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(store)
    finish(store, "Init")
    first, _ = claimed(store, "Left"), claimed(store, "Left")
    store.fail(first, lost(first.reads[0]))
    clock.advance(31)
    assert store.reclaim_expired() == 1
    assert states(store.job(job_id))[2] == "Left_1/1 blocked"
    assert run_chunks(store) == ["Init_1/0", "Left_1/0", "Left_1/1", "Right_1/0", "Join_1/0"]


def test_the_results_step_recovers_too(store: JobStore) -> None:
    job_id = run_to_plan(store)
    run_chunks(store)
    results = claimed(store, "results")
    store.fail(results, lost(results.reads[0], results.reads[3]))
    assert run_chunks(store) == ["Init_1/0", "Left_1/0", "Left_1/1", "Right_1/0", "Join_1/0"]
    assert len(store.job(job_id).warnings) == 2
    assert store.finish_results(claimed(store, "results"), RESULTS, {})
    assert store.job(job_id).status == "completed"


def test_a_result_that_is_lost_again_and_again_fails_the_job(store: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(store, GRAPH[:2])
    for _ in range(MOST_RECOVERIES + 1):
        finish(store, "Init")
        left = claimed(store, "Left")
        store.fail(left, lost(left.reads[0]))
    clock.advance(3)
    store.fail(left := claimed(store, "Left"), lost(left.reads[0]))
    view = store.job(job_id)
    assert view.error is not None
    assert (view.status, view.error.code, view.error.stage) == ("failed", "stored_result_lost", "Left_1")
    store.requeue(job_id)
    left = claimed(store, "Left")
    store.fail(left, lost(left.reads[0]))
    assert run_chunks(store) == ["Init_1/0", "Left_1/0", "Left_1/1"]


def test_an_entry_that_is_found_damaged_before_it_is_taken_over_costs_a_try(store: JobStore, clock: Clock) -> None:
    run_to_plan(store)
    store.fail(claimed(store, "Init"), StoredResultLost("damaged", bundle_keys=("elsewhere",)))
    clock.advance(3)
    assert claimed(store, "Init").attempt == 2


def test_a_loss_in_a_cancelled_job_only_ends_it(store: JobStore) -> None:
    job_id = run_to_plan(store)
    finish(store, "Init")
    left = claimed(store, "Left")
    store.cancel(job_id)
    store.fail(left, lost(left.reads[0]))
    assert store.job(job_id).status == "cancelled"
    assert store.job(job_id).warnings == ()


def test_another_job_with_the_same_loss_takes_what_the_first_has_computed(store: JobStore, clock: Clock) -> None:
    older = run_to_plan(store, GRAPH[:2])
    clock.advance(1)
    younger = run_to_plan(store, GRAPH[:2])
    finish(store, "Init")
    first, second = claimed(store, "Left"), claimed(store, "Left")
    assert finish(store, "Init").job_id == younger
    store.fail(first, lost(first.reads[0]))
    init = claimed(store, "Init")
    assert (init.job_id, second.job_id) == (older, older)
    own = claimed(store, "Left")
    assert (own.job_id, own.chunk) == (younger, 0), "the other chunk's holder in the older job has not stopped yet"
    store.fail(own, lost(own.reads[0]))
    assert claim_kind(store, "chunk") is None, "what was lost is being computed for the older job"
    store.finish_chunk(init, entry_for(init, "new"))
    assert {claimed(store, "chunk").node for _ in range(2)} == {"Left_1", "Init_1"}


def test_requeue_from_a_stage_stops_what_still_runs_of_it(store: JobStore) -> None:
    from meshroom_tasks.errors import PhotosWithoutOverlap

    job_id = run_to_plan(store)
    finish(store, "Init")
    first, second = claimed(store, "Left"), claimed(store, "Left")
    store.fail(first, PhotosWithoutOverlap("no"))
    store.requeue(job_id, "Init")
    assert isinstance(store.heartbeat(second, 0.5), InputsOutdated)
    assert not store.finish_chunk(second, entry_for(second))
    assert run_chunks(store) == ["Init_1/0", "Left_1/0", "Left_1/1", "Right_1/0", "Join_1/0"]


@pytest.mark.parametrize("seed", range(5))
def test_every_chunk_comes_from_exactly_what_its_job_names(store: JobStore, clock: Clock, seed: int) -> None:
    """Random graphs, several jobs of which some differ in one setting, workers that die, bundles that vanish."""
    dice = random.Random(seed)
    service = RandomService(store, clock, seed, losses=6)
    graph = random_graph(dice)
    jobs = [service.submit(changed(graph, dice) if number % 2 else graph) for number in range(3)]
    service.run(jobs)
    jobs.append(service.submit(graph))
    service.run(jobs)
    assert [store.job(job_id).status for job_id in jobs] == ["completed"] * 4
    for job_id in jobs:
        service.assert_consistent(job_id)
    assert service.losses < 6


def test_where_the_bytes_are_the_same_what_follows_is_found_again(store: JobStore, clock: Clock) -> None:
    service = RandomService(store, clock, 1, calm=True)
    job_id = service.submit(GRAPH)
    while store.job(job_id).stages[-1].state == "blocked":
        service.step()
    for key in [key for key in service.bucket.bundles if "/Init/" in key]:
        del service.bucket.bundles[key]
    service.run([job_id])
    assert service.runs.pop("Init/uid-Init/0") == 2
    assert set(service.runs.values()) == {1}
    service.assert_consistent(job_id)
