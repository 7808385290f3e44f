"""What happens on a disk that is really full: one error, whatever was being written, and no trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from meshroom_tasks.errors import DiskFull, EngineError, PhotosWithoutOverlap
from meshroom_tasks.handoff import Room, StageCache
from meshroom_tasks.handoff.preparation import Preparation, graph_key
from meshroom_tasks.jobs.addresses import Address
from meshroom_tasks.jobs.records import ReadItem
from meshroom_tasks.stops import WaitingForDisk
from meshroom_tasks.storage import LocalStorage
from tests.handoff.holder import WORK, Holder
from tests.small_disk import small_disk

MB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 32) as disk:
        yield disk


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    storage = LocalStorage(tmp_path / "objects")
    storage.put_bytes(graph_key("j"), b"{}")
    return storage


@pytest.fixture
def preparation(storage: LocalStorage, disk: Path) -> Preparation:
    return Preparation(storage, StageCache(storage), Room(disk), lambda _: 0.0)


def stored(storage: LocalStorage, folder: Path, megabytes: int) -> ReadItem:
    """A bundle of so many zeros, which is small as long as it is packed."""
    folder.mkdir()
    (folder / "points.abc").write_bytes(bytes(megabytes * MB))
    entry = StageCache(storage).put(Address("engine-1.0", "photos0", "A", "u", megabytes, "l"), folder, None)
    return ReadItem("A", "u", megabytes, entry.digest, entry.bundle_key, "A_1", entry.size, entry.unpacked_size)


def fill(disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"), (disk / "ballast").open("wb") as file:
        while True:
            file.write(bytes(MB))


def traces(disk: Path) -> list[str]:
    return [path.name for path in disk.rglob("*") if path.is_file() and path.name not in ("ballast", "ledger.lock")]


def test_a_step_that_does_not_fit_waits(preparation: Preparation, storage: LocalStorage, tmp_path: Path) -> None:
    item = stored(storage, tmp_path / "stage", 40)
    with (
        pytest.raises(WaitingForDisk, match=r"needs 46\.1 MB, 33\.\d MB free"),
        preparation.run(Holder(replace(WORK, reads=(item,)))),
    ):
        pass


def test_a_bundle_that_is_larger_than_was_noted(
    preparation: Preparation, storage: LocalStorage, tmp_path: Path, disk: Path
) -> None:
    item = replace(stored(storage, tmp_path / "stage", 40), unpacked_size=1)
    with pytest.raises(DiskFull), preparation.run(Holder(replace(WORK, reads=(item,)))):
        pass
    assert traces(disk) == []


def test_old_entries_make_room_for_new_ones(
    preparation: Preparation, storage: LocalStorage, tmp_path: Path, disk: Path
) -> None:
    for megabytes in (20, 21, 22):
        item = stored(storage, tmp_path / str(megabytes), megabytes)
        with preparation.run(Holder(replace(WORK, reads=(item,)))) as run:
            assert (run.stage_folder("A", "u") / "points.abc").stat().st_size == megabytes * MB
            assert len(list((run.workspace.entries).glob("*.used"))) == 1
    assert [path.name for path in run.workspace.runs.iterdir()] == []


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (EngineError("Meshing failed: its command ended with exit code 1"), DiskFull),
        (OSError(28, "No space left on device"), DiskFull),
        (PhotosWithoutOverlap("no"), PhotosWithoutOverlap),
    ],
)
def test_an_engine_that_fails_on_a_full_disk(
    preparation: Preparation, disk: Path, error: Exception, seen: type[Exception]
) -> None:
    with pytest.raises(seen), preparation.run(Holder(WORK)):
        fill(disk)
        raise error
    assert traces(disk) == []


def test_an_engine_that_fails_for_itself(preparation: Preparation) -> None:
    with pytest.raises(EngineError, match="exit code 1"), preparation.run(Holder(WORK)):
        raise EngineError("Meshing failed: its command ended with exit code 1")
