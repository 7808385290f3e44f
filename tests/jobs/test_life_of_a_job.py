"""One job through the store, and what may go wrong on the way."""

from __future__ import annotations

import json

import pytest

from meshroom_tasks.errors import Conflict, EngineError, NotFound, PhotosWithoutOverlap
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.stops import Draining, JobCancelled, LeaseLost

from .conftest import GRAPH, RESULTS, Clock, all_hints, claim_kind, delete, entry_for, new_job, run_chunks, run_to_plan


def body_of(store: JobStore, job_id: str) -> dict[str, object]:
    (delivery,) = store.deliveries(job_id)
    return dict(delivery.body)


def test_a_job_goes_from_submission_to_its_callback(store: JobStore) -> None:
    job_id = run_to_plan(store)
    assert store.job(job_id).status == "running"
    assert run_chunks(store) == ["Init_1/0", "Left_1/0", "Left_1/1", "Right_1/0", "Join_1/0"]
    results = claim_kind(store, "results")
    assert results is not None
    assert [(item.node_type, item.chunk) for item in results.reads] == [
        ("Init", 0),
        ("Left", 0),
        ("Left", 1),
        ("Right", 0),
        ("Join", 0),
    ]
    assert store.finish_results(results, RESULTS, {"points": 5})
    view = store.job(job_id)
    assert (view.status, view.progress, view.results, view.quality) == ("completed", 1.0, RESULTS, {"points": 5})
    assert body_of(store, job_id) == {
        "job_id": job_id,
        "status": "completed",
        "result_url": f"http://svc/results/{job_id}/texturedMesh.obj",
        "metadata": {"b": 1, "a": [1, {"z": None}]},
        "results": [
            {
                "name": "texturedMesh.obj",
                "url": f"http://svc/results/{job_id}/texturedMesh.obj",
                "size": 7,
                "sha256": "ab" * 32,
                "media_type": "model/obj",
            }
        ],
    }
    assert list(json.loads(json.dumps(view.metadata))) == ["b", "a"]
    assert [hint.task for hint in all_hints(store)][-1] == "callback"


def test_a_chunk_sees_exactly_the_bundles_that_its_stage_reads(store: JobStore) -> None:
    run_to_plan(store)
    while (work := claim_kind(store, "chunk")) is not None and work.node != "Join_1":
        store.finish_chunk(work, entry_for(work))
    assert work is not None
    assert [(item.node_type, item.chunk, item.digest) for item in work.reads] == [
        ("Left", 0, "Left-0-"),
        ("Left", 1, "Left-1-"),
        ("Right", 0, "Right-0-"),
    ]


def test_a_step_is_claimed_once(store: JobStore) -> None:
    store.submit(new_job())
    assert claim_kind(store, "ingest", "w1") is not None
    assert claim_kind(store, "ingest", "w2") is None


