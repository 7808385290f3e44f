"""One idempotency key, one job, on both databases and however many ask at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from meshroom_tasks.errors import IdempotencyKeyReused
from meshroom_tasks.jobs.records import IdempotencyKey
from meshroom_tasks.jobs.store import JobStore
from tests.jobs.conftest import new_job


def test_racing_submissions_of_one_key_record_one_job(store: JobStore) -> None:
    new = new_job(idempotency=IdempotencyKey("k", "f" * 64))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: store.submit_once(new), range(32)))
    assert len({answer.job_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert len(store.jobs().jobs) == 1
    assert len(store.take_hints()) == 1


def test_another_request_under_the_same_key_is_refused(store: JobStore) -> None:
    store.submit_once(new_job(idempotency=IdempotencyKey("k", "a" * 64)))
    with pytest.raises(IdempotencyKeyReused):
        store.submit_once(new_job(idempotency=IdempotencyKey("k", "b" * 64)))
    assert len(store.jobs().jobs) == 1
