"""Removing jobs from both databases and both kinds of storage: complete, and nothing that another job has."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from meshroom_tasks.errors import Conflict, NotFound, StorageUnavailable
from meshroom_tasks.handoff import StageCache
from meshroom_tasks.handoff.eviction import CacheLimits
from meshroom_tasks.jobs.addresses import Address, lineage_of
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.records import Expiry, Photo
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.ownership import MARK
from meshroom_tasks.removal import remove_job, remove_left_behind, remove_unused_photos
from meshroom_tasks.settings import load_settings
from meshroom_tasks.storage import Storage, open_storage
from meshroom_tasks.sweeper import Tidying
from tests.jobs.conftest import (
    DIGEST,
    GRAPH,
    PHOTOS,
    RESULTS,
    Clock,
    claim_kind,
    clock,
    empty_url,
    new_job,
    url,
)
from tests.servers.seaweedfs import SeaweedFS

__all__ = ["clock", "empty_url", "url"]

OTHER_DIGEST = "e" * 64


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[JobStore]:
    """Keeps jobs for ten days, and results for five."""
    store = JobStore(
        Database(url), clock=clock, expiry=Expiry(timedelta(days=10), timedelta(days=5), timedelta(days=1))
    )
    store.add_tenant("other")
    yield store
    store.database.engine.dispose()


@pytest.fixture
def storage(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Storage:
    """A folder beside SQLite, S3 beside PostgreSQL."""
    if url.startswith("sqlite"):
        return open_storage(load_settings(storage_url=(tmp_path / "objects").as_uri()))
    server: SeaweedFS = request.getfixturevalue("seaweedfs")
    return open_storage(load_settings(**server.settings(f"removal-{uuid.uuid4().hex}")))


def completed(
    store: JobStore, storage: Storage, folder: Path, digest: str = DIGEST, tenant: str = "default", **more: object
) -> str:
    """A job with everything in the object store that a job leaves there."""
    job_id = store.submit(new_job(callback_url=None, tenant=tenant, **more))
    ingest = claim_kind(store, "ingest")
    assert ingest is not None
    store.use_photos(ingest, digest)
    put_photos(storage, digest)
    store.finish_ingest(ingest, tuple(Photo(**vars(photo)) for photo in PHOTOS), digest, ())
    plan = claim_kind(store, "plan")
    assert plan is not None
    storage.put_bytes(f"jobs/{job_id}/graph.mg", b"{}")
    store.finish_plan(plan, "engine-1", GRAPH[:2])
    cache = StageCache(storage)
    while (work := claim_kind(store, "chunk")) is not None:
        address = Address(work.engine, work.photos_digest, work.node_type, work.uid, work.chunk, lineage_of(work.reads))
        entry = cache.find(address)
        if entry is None:
            outputs = folder / uuid.uuid4().hex
            outputs.mkdir()
            (outputs / "data").write_bytes(os.urandom(100))
            entry = cache.put(address, outputs, None)
        store.finish_chunk(work, entry)
        storage.put_bytes(f"jobs/{job_id}/logs/{work.node}/{work.chunk}.log", b"a line\n")
    results = claim_kind(store, "results")
    assert results is not None
    storage.put_bytes(f"results/{job_id}/texturedMesh.obj", b"o")
    store.finish_results(results, RESULTS, {})
    return job_id


def put_photos(storage: Storage, digest: str) -> None:
    for name in (*(photo.name for photo in PHOTOS), "manifest.json"):
        storage.put_bytes(f"inputs/{digest}/{name}", b"x")


def kept(storage: Storage) -> set[str]:
    """What there is: the first part of each key, and the job or photos that it names."""
    found = set()
    for key in set(storage.list()) - {MARK}:
        parts = key.split("/")
        found.add(f"{parts[0]} {parts[2] if parts[0] == 'cache' else parts[1]}")
    return found


def everything(job_id: str, digest: str = DIGEST) -> set[str]:
    return {f"inputs {digest}", f"cache {digest}", f"jobs {job_id}", f"results {job_id}"}


def test_deletion_is_complete_and_takes_nothing_of_others(store: JobStore, storage: Storage, tmp_path: Path) -> None:
    mine = completed(store, storage, tmp_path)
    shared = completed(store, storage, tmp_path, tenant="other")
    apart = completed(store, storage, tmp_path, OTHER_DIGEST)
    assert kept(storage) == everything(mine) | everything(shared) | everything(apart, OTHER_DIGEST)
    remove_job(store, storage, mine)
    assert kept(storage) == everything(shared) | everything(apart, OTHER_DIGEST)
    with pytest.raises(NotFound):
        remove_job(store, storage, shared, tenant="default")
    remove_job(store, storage, shared, tenant="other")
    assert kept(storage) == everything(apart, OTHER_DIGEST)
    assert store.cache_stats().entries == 3
    remove_job(store, storage, apart)
    assert kept(storage) == set()
    assert store.cache_stats().entries == 0
    with pytest.raises(NotFound):
        remove_job(store, storage, apart)


def test_the_sweeper_removes_what_has_expired(store: JobStore, storage: Storage, tmp_path: Path, clock: Clock) -> None:
    old = completed(store, storage, tmp_path)
    clock.advance(timedelta(days=1).total_seconds())
    shared = completed(store, storage, tmp_path, tenant="other")
    long = completed(store, storage, tmp_path, OTHER_DIGEST, expires_in=timedelta(days=30).total_seconds())
    live = store.submit(new_job())

    def after(days: float) -> set[str]:
        clock.advance(timedelta(days=days).total_seconds())
        Tidying(store, storage, CacheLimits()).when_due()
        return kept(storage)

    every = everything(old) | everything(shared) | everything(long, OTHER_DIGEST)
    assert after(0) == every
    assert after(4.5) == every - {f"results {old}"}
    assert store.job(old).results == ()
    assert after(1) == every - {f"results {old}", f"results {shared}", f"results {long}"}
    assert after(4) == {f"inputs {DIGEST}", f"cache {DIGEST}", f"jobs {shared}"} | (
        everything(long, OTHER_DIGEST) - {f"results {long}"}
    )
    assert after(1) == everything(long, OTHER_DIGEST) - {f"results {long}"}, "the last job that had the photos has gone"
    assert after(30) == set()
    assert [view.id for view in store.jobs().jobs] == [live]


class Unplugged(StorageUnavailable):
    pass


@pytest.mark.parametrize("survives", range(4))
def test_a_removal_that_breaks_off_is_finished_by_the_sweeper(
    store: JobStore, tmp_path: Path, clock: Clock, survives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(load_settings(storage_url=(tmp_path / "objects").as_uri()))
    job_id = completed(store, storage, tmp_path)
    real, calls = storage.delete_prefix, iter(range(100))

    def failing(prefix: str) -> None:
        if next(calls) >= survives:
            raise Unplugged("the plug was pulled")
        real(prefix)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete_prefix", failing)
        with pytest.raises(Unplugged):
            remove_job(store, storage, job_id)
    with pytest.raises(NotFound):
        store.job(job_id)
    clock.advance(200)
    Tidying(store, storage, CacheLimits()).when_due()
    assert kept(storage) == set()
    assert store.unused_photos(10) == store.expired_jobs(10) == ()


def test_a_job_that_has_not_ended_keeps_everything(store: JobStore, tmp_path: Path) -> None:
    storage = open_storage(load_settings(storage_url=(tmp_path / "objects").as_uri()))
    job_id = completed(store, storage, tmp_path)
    store.requeue(job_id, "results")
    with pytest.raises(Conflict):
        remove_job(store, storage, job_id)
    assert kept(storage) == everything(job_id)


def test_what_is_of_no_job_goes_when_it_is_a_day_old(store: JobStore, tmp_path: Path) -> None:
    storage = open_storage(load_settings(storage_url=(tmp_path / "objects").as_uri()))
    job_id = completed(store, storage, tmp_path)
    put_photos(storage, OTHER_DIGEST)
    storage.put_bytes("jobs/gone/logs/results/0.log", b"a last word")
    for path in (tmp_path / "objects").rglob("*"):
        os.utime(path, (time.time() - 90_000,) * 2)
    put_photos(storage, "f" * 64)
    storage.put_bytes("results/gone/model.glb", b"x")
    assert remove_left_behind(store, storage, older_than=timedelta(days=1)) == 1
    assert remove_unused_photos(store, storage) == 1
    new = {f"inputs {'f' * 64}", "results gone"}
    assert kept(storage) == everything(job_id) | new, "what comes just now is left alone"
