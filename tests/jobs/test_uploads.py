"""Uploads in the job store: until when they are kept, for whom, and never without those that a live job needs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from meshroom_tasks.errors import NotFound, StorageLimit, UploadUnknown
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.uploads import Upload, UploadFile

from .conftest import Clock, delete, new_job

FILES = (UploadFile("1.jpg", 5), UploadFile("chair.zip", 7, "ab" * 32), UploadFile("x", 9, None, "application/zip"))
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def upload(store: JobStore) -> Upload:
    for tenant in ("a", "b"):
        store.add_tenant(tenant)
    return store.create_upload("a", FILES, DAY)


def test_it_comes_back_to_its_tenant_alone(store: JobStore, upload: Upload) -> None:
    assert store.upload(upload.id, "a") == upload
    assert upload.files == FILES
    assert [file.is_zip for file in upload.files] == [False, True, True]
    assert upload.key(2) == f"uploads/{upload.id}/00002"
    with pytest.raises(NotFound):
        store.upload(upload.id, "b")
    with pytest.raises(UploadUnknown):
        store.submit(new_job(tenant="b", uploads=(upload.id,)))
    assert store.jobs().jobs == ()


def test_files_may_be_told_later(store: JobStore) -> None:
    store.add_tenant("a")
    begun = store.create_upload("a", (), DAY)
    assert store.complete_upload(begun, FILES).files == store.upload(begun.id, "a").files == FILES


def test_a_form_counts_against_the_storage_of_its_tenant(store: JobStore) -> None:
    store.add_tenant("a")
    store.change_tenant("a", {"max_storage_bytes": 20})
    with pytest.raises(StorageLimit):
        store.create_upload("a", (), DAY, expected_bytes=21)
    begun = store.create_upload("a", (), DAY)
    with pytest.raises(StorageLimit):
        store.complete_upload(begun, FILES)
    assert store.complete_upload(begun, FILES[:2]).files == FILES[:2]
    assert store.complete_upload(begun, FILES[:2]).files == FILES[:2], "it may be told twice"


def test_an_upload_goes_after_its_time(store: JobStore, clock: Clock, upload: Upload) -> None:
    clock.advance(DAY.total_seconds() - 1)
    assert store.upload(upload.id, "a") == upload
    clock.advance(1)
    with pytest.raises(NotFound):
        store.upload(upload.id, "a")
    assert store.expired_uploads(HOUR, 10) == ()
    clock.advance(3601)
    assert store.expired_uploads(HOUR, 10) == (upload.id,)
    assert store.give_up_upload(upload.id)
    assert store.expired_uploads(2 * DAY, 10) == (upload.id,), "until it is forgotten somebody has to finish this"
    store.forget_upload(upload.id)
    assert store.expired_uploads(HOUR, 10) == ()
    assert store.give_up_upload(upload.id), "there is nothing that anybody needs"


def test_it_stays_for_as_long_as_a_live_job_needs_it(store: JobStore, clock: Clock, upload: Upload) -> None:
    first = store.submit(new_job(tenant="a", uploads=(upload.id, upload.id)))
    second = store.submit(new_job(tenant="a", uploads=(upload.id,)))
    clock.advance(10 * DAY.total_seconds())
    for job_id in (first, second):
        assert store.expired_uploads(HOUR, 10) == ()
        assert not store.give_up_upload(upload.id)
        assert store.uploads_of(job_id) == {upload.id: upload}
        store.cancel(job_id)
    assert store.expired_uploads(HOUR, 10) == (upload.id,)
    assert store.give_up_upload(upload.id)
    assert store.uploads_of(first) == {}
    with pytest.raises(UploadUnknown):
        store.submit(new_job(tenant="a", uploads=(upload.id,)))
    store.forget_upload(upload.id)
    delete(store, first)


def test_an_upload_that_is_needed_is_not_forgotten(store: JobStore, upload: Upload) -> None:
    store.forget_upload(upload.id)
    assert store.upload(upload.id, "a") == upload


def test_a_deleted_job_needs_nothing(store: JobStore, upload: Upload) -> None:
    job_id = store.submit(new_job(tenant="a", uploads=(upload.id,)))
    store.cancel(job_id)
    delete(store, job_id)
    assert store.upload(upload.id, "a") == upload
    assert store.give_up_upload(upload.id)


def test_either_the_job_has_its_photos_or_it_is_refused(store: JobStore) -> None:
    store.add_tenant("a")
    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            upload, both = store.create_upload("a", FILES, DAY), Barrier(2)

            def submit(id_: str = upload.id, both: Barrier = both) -> bool:
                both.wait()
                try:
                    store.submit(new_job(tenant="a", uploads=(id_,)))
                except UploadUnknown:
                    return False
                return True

            def give_up(id_: str = upload.id, both: Barrier = both) -> bool:
                both.wait()
                return store.give_up_upload(id_)

            submitted, gone = pool.submit(submit), pool.submit(give_up)
            assert submitted.result() != gone.result()
