"""What every storage must do. A test class derives from `StorageContract` and gives the fixture `settings`."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.errors import ObjectMissing
from meshroom_tasks.settings import Settings
from meshroom_tasks.storage import Storage, open_storage

_PROCESSES = multiprocessing.get_context("fork")
_BAD_KEYS = [
    "",
    "/a",
    "a/",
    "a//b",
    "../a",
    "a/../b",
    "a/./b",
    ".hidden",
    "a/.b",
    "a\\b",
    "a\nb",
    "a\0b",
    "ä",
    "x" * 300,
]


def _racing_put(settings: Settings, key: str, number: int, start: Any, wins: Any) -> None:
    storage = open_storage(settings)
    start.wait()
    if storage.put_bytes(key, bytes([number]) * 100_000, if_absent=True):
        wins.put(number)


def _put_and_die(settings: Settings, key: str, source: Path, die_after: int) -> None:
    moved = 0

    def die_midway(count: int) -> None:
        nonlocal moved
        moved += count
        if moved >= die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    open_storage(settings).put_file(key, source, progress=die_midway)


class StorageContract:
    @pytest.fixture
    def storage(self, settings: Settings) -> Storage:
        return open_storage(settings)

    def test_bytes_come_back(self, storage: Storage) -> None:
        assert storage.put_bytes("a/b.bin", b"\0\1\2", media_type="application/octet-stream")
        assert storage.get_bytes("a/b.bin") == b"\0\1\2"

    def test_files_come_back(self, storage: Storage, tmp_path: Path) -> None:
        content = os.urandom(3_000_001)
        (tmp_path / "in").write_bytes(content)
        moved_in, moved_out = [], []
        assert storage.put_file("results/x/model.glb", tmp_path / "in", progress=moved_in.append)
        storage.get_file("results/x/model.glb", tmp_path / "out", progress=moved_out.append)
        assert (tmp_path / "out").read_bytes() == content
        assert sum(moved_in) == sum(moved_out) == len(content)
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["in", "out"]

    def test_sizes_are_told_with_the_keys(self, storage: Storage) -> None:
        assert list(storage.sizes("uploads/a")) == []
        for key, size in (("uploads/a/00001", 5), ("uploads/a/00000", 7), ("uploads/ab/00000", 1)):
            storage.put_bytes(key, b"x" * size)
        assert list(storage.sizes("uploads/a")) == [("uploads/a/00000", 7), ("uploads/a/00001", 5)]

    def test_empty_object(self, storage: Storage) -> None:
        storage.put_bytes("empty", b"")
        assert storage.get_bytes("empty") == b""
        assert storage.stat("empty").size == 0

    @pytest.mark.parametrize("size", [0, 5, 20_000_003])
    def test_what_is_written_to_a_sink_comes_back(self, storage: Storage, size: int) -> None:
        content = os.urandom(size)
        with storage.create("sunk", media_type="application/x-tar") as sink:
            for start in range(0, size, 1_234_567):
                sink.write(content[start : start + 1_234_567])
            sink.flush()
            assert storage.stat("sunk") is None
        assert storage.get_bytes("sunk") == content
        with storage.create("sunk") as sink:
            sink.write(b"new")
        assert storage.get_bytes("sunk") == b"new"

    @pytest.mark.parametrize("size", [0, 5, 20_000_003])
    def test_nothing_is_stored_when_the_writer_fails(self, storage: Storage, size: int) -> None:
        storage.put_bytes("before", b"old")
        for key in ("before", "new"):
            with pytest.raises(RuntimeError, match="the writer's own"), storage.create(key) as sink:
                sink.write(bytes(size))
                raise RuntimeError("the writer's own")
        assert storage.get_bytes("before") == b"old"
        assert list(storage.list()) == ["before"]
        assert storage.remove_abandoned(older_than_seconds=-60) == 0

    def test_a_put_replaces(self, storage: Storage) -> None:
        storage.put_bytes("k", b"old")
        assert storage.put_bytes("k", b"new")
        assert storage.get_bytes("k") == b"new"

    def test_if_absent_keeps_the_first(self, storage: Storage, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"second")
        assert storage.put_bytes("k", b"first", if_absent=True)
        assert not storage.put_bytes("k", b"second", if_absent=True)
        assert not storage.put_file("k", tmp_path / "f", if_absent=True)
        assert storage.get_bytes("k") == b"first"

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, None, b"0123456789"),
            (3, None, b"3456789"),
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (8, 100, b"89"),
            (10, None, b""),
            (50, 5, b""),
            (2, 0, b""),
        ],
    )
    def test_ranges(self, storage: Storage, start: int, length: int | None, expected: bytes) -> None:
        storage.put_bytes("digits", b"0123456789")
        with storage.open("digits", start, length) as stream:
            assert stream.read() == expected

    def test_a_range_is_a_stream(self, storage: Storage) -> None:
        content = os.urandom(2_500_000)
        storage.put_bytes("big", content)
        with storage.open("big", 1000, 2_000_000) as stream:
            pieces = list(iter(lambda: stream.read(333_333), b""))
        assert b"".join(pieces) == content[1000:2_001_000]
        assert len(pieces) > 5

    def test_stat(self, storage: Storage) -> None:
        storage.put_bytes("k", b"12345")
        info = storage.stat("k")
        assert info is not None
        assert info.size == 5
        assert abs(datetime.now(UTC) - info.modified) < timedelta(minutes=5)
        assert storage.stat("other") is None

    def test_list_means_whole_parts(self, storage: Storage) -> None:
        for key in ("a/2", "a/1/x", "a/10", "ab/1", "b"):
            storage.put_bytes(key, b"")
        assert list(storage.list("a")) == ["a/1/x", "a/10", "a/2"] == list(storage.list("a/"))
        assert list(storage.list()) == ["a/1/x", "a/10", "a/2", "ab/1", "b"]
        assert list(storage.list("nothing/here")) == []

    def test_delete(self, storage: Storage) -> None:
        storage.put_bytes("a/b/c", b"")
        storage.delete("a/b/c")
        storage.delete("a/b/c")
        storage.delete("never/was")
        assert storage.stat("a/b/c") is None
        assert list(storage.list()) == []

    def test_delete_prefix(self, storage: Storage) -> None:
        for key in ("jobs/1/a", "jobs/1/b/c", "jobs/10/a"):
            storage.put_bytes(key, b"")
        storage.delete_prefix("jobs/1")
        assert list(storage.list()) == ["jobs/10/a"]
        with pytest.raises(ValueError, match="everything"):
            storage.delete_prefix("/")

    @pytest.mark.parametrize(
        "read",
        [
            lambda storage, path: storage.get_bytes("missing/key"),
            lambda storage, path: storage.open("missing/key"),
            lambda storage, path: storage.get_file("missing/key", path / "out"),
            lambda storage, path: storage.get_bytes("folder"),
        ],
    )
    def test_missing(self, storage: Storage, tmp_path: Path, read: Callable[[Storage, Path], object]) -> None:
        storage.put_bytes("folder/key", b"")
        with pytest.raises(ObjectMissing):
            read(storage, tmp_path)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("key", _BAD_KEYS)
    def test_bad_keys(self, storage: Storage, tmp_path: Path, key: str) -> None:
        with pytest.raises(ValueError, match="object key"):
            storage.put_bytes(key, b"")
        with pytest.raises(ValueError, match="object key"), storage.create(key):
            pass
        with pytest.raises(ObjectMissing):
            storage.get_bytes(key)
        with pytest.raises(ObjectMissing):
            storage.open(key)
        assert storage.stat(key) is None

    def test_a_missing_source_is_not_a_missing_object(self, storage: Storage, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            storage.put_file("k", tmp_path / "nothing")

    def test_check(self, storage: Storage) -> None:
        storage.check()
        assert list(storage.list()) == []

    def test_one_of_16_racing_writers_wins(self, storage: Storage, settings: Settings) -> None:
        start, wins = _PROCESSES.Event(), _PROCESSES.Queue()
        writers = [_PROCESSES.Process(target=_racing_put, args=(settings, "race/k", n, start, wins)) for n in range(16)]
        for writer in writers:
            writer.start()
        start.set()
        for writer in writers:
            writer.join(300)
        assert [writer.exitcode for writer in writers] == [0] * 16
        winner = wins.get(timeout=60)
        assert wins.empty()
        assert storage.get_bytes("race/k") == bytes([winner]) * 100_000

    @pytest.mark.parametrize("before", [None, b"before"])
    def test_kill_in_the_middle_of_a_put(
        self, storage: Storage, settings: Settings, tmp_path: Path, before: bytes | None
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(os.urandom(20_000_000))
        if before is not None:
            storage.put_bytes("k/x", before)
        writer = _PROCESSES.Process(target=_put_and_die, args=(settings, "k/x", source, 8_000_000))
        writer.start()
        writer.join(300)
        assert writer.exitcode == -signal.SIGKILL
        if before is None:
            assert storage.stat("k/x") is None
            assert list(storage.list()) == []
        else:
            assert storage.get_bytes("k/x") == before
        storage.remove_abandoned(older_than_seconds=0)
        assert storage.put_file("k/x", source)
        assert storage.get_bytes("k/x") == source.read_bytes()
