"""Optional events: a delivery for each, written with what it tells of, and only where it was asked for."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from meshroom_tasks.errors import PhotosWithoutOverlap
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.records import OPTIONAL_EVENTS, AttemptView, DeliveryStatus, DeliveryView
from meshroom_tasks.jobs.store import JobStore

from .conftest import RESULTS, Clock, claim_kind, entry_for, new_job, run_chunks, run_to_plan

STAGES = ("ingest", "plan", "Init_1", "Left_1", "Right_1", "Join_1")


def told(store: JobStore, job_id: str) -> list[str]:
    """Each event that was told: a stage's with its name."""
    return [f"{view.event} {view.body.get('stage', '')}".strip() for view in store.deliveries(job_id)]


def finish(store: JobStore) -> None:
    run_chunks(store)
    work = claim_kind(store, "results")
    assert work is not None
    assert store.finish_results(work, RESULTS, {})


def attempt(store: JobStore, view: DeliveryView, clock: Clock, status_code: int, status: DeliveryStatus) -> bool:
    """Whether it was due; if so, what its receiver answered is recorded."""
    due = store.claim_delivery(view.id)
    if due is None:
        return False
    done = AttemptView(due.attempt, clock(), status_code, None, 0.1, "")
    return store.record_attempt(due, done, status, None)


@pytest.mark.parametrize("asked", [(), ("job.started",), ("job.stage_completed",), OPTIONAL_EVENTS])
def test_what_is_asked_for_is_told_and_nothing_else(store: JobStore, asked: tuple[Any, ...]) -> None:
    job_id = run_to_plan(store, callback_events=asked)
    finish(store)
    expected = ["job.started"] if "job.started" in asked else []
    if "job.stage_completed" in asked:
        expected += [f"job.stage_completed {stage}" for stage in STAGES]
    assert sorted(told(store, job_id)) == sorted([*expected, "job.completed"])
    assert store.job(job_id).callback_events == asked


def test_an_event_says_what_and_when_and_carries_the_metadata(store: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(store, callback_events=OPTIONAL_EVENTS)
    run_chunks(store)
    bodies = {(view.event, view.body.get("stage")): view.body for view in store.deliveries(job_id)}
    common = {"timestamp": clock().isoformat(), "job_id": job_id, "attempt": 1, "metadata": new_job().metadata}
    assert bodies["job.started", None] == {"type": "job.started", **common}
    left = {"type": "job.stage_completed", "stage": "Left_1", "chunks": 2, "cached": False, **common}
    assert bodies["job.stage_completed", "Left_1"] == left


def test_a_stage_is_told_of_with_its_last_chunk(store: JobStore) -> None:
    job_id = run_to_plan(store, callback_events=("job.stage_completed",))
    init = claim_kind(store, "Init")
    assert init is not None
    store.finish_chunk(init, entry_for(init))
    first, second = claim_kind(store, "Left"), claim_kind(store, "Left")
    assert first is not None
    assert second is not None
    store.finish_chunk(second, entry_for(second))
    assert "job.stage_completed Left_1" not in told(store, job_id)
    store.finish_chunk(first, entry_for(first))
    assert told(store, job_id).count("job.stage_completed Left_1") == 1
    assert not store.finish_chunk(first, entry_for(first)), "a stale word"
    assert told(store, job_id).count("job.stage_completed Left_1") == 1


def test_a_job_that_runs_again_tells_again(store: JobStore) -> None:
    job_id = run_to_plan(store, callback_events=OPTIONAL_EVENTS)
    finish(store)
    store.requeue(job_id, "Right")
    finish(store)
    again = [view.body for view in store.deliveries(job_id) if view.body.get("attempt") == 2]
    assert {body.get("stage") for body in again} == {None, "Right_1", "Join_1"}
    assert told(store, job_id).count("job.completed") == 2


def test_nothing_is_told_of_a_job_that_has_ended(store: JobStore) -> None:
    job_id = run_to_plan(store, callback_events=OPTIONAL_EVENTS)
    work = claim_kind(store, "Init")
    assert work is not None
    store.cancel(job_id)
    store.finish_chunk(work, entry_for(work))
    assert set(told(store, job_id)) == {
        "job.started",
        "job.stage_completed ingest",
        "job.stage_completed plan",
        "job.failed",
    }


def test_without_an_address_nothing_is_told(store: JobStore) -> None:
    job_id = run_to_plan(store, callback_url=None, callback_events=OPTIONAL_EVENTS)
    finish(store)
    assert store.deliveries(job_id) == ()


def test_a_receiver_that_is_gone_is_told_the_end_and_no_more(store: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(store, callback_events=OPTIONAL_EVENTS)
    of = {str(view.body.get("stage", "")): view for view in store.deliveries(job_id)}
    started, ingested, planned = of[""], of["ingest"], of["plan"]
    assert attempt(store, started, clock, 410, "disabled")
    assert not attempt(store, ingested, clock, 200, "succeeded"), "it is not sent any more"
    statuses = {view.id: view.status for view in store.deliveries(job_id)}
    assert statuses == {started.id: "disabled", ingested.id: "disabled", planned.id: "pending"}
    for again in (ingested, started):
        store.redeliver(job_id, again.id)
        assert attempt(store, again, clock, 410, "disabled"), "whoever asks for it gets it"
    finish(store)
    assert len(store.deliveries(job_id)) == 4, "of the rest, only the end is told"
    (end,) = (view for view in store.deliveries(job_id) if view.event == "job.completed")
    assert attempt(store, end, clock, 200, "succeeded")


def test_deliveries_from_before_there_were_events(store: JobStore, clock: Clock) -> None:
    done = run_to_plan(store, callback_url="https://shop.example.com/hook?token=s3cret")
    finish(store)
    failed = store.submit(new_job())
    work = claim_kind(store, "ingest")
    assert work is not None
    store.fail(work, PhotosWithoutOverlap('"status":"completed"'))
    (view,) = store.deliveries(done)
    assert attempt(store, view, clock, 200, "succeeded")
    database = store.database
    command.downgrade(database._alembic(), "0016")
    database.upgrade()
    columns = tables.delivery.c
    with database.snapshot() as connection:
        rows = connection.execute(sa.select(columns.job_id, columns.event, columns.endpoint, columns.last_attempt_at))
        found = {row.job_id: tuple(row)[1:] for row in rows}
    assert found == {
        done: ("job.completed", "https://shop.example.com/hook?…", clock()),
        failed: ("job.failed", "http://cb/x", None),
    }
