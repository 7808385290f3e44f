"""Warnings of a job: nothing twice, and what counts adds up."""

from __future__ import annotations

from typing import Any

import pytest

from meshroom_tasks.errors import HandoffIncomplete, StorageUnavailable
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.warnings import merged

from .conftest import Clock, claim_kind, planned, run_to_plan

SENSOR = {"code": "sensor_unknown", "message": "m"}


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
