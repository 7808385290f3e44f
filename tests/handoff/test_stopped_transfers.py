"""A cancel is noticed within one transfer, however large or slow it is."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest

from meshroom_tasks.handoff import StageCache, Workspace
from meshroom_tasks.holding import Holding, StepFailed, hold
from meshroom_tasks.ingest import fetch_photos, photo_key
from meshroom_tasks.jobs.addresses import Address
from meshroom_tasks.jobs.records import Photo, ReadItem
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.settings import load_settings
from meshroom_tasks.stops import JobCancelled
from meshroom_tasks.storage import LocalStorage, Progress, Sink
from tests.jobs.conftest import GRAPH, claim_kind, entry_for, run_to_plan

BLOCK, BLOCKS = 1 << 20, 40


@dataclass
class SlowStorage(LocalStorage):
    """From the second block on it waits until the holder has been told to stop."""

    root: Path
    told: Callable[[], bool] = lambda: True
    moved: int = field(default=0, init=False)

    def wait(self, size: int) -> None:
        self.moved += size
        deadline = time.monotonic() + 60
        while self.moved > BLOCK and not self.told():
            assert time.monotonic() < deadline, "nobody told the holder"
            time.sleep(0.01)
        time.sleep(0.1)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        return io.BufferedReader(_SlowStream(self, super().open(key, start, length)), BLOCK)

    @contextmanager
    def create(self, key: str, *, media_type: str | None = None) -> Iterator[Sink]:
        with super().create(key, media_type=media_type) as sink:
            yield _SlowSink(self, sink)

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> None:
        def slowly(size: int) -> None:
            self.wait(size)
            if progress is not None:
                progress(size)

        super().get_file(key, path, progress=slowly)


class _SlowStream(io.RawIOBase):
    def __init__(self, storage: SlowStorage, source: BinaryIO) -> None:
        self._storage = storage
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._source.read(len(buffer))
        self._storage.wait(len(data))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()


class _SlowSink:
    def __init__(self, storage: SlowStorage, sink: Sink) -> None:
        self._storage = storage
        self._sink = sink
        self.flush = sink.flush

    def write(self, data: bytes, /) -> int:
        self._storage.wait(len(data))
        return self._sink.write(data)


@pytest.fixture
def slow(tmp_path: Path) -> SlowStorage:
    return SlowStorage(tmp_path / "objects")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    store = open_store(load_settings(data_dir=tmp_path / "data"))
    yield store
    store.database.engine.dispose()


@contextmanager
def cancelled(store: JobStore, slow: SlowStorage) -> Iterator[Holding]:
    """The holder of a chunk whose job has just been cancelled, which it hears with its next heartbeat."""
    job_id = run_to_plan(store, GRAPH)
    init = claim_kind(store, "chunk")
    assert init is not None
    store.finish_chunk(init, entry_for(init))
    hint = next(hint for hint in store.take_hints() if hint.label.startswith("Left"))
    with pytest.raises(StepFailed, match="job_cancelled"), hold(store, slow, hint.subject, "w1", 0.05) as holding:
        assert holding is not None
        slow.told = lambda: holding.stop_reason() is not None
        store.cancel(job_id)
        try:
            yield holding
        except JobCancelled:
            assert slow.moved < BLOCKS * BLOCK, "noticed only when all had moved"
            raise
    assert store.job(job_id).status == "cancelled"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """One file, larger than what may move."""
    folder = tmp_path / "run" / "Left" / "uid"
    folder.mkdir(parents=True)
    (folder / "depth.exr").write_bytes(bytes(range(256)) * (BLOCKS * BLOCK // 256))
    return folder


ADDRESS = Address("engine-1", "photos", "Left", "uid", 0, "lineage")


def test_while_a_bundle_is_stored(store: JobStore, slow: SlowStorage, outputs: Path) -> None:
    with cancelled(store, slow) as holding:
        StageCache(slow).put(ADDRESS, outputs, None, progress=holding.moved)
    assert list(slow.list("cache")) == []
    assert list((slow.root / ".incoming").iterdir()) == []


def test_while_a_bundle_is_fetched(store: JobStore, slow: SlowStorage, outputs: Path, tmp_path: Path) -> None:
    entry = StageCache(LocalStorage(slow.root)).put(ADDRESS, outputs, None)
    workspace = Workspace(tmp_path / "workspace", "engine-1", "photos")
    item = ReadItem("Left", "uid", 0, entry.digest, entry.bundle_key)
    with cancelled(store, slow) as holding:
        StageCache(slow).fetch(item, workspace, progress=holding.moved)
    assert list(workspace.entries.iterdir()) == []


def test_while_a_photo_is_fetched(store: JobStore, slow: SlowStorage, tmp_path: Path) -> None:
    content = bytes(BLOCKS * BLOCK)
    photo = Photo(0, "0000_aaaaaaaa.jpg", hashlib.sha256(content).hexdigest(), len(content), 4, 3, "image/jpeg")
    slow.put_bytes(photo_key("d" * 64, photo.name), content)
    folder = tmp_path / "photos"
    with cancelled(store, slow) as holding:
        fetch_photos(slow, "d" * 64, [photo], folder, holding.stop_reason)
    assert list(folder.iterdir()) == []
