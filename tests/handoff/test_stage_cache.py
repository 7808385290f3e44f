from __future__ import annotations

import json
import multiprocessing
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.errors import HandoffIncomplete, StoredResultLost
from meshroom_tasks.handoff import StageCache, Workspace
from meshroom_tasks.jobs.addresses import Address, lineage_of
from meshroom_tasks.jobs.records import Entry, ReadItem, Usage
from meshroom_tasks.settings import Settings
from meshroom_tasks.stops import JobCancelled
from meshroom_tasks.storage import Storage, open_storage
from tests.handoff.conftest import files_of

ADDRESS = Address("engine-1.0", "photos0", "DepthMap", "uid0", 0, "lineage0")
USAGE = Usage(wall_seconds=1.5, cpu_seconds=2.5, peak_bytes=3)
READ = ReadItem("SfM", "u1", 0, "d1", "cache/x")


def _item(entry: Entry) -> ReadItem:
    return ReadItem(ADDRESS.node_type, ADDRESS.uid, ADDRESS.chunk, entry.digest, entry.bundle_key)


@pytest.fixture
def cache(storage: Storage) -> StageCache:
    return StageCache(storage)


def test_the_lineage_names_the_bundles_in_any_order() -> None:
    reads = [READ, replace(READ, chunk=1, digest="d2"), replace(READ, node_type="A", uid="u0")]
    assert lineage_of(reads) == lineage_of(reversed(reads))
    assert len(lineage_of(reads)) == 32
    assert lineage_of([]) == lineage_of(())


@pytest.mark.parametrize("change", [{"digest": "d9"}, {"chunk": 9}, {"uid": "u9"}, {"node_type": "X"}])
def test_the_lineage_changes_with_every_part(change: dict[str, Any]) -> None:
    assert lineage_of([READ]) != lineage_of([replace(READ, **change)])
    assert lineage_of([READ]) != lineage_of([READ, READ])


def test_the_lineage_does_not_depend_on_where_a_bundle_lies() -> None:
    assert lineage_of([READ]) == lineage_of([replace(READ, bundle_key="elsewhere")])


def test_the_address() -> None:
    assert ADDRESS.key == "cache/engine-1.0/photos0/DepthMap/uid0/0/lineage0"


def test_put_find_fetch(cache: StageCache, stage: Path, workspace: Workspace, storage: Storage) -> None:
    assert cache.find(ADDRESS) is None
    entry = cache.put(ADDRESS, stage, USAGE)
    assert not entry.cached
    assert entry.usage == USAGE
    assert re.fullmatch(re.escape(ADDRESS.key) + r"-[0-9a-f]{16}\.tar", entry.bundle_key), "it is nearly all EXR"
    assert cache.find(ADDRESS) == replace(entry, cached=True)
    assert list(storage.list()) == [entry.bundle_key, f"{ADDRESS.key}.json"]
    assert cache.find(replace(ADDRESS, lineage="other")) is None
    assert cache.find(replace(ADDRESS, chunk=1)) is None
    assert files_of(cache.fetch(_item(entry), workspace)) == files_of(stage)
    assert sorted(path.name for path in stage.parent.iterdir()) == ["uid0"]


def test_what_can_be_compressed_is(cache: StageCache, stage: Path, workspace: Workspace) -> None:
    (stage / "mesh.obj").write_bytes(b"v 0 0 0\n" * 100_000)
    entry = cache.put(ADDRESS, stage, USAGE)
    assert entry.bundle_key.endswith(".tar.zst")
    assert entry.size < 20_000
    assert files_of(cache.fetch(_item(entry), workspace)) == files_of(stage)


def test_a_stage_that_left_no_folder_stores_nothing(cache: StageCache, tmp_path: Path, storage: Storage) -> None:
    with pytest.raises(HandoffIncomplete):
        cache.put(ADDRESS, tmp_path / "nothing", USAGE)
    assert list(storage.list()) == []


def test_a_writer_that_is_stopped_leaves_nothing(cache: StageCache, stage: Path, storage: Storage) -> None:
    def stop(count: int) -> None:
        raise JobCancelled("cancelled")

    with pytest.raises(JobCancelled):
        cache.put(ADDRESS, stage, USAGE, progress=stop)
    assert list(storage.list()) == []
    assert storage.remove_abandoned(older_than_seconds=-60) == 0


def test_what_is_on_disk_is_not_fetched_again(cache: StageCache, stage: Path, workspace: Workspace) -> None:
    entry = cache.put(ADDRESS, stage, None)
    moved: list[int] = []
    folder = cache.fetch(_item(entry), workspace, progress=moved.append)
    assert sum(moved) == entry.size
    moved.clear()
    assert cache.fetch(_item(entry), workspace, progress=moved.append) == folder
    assert moved == []


def test_kept_entries_need_no_fetch(cache: StageCache, stage: Path, workspace: Workspace, storage: Storage) -> None:
    expected = files_of(stage)
    entry = cache.put(ADDRESS, stage, USAGE, keep_in=workspace)
    storage.delete_prefix("cache")
    assert files_of(cache.fetch(_item(entry), workspace)) == expected
    assert not stage.exists()


