"""Warnings of a job: nothing twice, and what counts adds up."""

from __future__ import annotations

from typing import Any

import pytest

from meshroom_tasks.errors import HandoffIncomplete, StorageUnavailable
from meshroom_tasks.jobs.records import NO_CAMERA, Camera, Options
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.warnings import merged, unanswered

from .conftest import DIGEST, GRAPH, PHOTOS, Clock, claim_kind, new_job, planned, run_to_plan

SENSOR = {"code": "sensor_unknown", "message": "m"}


FOCAL = {"code": "focal_length_missing", "message": "m"}


def counted(stage: str, count: int) -> dict[str, Any]:
    return {"code": "handoff_incomplete", "stage": stage, "count": count}


@pytest.mark.parametrize(
    ("known", "new", "found"),
    [
        ([], [SENSOR], [SENSOR]),
        ([SENSOR], [SENSOR], [SENSOR]),
        ([SENSOR], [counted("A", 1)], [SENSOR, counted("A", 1)]),
        ([counted("A", 1), SENSOR], [counted("A", 1)], [SENSOR, counted("A", 2)]),
        ([counted("A", 2)], [counted("B", 1)], [counted("A", 2), counted("B", 1)]),
        ([], [counted("A", 1), counted("A", 1)], [counted("A", 2)]),
    ],
)
def test_merged(known: list[Any], new: list[Any], found: list[Any]) -> None:
    assert merged(known, new) == found


@pytest.mark.parametrize(
    ("camera", "left"),
    [
        (NO_CAMERA, (FOCAL, SENSOR)),
        (Camera(field_of_view_degrees=60), (SENSOR,)),
        (Camera(sensor_width_mm=6), (FOCAL, SENSOR)),
    ],
)
def test_what_the_client_answered_is_no_warning(camera: Camera, left: tuple[Any, ...]) -> None:
    assert unanswered([FOCAL, SENSOR], camera) == left


def test_planning_may_warn(store: JobStore) -> None:
    """Meshroom reads the photos' metadata there, and only there."""
    job_id = store.submit(new_job(options=Options(camera=Camera(None, 6.17))))
    ingest = claim_kind(store, "ingest")
    assert ingest is not None
    store.finish_ingest(ingest, PHOTOS, DIGEST, ())
    plan = claim_kind(store, "plan")
    assert plan is not None
    assert plan.options.camera == Camera(sensor_width_mm=6.17), "as it was submitted"
    store.finish_plan(plan, "engine-1", GRAPH, [FOCAL])
    assert store.job(job_id).warnings == (FOCAL,)


def test_our_own_mistakes_are_counted_in_the_job(store: JobStore, clock: Clock) -> None:
    job_id = run_to_plan(store, (planned("Other", chunks=2),))
    for _ in range(3):
        work = claim_kind(store, "Other")
        assert work is not None
        store.fail(work, HandoffIncomplete("a file is not there"))
        clock.advance(200)
    view = store.job(job_id)
    (told,) = view.warnings
    assert (told["code"], told["stage"], told["count"]) == ("handoff_incomplete", "Other_1", 2)
    assert view.error is not None
    assert view.error.code == "handoff_incomplete"


def test_other_retries_are_no_warnings(store: JobStore) -> None:
    job_id = run_to_plan(store)
    work = claim_kind(store, "chunk")
    assert work is not None
    store.fail(work, StorageUnavailable("away"))
    assert store.job(job_id).warnings == ()
