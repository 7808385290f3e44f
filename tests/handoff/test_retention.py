"""What the stage cache keeps, what goes, and what is put right: on both databases, in a folder."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meshroom_tasks.errors import StoredResultLost
from meshroom_tasks.handoff import StageCache, Workspace
from meshroom_tasks.handoff.eviction import CacheLimits, Evicted, evict
from meshroom_tasks.handoff.verification import Verification
from meshroom_tasks.jobs.addresses import Address, lineage_of
from meshroom_tasks.jobs.records import Entry, Work
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.storage import LocalStorage
from tests.jobs.conftest import GRAPH, RESULTS, Clock, claim_kind, empty_url, run_to_plan, store, url

__all__ = ["empty_url", "store", "url"]


@pytest.fixture
def clock() -> Clock:
    """Files have the time of the machine, so that rows need one that is near it."""
    return Clock(datetime.now(UTC) - timedelta(hours=2))


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "objects")


@pytest.fixture
def cache(storage: LocalStorage) -> StageCache:
    return StageCache(storage)


def address_of(work: Work) -> Address:
    lineage = lineage_of(work.reads)
    return Address(work.engine, work.photos_digest, work.node_type, work.uid, work.chunk, lineage)


def compute(cache: StageCache, work: Work, folder: Path) -> Entry:
    address = address_of(work)
    found = cache.find(address)
    if found is not None:
        return found
    outputs = folder / f"{work.node}-{work.chunk}-{time.monotonic_ns()}"
    outputs.mkdir(parents=True)
    (outputs / "data").write_bytes(os.urandom(1000))
    return cache.put(address, outputs, None)


def run(store: JobStore, cache: StageCache, folder: Path, *, until: str = "") -> dict[str, Entry]:
    """Run the chunks of the job that is there, up to a stage; the results step too where no stage is named."""
    entries = {}
    while (work := claim_kind(store, "chunk")) is not None:
        if work.node_type == until:
            return entries
        entries[f"{work.node_type}/{work.chunk}"] = entry = compute(cache, work, folder)
        assert store.finish_chunk(work, entry)
    results = claim_kind(store, "results")
    assert results is not None
    assert store.finish_results(results, RESULTS, {})
    return entries


def kept(storage: LocalStorage) -> set[str]:
    """Node types and chunks of which both marker and bundle are there."""
    keys = set(storage.list("cache"))
    return {"/".join(key.split("/")[3:6:2]) for key in keys if key.endswith(".json")}


def test_the_least_recently_used_go_first_and_of_one_job_what_follows_before_what_it_needs(
    store: JobStore, cache: StageCache, storage: LocalStorage, clock: Clock, tmp_path: Path
) -> None:
    run_to_plan(store)
    entries = {}
    while (work := claim_kind(store, "chunk")) is not None:
        clock.advance(1)
        entries[work.node_type] = entry = compute(cache, work, tmp_path)
        store.finish_chunk(work, entry)
    assert evict(store, cache, CacheLimits(bytes=1)).entries == 0, "the job lives"
    results = claim_kind(store, "results")
    assert results is not None
    store.finish_results(results, RESULTS, {})
    total = store.cache_stats().bytes
    limits = CacheLimits(bytes=total - 1)
    expected = Evicted(entries=1, bytes=entries["Join"].size, still_over=0)
    assert evict(store, cache, limits, dry_run=True) == expected
    assert len(kept(storage)) == 5
    assert evict(store, cache, limits) == expected
    assert kept(storage) == {"Init/0", "Left/0", "Left/1", "Right/0"}
    assert evict(store, cache, CacheLimits(bytes=entries["Init"].size)).entries == 3
    assert kept(storage) == {"Init/0"}
    assert store.cache_stats().entries == 1
    assert len(list(storage.list("cache"))) == 2


def test_what_was_not_used_for_long_goes(
    store: JobStore, cache: StageCache, storage: LocalStorage, clock: Clock, tmp_path: Path
) -> None:
    run_to_plan(store)
    run(store, cache, tmp_path)
    clock.advance(5400)
    run_to_plan(store, GRAPH[:2])
    run(store, cache, tmp_path)
    assert evict(store, cache, CacheLimits()).entries == 0
    assert evict(store, cache, CacheLimits(age_seconds=3600)).entries == 2
    assert kept(storage) == {"Init/0", "Left/0", "Left/1"}, "used by the second job, half an hour ago"


def test_nothing_goes_that_a_live_job_names_or_may_look_for(
    store: JobStore, cache: StageCache, storage: LocalStorage, clock: Clock, tmp_path: Path
) -> None:
    run_to_plan(store)
    run(store, cache, tmp_path)
    live = run_to_plan(store, GRAPH[:3])
    run(store, cache, tmp_path, until="Left")
    stats = store.cache_stats()
    assert (stats.entries, stats.needed_entries) == (5, 4)
    evicted = evict(store, cache, CacheLimits(bytes=1, age_seconds=1))
    assert (evicted.entries, evicted.still_over) == (1, stats.needed_bytes - 1)
    assert kept(storage) == {"Init/0", "Left/0", "Left/1", "Right/0"}
    store.cancel(live)
    assert store.cache_stats().needed_entries == 4, "until its holder has stopped"


def test_a_job_that_is_not_planned_yet_keeps_everything_of_its_photos(
    store: JobStore, cache: StageCache, clock: Clock, tmp_path: Path
) -> None:
    run_to_plan(store)
    run(store, cache, tmp_path)
    live = run_to_plan(store, ())
    assert evict(store, cache, CacheLimits(bytes=1)).entries == 0
    store.fail(claim_kind(store, "results"), StoredResultLost("x", bundle_keys=()))  # type: ignore[arg-type]
    store.cancel(live)
    assert evict(store, cache, CacheLimits(bytes=1)).entries == 5


def test_an_entry_that_came_into_use_is_passed_over(
    store: JobStore, cache: StageCache, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_to_plan(store)
    run(store, cache, tmp_path)
    [listed] = store.evictable_entries(1)
    assert store.is_evictable(listed)
    run_to_plan(store)
    assert not store.is_evictable(listed)
    monkeypatch.setattr(store, "evictable_entries", lambda limit: [listed])
    assert evict(store, cache, CacheLimits(bytes=1)).entries == 0


def test_a_job_that_had_just_found_what_was_evicted_recovers(
    store: JobStore, cache: StageCache, storage: LocalStorage, tmp_path: Path
) -> None:
    run_to_plan(store, GRAPH[:2])
    entries = run(store, cache, tmp_path)
    job_id = run_to_plan(store, GRAPH[:2])
    init = claim_kind(store, "Init")
    assert init is not None
    found = cache.find(address_of(init))
    assert found is not None
    cache.evict(found.key, found.bundle_key)  # As if it had been seen before the job was planned.
    assert store.finish_chunk(init, found)
    left = claim_kind(store, "Left")
    assert left is not None
    with pytest.raises(StoredResultLost) as lost:
        cache.fetch(left.reads[0], Workspace(tmp_path / "workspace", "engine-1", "photos"))
    store.fail(left, lost.value)
    again = run(store, cache, tmp_path)
    assert again["Init/0"].digest != entries["Init/0"].digest
    assert store.job(job_id).status == "completed"
    assert not list(Verification(store, storage).verify(deep=True, repair=False))


def test_verify_finds_and_repairs(
    store: JobStore, cache: StageCache, storage: LocalStorage, clock: Clock, tmp_path: Path
) -> None:
    run_to_plan(store)
    entries = run(store, cache, tmp_path)
    verification = Verification(store, storage)
    assert list(verification.verify(deep=True, repair=False)) == []
    storage.delete(entries["Left/0"].bundle_key)
    storage.delete(f"{entries['Right/0'].key}.json")
    damaged = storage.root / entries["Join/0"].bundle_key
    damaged.write_bytes(bytes(damaged.stat().st_size))
    unknown = next(entry for entry in store.cache_entries() if entry.address == entries["Init/0"].key)
    store.forget_entry(unknown)
    expected = [
        ("marker_without_bundle", entries["Left/0"].key),
        ("unknown_entry", entries["Init/0"].key),
        ("damaged_bundle", entries["Join/0"].bundle_key),
        ("vanished_entry", entries["Right/0"].key),
    ]
    found = {(finding.kind, finding.key) for finding in verification.verify(deep=True, repair=False)}
    assert found == set(expected)
    assert {(finding.kind, finding.key) for finding in verification.verify(deep=True, repair=True)} == set(expected)
    assert list(verification.verify(deep=True, repair=False)) == []
    assert kept(storage) == {"Init/0", "Left/1"}
    assert {entry.address for entry in store.cache_entries()} == {entries["Init/0"].key, entries["Left/1"].key}


def test_bundles_of_killed_workers_are_removed_when_they_are_old_and_no_live_job_names_them(
    store: JobStore, cache: StageCache, storage: LocalStorage, clock: Clock, tmp_path: Path
) -> None:
    run_to_plan(store)
    named = run(store, cache, tmp_path, until="Left")["Init/0"]
    cache.evict(named.key, None)
    [row] = store.cache_entries()
    store.forget_entry(row)
    storage.delete(f"{named.key}.json")
    orphan = f"{named.key.replace('Init', 'Left')}-0123456789abcdef.tar"
    storage.put_bytes(orphan, b"half a life")
    assert list(Verification(store, storage).orphans(repair=True)) == [], "young"
    yesterday = time.time() - 90_000
    for key in (orphan, named.bundle_key):
        os.utime(storage.root / key, (yesterday, yesterday))
    assert [finding.key for finding in Verification(store, storage).orphans(repair=True)] == [orphan]
    assert list(storage.list("cache")) == [named.bundle_key]
