"""What a tenant may have, as it is judged when a job is submitted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from meshroom_tasks.errors import NotFound, QueuedJobsLimit, ServiceError, StorageLimit, TooManyImages
from meshroom_tasks.ingest import IngestLimits
from meshroom_tasks.jobs.records import IdempotencyKey, TenantLimits
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.uploads import UploadFile

from .conftest import PHOTOS, RESULTS, Clock, claim_kind, delete, new_job, planned, run_chunks, run_to_plan
from .test_turns import sent


def test_a_job_is_of_a_tenant_that_is_there(store: JobStore) -> None:
    with pytest.raises(NotFound, match="there is no tenant 'nobody'"):
        store.submit(new_job(tenant="nobody"))
    with pytest.raises(NotFound):
        store.change_tenant("nobody", {"weight": 2.0})
    assert store.jobs().jobs == ()


def test_limits_are_those_of_the_settings_unless_the_tenant_has_its_own(store: JobStore) -> None:
    store.default_limits = TenantLimits(max_running_jobs=2, max_queued_jobs=7)
    store.add_tenant("shop")
    store.add_tenant("shop")
    changed = store.change_tenant("shop", {"max_queued_jobs": 0, "max_images": 5, "weight": 2.0})
    assert changed.limits == TenantLimits(max_running_jobs=2, max_images=5)
    assert (changed.weight, changed.own) == (2.0, ("max_queued_jobs", "max_images"))
    assert store.change_tenant("shop", {"max_queued_jobs": None}).limits.max_queued_jobs == 7
    assert [view.name for view in store.tenants()] == ["default", "shop"]


def test_so_many_jobs_may_be_queued(store: JobStore) -> None:
    store.change_tenant("default", {"max_queued_jobs": 2})
    key = IdempotencyKey("k", "f" * 64)
    first = store.submit_once(new_job(idempotency=key))
    store.submit(new_job())
    with pytest.raises(QueuedJobsLimit) as refused:
        store.submit(new_job(idempotency=replace(key, name="other")))
    assert refused.value.retry_after > 0
    assert store.submit_once(new_job(idempotency=key)).job_id == first.job_id, "it was answered before"
    store.add_tenant("shop")
    store.submit(new_job(tenant="shop"))
    assert store.claim(sent(store)[0].subject, "w") is not None
    store.submit(new_job(idempotency=replace(key, name="other")))


def test_no_more_are_queued_however_many_come_at_once(store: JobStore) -> None:
    store.change_tenant("default", {"max_queued_jobs": 5})

    def submit(_: int) -> bool:
        try:
            store.submit(new_job())
        except QueuedJobsLimit:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(submit, range(24))) == 5
    assert store.tenants()[0].queued_jobs == 5


def test_so_many_photos(store: JobStore) -> None:
    store.change_tenant("default", {"max_images": 3})
    urls = tuple(f"http://a/{number}.jpg" for number in range(4))
    store.submit(new_job(image_urls=urls[:3]))
    with pytest.raises(TooManyImages, match="at most 3 photos, and 4 were given"):
        store.submit(new_job(image_urls=urls))


def test_the_bytes_of_a_job_are_told_to_who_fetches_them(store: JobStore) -> None:
    store.change_tenant("default", {"max_job_bytes": 1234})
    store.submit(new_job())
    work = store.claim(sent(store)[0].subject, "w")
    assert work is not None
    assert (work.max_images, work.max_job_bytes) == (0, 1234)
    assert IngestLimits(max_images=5).within(0, 1234) == IngestLimits(max_images=5, max_job_bytes=1234)
    assert IngestLimits(max_job_bytes=9).within(3, 1234) == IngestLimits(max_images=3, max_job_bytes=9)


def test_photos_and_results_fill_the_storage(store: JobStore, clock: Clock) -> None:
    ids = [run_to_plan(store, (planned("Init"),)) for _ in range(2)]
    run_chunks(store)
    finished = 0
    while (work := claim_kind(store, "results")) is not None:
        assert store.finish_results(work, RESULTS, {})
        finished += 1
    photos, one = sum(photo.size for photo in PHOTOS), RESULTS[0].size
    assert store.tenants()[0].storage_bytes == photos + 2 * one, "the same photos count once"
    store.change_tenant("default", {"max_storage_bytes": photos + 2 * one})
    assert finished == 2
    with pytest.raises(StorageLimit):
        store.submit(new_job())
    delete(store, ids[0])
    store.submit(new_job())
    store.create_upload("default", [UploadFile("1.jpg", one)], timedelta(hours=1))
    with pytest.raises(StorageLimit):
        store.create_upload("default", [UploadFile("1.jpg", 1)], timedelta(hours=1))


@pytest.mark.parametrize(
    ("error", "status"),
    [(QueuedJobsLimit("x", retry_after=1), 429), (TooManyImages("x"), 422), (StorageLimit("x"), 422)],
)
def test_a_code_says_which_limit(error: ServiceError, status: int) -> None:
    assert (error.code.endswith("_limit"), error.http_status) == (True, status)