def test_the_second_writer_adopts_the_first(
    cache: StageCache, stage: Path, workspace: Workspace, storage: Storage
) -> None:
    first = cache.put(ADDRESS, stage, USAGE)
    (stage / "empty").write_text("not deterministic")
    second = cache.put(ADDRESS, stage, Usage(9, 9, 9), keep_in=workspace)
    assert second == first
    assert list(storage.list()) == [first.bundle_key, f"{ADDRESS.key}.json"], "the loser's bundle is left"
    assert stage.exists(), "what lost must not become an entry"
    assert files_of(cache.fetch(_item(second), workspace))["empty"] == b""


def test_the_second_writer_of_equal_bytes_keeps_the_bundle(cache: StageCache, stage: Path, storage: Storage) -> None:
    first = cache.put(ADDRESS, stage, USAGE)
    assert cache.put(ADDRESS, stage, USAGE) == first
    assert list(storage.list()) == [first.bundle_key, f"{ADDRESS.key}.json"]


def _race(settings: Settings, folder: Path, start: Any, results: Any) -> None:
    start.wait()
    results.put(StageCache(open_storage(settings)).put(ADDRESS, folder, None))


def test_racing_writers_agree(
    cache: StageCache, settings: Settings, storage: Storage, workspace: Workspace, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    writers = []
    for number in range(8):
        folder = tmp_path / f"run{number}" / "uid0"
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(os.urandom(1_000_000) + bytes([number]))
        writers.append(context.Process(target=_race, args=(settings, folder, start, results)))
        writers[-1].start()
    start.set()
    entries = {results.get(timeout=120) for _ in writers}
    for writer in writers:
        writer.join(120)
    assert len(entries) == 1
    (entry,) = entries
    assert list(storage.list()) == [entry.bundle_key, f"{ADDRESS.key}.json"]
    assert len(files_of(cache.fetch(_item(entry), workspace))["x"]) == 1_000_001


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        json.dumps({"bundle": "elsewhere/b-0.tar.zst", "digest": "d", "size": 1, "usage": None}).encode(),
        json.dumps({"bundle": None, "digest": "d", "size": "x", "usage": None}).encode(),
    ],
)
def test_a_broken_marker_counts_as_absent(cache: StageCache, storage: Storage, stage: Path, content: bytes) -> None:
    storage.put_bytes(f"{ADDRESS.key}.json", content)
    assert cache.find(ADDRESS) is None
    assert storage.stat(f"{ADDRESS.key}.json") is None
    storage.put_bytes(f"{ADDRESS.key}.json", content)
    entry = cache.put(ADDRESS, stage, USAGE)
    assert cache.find(ADDRESS) == replace(entry, cached=True)


@pytest.mark.parametrize("data", [None, b"shorter"])
def test_a_marker_without_its_bundle_is_dropped(
    cache: StageCache, storage: Storage, stage: Path, data: bytes | None
) -> None:
    entry = cache.put(ADDRESS, stage, USAGE)
    storage.delete(entry.bundle_key)
    if data is not None:
        storage.put_bytes(entry.bundle_key, data)
    assert cache.find(ADDRESS) is None
    assert storage.stat(f"{ADDRESS.key}.json") is None


def test_a_corrupt_bundle_is_dropped_and_computed_again(
    cache: StageCache, storage: Storage, stage: Path, workspace: Workspace
) -> None:
    entry = cache.put(ADDRESS, stage, USAGE)
    data = bytearray(storage.get_bytes(entry.bundle_key))
    data[len(data) // 2] ^= 1
    storage.put_bytes(entry.bundle_key, bytes(data))
    assert cache.find(ADDRESS) is not None
    with pytest.raises(StoredResultLost) as caught:
        cache.fetch(_item(entry), workspace)
    assert caught.value.bundle_keys == (entry.bundle_key,)
    assert cache.find(ADDRESS) is None
    assert list(storage.list()) == []
    again = cache.put(ADDRESS, stage, USAGE)
    assert files_of(cache.fetch(_item(again), workspace)) == files_of(stage)


def test_fetching_what_is_gone(cache: StageCache, storage: Storage, stage: Path, workspace: Workspace) -> None:
    entry = cache.put(ADDRESS, stage, USAGE)
    storage.delete(entry.bundle_key)
    with pytest.raises(StoredResultLost):
        cache.fetch(_item(entry), workspace)
    assert storage.stat(f"{ADDRESS.key}.json") is None


def test_what_was_computed_in_its_place_is_not_dropped_with_it(
    cache: StageCache, storage: Storage, stage: Path, workspace: Workspace
) -> None:
    old = cache.put(ADDRESS, stage, USAGE)
    storage.delete(old.bundle_key)
    assert cache.find(ADDRESS) is None
    new = cache.put(ADDRESS, stage, USAGE)
    with pytest.raises(StoredResultLost):
        cache.fetch(_item(old), workspace)
    assert cache.find(ADDRESS) == replace(new, cached=True)


def test_a_dropped_entry_leaves_its_bundle(cache: StageCache, stage: Path, workspace: Workspace) -> None:
    entry = cache.put(ADDRESS, stage, USAGE)
    cache.drop(ADDRESS)
    assert cache.find(ADDRESS) is None
    assert files_of(cache.fetch(_item(entry), workspace)) == files_of(stage)