def test_a_stale_holder_can_neither_finish_nor_fail_nor_keep_a_step(store: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(store)
    stale = claim_kind(store, "chunk", "w1")
    assert stale is not None
    clock.advance(31)
    assert store.reclaim_expired() == 1
    clock.advance(3)
    fresh = claim_kind(store, "chunk", "w2")
    assert fresh is not None
    assert fresh.step_id == stale.step_id
    assert not store.finish_chunk(stale, entry_for(stale))
    store.fail(stale, PhotosWithoutOverlap("no"))
    assert isinstance(store.heartbeat(stale, 0.5), LeaseLost)
    assert store.job(job_id).status == "running"
    assert store.finish_chunk(fresh, entry_for(fresh))


def test_a_holder_that_was_cut_off_for_a_while_costs_a_retry_and_not_the_job(store: JobStore, clock: Clock) -> None:
    """The database is back before anybody took the step from its holder, which had stopped in time."""
    job_id = run_to_plan(store)
    cut_off = claim_kind(store, "chunk", "w1")
    assert cut_off is not None
    clock.advance(29)
    store.fail(cut_off, LeaseLost("the job store could not be reached for the length of a lease"))
    assert store.job(job_id).status == "running"
    clock.advance(3)
    again = claim_kind(store, "chunk", "w2")
    assert again is not None
    assert (again.step_id, again.attempt) == (cut_off.step_id, 2)


def test_a_heartbeat_keeps_the_lease(store: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(store)
    work = claim_kind(store, "chunk")
    assert work is not None
    for tenth in range(1, 6):
        clock.advance(20)
        assert store.heartbeat(work, tenth / 10) is None
        assert store.reclaim_expired() == 0
    assert store.job(job_id).stages[2].progress == 0.5


def test_a_failure_is_retried_as_its_policy_says_and_then_fails_the_job(store: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(store)
    for attempt in (1, 2):
        work = claim_kind(store, "chunk")
        assert work is not None
        assert work.attempt == attempt
        store.fail(work, EngineError("Init broke", log_tail=("last words",), exit_code=1))
        assert claim_kind(store, "chunk") is None, "a retry waits"
        clock.advance(3)
    view = store.job(job_id)
    assert view.status == "failed"
    assert view.error is not None
    assert (view.error.code, view.error.stage, view.error.chunk) == ("engine_failed", "Init_1", 0)
    assert view.error.log_tail == ("last words",)
    assert body_of(store, job_id) == {
        "job_id": job_id,
        "status": "failed",
        "error": "Init broke",
        "error_code": "engine_failed",
        "metadata": {"b": 1, "a": [1, {"z": None}]},
    }
    assert {stage.state for stage in view.stages[3:]} == {"cancelled"}


def test_a_failure_stops_the_other_running_chunks_and_tells_the_client_once(store: JobStore) -> None:
    job_id = run_to_plan(store)
    init = claim_kind(store, "chunk")
    assert init is not None
    store.finish_chunk(init, entry_for(init))
    first, second = claim_kind(store, "Left"), claim_kind(store, "Left")
    assert first is not None
    assert second is not None
    store.fail(first, PhotosWithoutOverlap("no"))
    assert isinstance(store.heartbeat(second, 0.1), JobCancelled)
    store.fail(second, JobCancelled("stopped"))
    assert store.job(job_id).status == "failed"
    assert len(store.deliveries(job_id)) == 1


def test_cancelling_waits_for_what_runs(store: JobStore) -> None:
    job_id = run_to_plan(store)
    work = claim_kind(store, "chunk")
    assert work is not None
    store.cancel(job_id)
    assert store.job(job_id).status == "running"
    reason = store.heartbeat(work, 0.1)
    assert isinstance(reason, JobCancelled)
    store.fail(work, reason)
    assert store.job(job_id).status == "cancelled"
    assert body_of(store, job_id)["error_code"] == "job_cancelled"
    with pytest.raises(Conflict):
        store.cancel(job_id)


def test_cancelling_a_queued_job_ends_it_at_once_and_its_hint_is_void(store: JobStore) -> None:
    job_id = store.submit(new_job())
    store.cancel(job_id)
    assert store.job(job_id).status == "cancelled"
    assert claim_kind(store, "ingest") is None


def test_a_chunk_that_finishes_while_its_job_is_cancelled_ends_the_job(store: JobStore) -> None:
    job_id = run_to_plan(store)
    work = claim_kind(store, "chunk")
    assert work is not None
    store.cancel(job_id)
    assert store.finish_chunk(work, entry_for(work))
    assert store.job(job_id).status == "cancelled"


def test_draining_gives_a_step_back_without_counting_the_attempt(store: JobStore) -> None:
    run_to_plan(store)
    for _ in range(7):
        work = claim_kind(store, "chunk")
        assert work is not None
        assert work.attempt == 1
        store.fail(work, Draining("the worker stops"))


def test_a_worker_that_dies_again_and_again_on_a_step_fails_the_job(store: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(store)
    for _ in range(5):
        assert claim_kind(store, "chunk") is not None
        clock.advance(31)
        assert store.reclaim_expired() == 1
        clock.advance(121)
    view = store.job(job_id)
    assert view.error is not None
    assert (view.status, view.error.code) == ("failed", "worker_lost")


def test_requeue_runs_only_what_had_not_finished(store: JobStore) -> None:
    job_id = run_to_plan(store)
    while (work := claim_kind(store, "chunk")) is not None and work.node != "Join_1":
        store.finish_chunk(work, entry_for(work))
    assert work is not None
    store.fail(work, PhotosWithoutOverlap("no"))
    store.requeue(job_id)
    view = store.job(job_id)
    assert (view.status, view.attempts, view.error) == ("queued", 2, None)
    assert run_chunks(store) == ["Join_1/0"]


def test_requeue_from_a_stage_runs_it_and_what_follows_anew(store: JobStore) -> None:
    job_id = run_to_plan(store)
    run_chunks(store)
    results = claim_kind(store, "results")
    assert results is not None
    store.finish_results(results, RESULTS, {})
    with pytest.raises(Conflict):
        store.requeue(job_id)
    store.requeue(job_id, "Left")
    work = claim_kind(store, "Left")
    assert work is not None
    assert work.refresh
    store.finish_chunk(work, entry_for(work))
    assert run_chunks(store) == ["Left_1/1", "Join_1/0"]
    with pytest.raises(Conflict):
        store.requeue(job_id)


def test_requeue_from_ingest_plans_anew(store: JobStore) -> None:
    job_id = run_to_plan(store)
    work = claim_kind(store, "chunk")
    assert work is not None
    store.fail(work, PhotosWithoutOverlap("no"))
    store.requeue(job_id, "ingest")
    assert claim_kind(store, "ingest") is not None
    assert [stage.name for stage in store.job(job_id).stages] == ["ingest", "plan", "results"]


@pytest.mark.parametrize("stage", ["ingest", "plan", "results"])
def test_requeue_from_later_than_where_it_failed_runs_what_had_not_finished_too(store: JobStore, stage: str) -> None:
    job_id = store.submit(new_job())
    work = claim_kind(store, "ingest")
    assert work is not None
    store.fail(work, PhotosWithoutOverlap("no"))
    store.requeue(job_id, stage)
    assert claim_kind(store, "ingest") is not None


def test_requeue_from_a_stage_after_the_one_that_failed_runs_both(store: JobStore) -> None:
    job_id = run_to_plan(store)
    work = claim_kind(store, "chunk")
    assert work is not None
    store.fail(work, PhotosWithoutOverlap("no"))
    store.requeue(job_id, "Join")
    assert run_chunks(store) == ["Init_1/0", "Left_1/0", "Left_1/1", "Right_1/0", "Join_1/0"]
    assert claim_kind(store, "results") is not None


def test_what_follows_the_photos_is_shown_before_its_steps_are_written(store: JobStore) -> None:
    job_id = store.submit(new_job())
    stages = store.job(job_id).stages
    assert [(one.name, one.state, len(one.chunks)) for one in stages] == [
        ("ingest", "ready", 1),
        ("plan", "blocked", 1),
        ("results", "blocked", 1),
    ]
    store.cancel(job_id)
    assert [one.state for one in store.job(job_id).stages] == ["cancelled"] * 3


def test_two_jobs_never_compute_the_same_chunk_at_once(store: JobStore) -> None:
    run_to_plan(store, GRAPH[:1])
    run_to_plan(store, GRAPH[:1])
    first = claim_kind(store, "chunk")
    assert first is not None
    assert claim_kind(store, "chunk") is None
    store.finish_chunk(first, entry_for(first))
    second = claim_kind(store, "chunk")
    assert second is not None
    assert second.job_id != first.job_id


def test_the_same_chunk_from_other_bytes_is_another_one(store: JobStore) -> None:
    for content, priority in (("a", 5), ("b", 6)):  # The first step of the second is before what follows of the first.
        run_to_plan(store, GRAPH[:2], priority=priority)
        init = claim_kind(store, "Init")
        assert init is not None
        store.finish_chunk(init, entry_for(init, content))
    running = [claim_kind(store, "Left") for _ in range(4)]
    assert all(running), "other lineage: nothing to wait for"


def test_hints_are_renewed_less_and_less_often(store: JobStore, clock: Clock) -> None:
    store.submit(new_job())
    assert len(store.take_hints()) == 1
    sent = []
    for second in range(100):
        clock.advance(1)
        if store.renew_hints():
            sent.append(second)
            store.drop_hints([hint.id for hint in store.take_hints()])
    assert sent == [9, 29, 69]


def test_a_hint_comes_back_until_it_was_sent(store: JobStore, clock: Clock) -> None:
    store.submit(new_job())
    (hint,) = store.take_hints()
    assert store.take_hints() == ()
    clock.advance(31)
    assert [again.subject for again in store.take_hints()] == [hint.subject]
    store.give_hints_back([hint.id])
    assert len(store.take_hints()) == 1
    store.drop_hints([hint.id])
    clock.advance(31)
    assert store.take_hints() == ()


def test_only_an_ended_job_is_deleted(store: JobStore) -> None:
    job_id = store.submit(new_job())
    with pytest.raises(Conflict):
        delete(store, job_id)
    store.cancel(job_id)
    delete(store, job_id)
    with pytest.raises(NotFound):
        store.job(job_id)


def test_pages_hold_every_job_once_newest_first(store: JobStore, clock: Clock) -> None:
    ids = []
    for index in range(7):
        ids.append(store.submit(new_job()))
        clock.advance(index % 2)
    seen: list[str] = []
    cursor = None
    while True:
        page = store.jobs(limit=3, cursor=cursor)
        seen += [job.id for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(ids)
    assert seen[0] == ids[-1]
    assert [job.id for job in store.jobs(status="queued", limit=50).jobs] == seen
    assert store.jobs(status="failed").jobs == ()
