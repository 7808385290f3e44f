"""Room on a worker's disk: estimated, reserved, made by evicting what was used least recently."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.errors import Conflict
from meshroom_tasks.handoff import Room, Workspace
from meshroom_tasks.handoff.disk import bytes_below, mark_of, touch
from meshroom_tasks.handoff.estimate import Kept, Need, need_of, spoken_bytes, to_evict
from meshroom_tasks.jobs.records import Photo, ReadItem
from meshroom_tasks.stops import JobCancelled, WaitingForDisk
from tests.handoff import holder

MB = 1 << 20
PHOTO = Photo(0, "0000_aaaaaaaa.jpg", "a" * 64, 30 * MB, 4, 3, "image/jpeg")
WORK = replace(holder.WORK, photos=(PHOTO,))
PLAIN = ReadItem("A", "u", 0, "d1", "cache/x-1.tar", "A_1", size=10 * MB)
PACKED = replace(PLAIN, digest="d2", bundle_key="cache/x-2.tar.zst")
NOTED = replace(PACKED, digest="d3", unpacked_size=50 * MB)


@pytest.mark.parametrize(
    ("changes", "expected_output", "entries", "photos", "output"),
    [
        ({}, 0.0, 0, 0, 4),
        ({}, 100.0 * MB, 0, 0, 154),
        ({"reads": (PLAIN, PACKED, NOTED)}, 0.0, 10 + 30 + 50, 0, 4),
        ({"reads": (PLAIN,)}, None, 10, 0, 14),
        ({"reads": (PLAIN,), "reads_photos": True}, None, 10, 30, 44),
        ({"kind": "plan"}, None, 0, 30, 4),
    ],
)
def test_what_a_step_needs(
    changes: dict[str, Any], expected_output: float | None, entries: int, photos: int, output: int
) -> None:
    need = need_of(replace(WORK, **changes), expected_output)
    found = (sum(need.entries.values()), sum(need.photos.values()), need.output)
    assert [size // MB for size in found] == [entries, photos, output]


@pytest.mark.parametrize(
    ("entries", "photos", "written", "missing"),
    [((), (), 0, 67), (("a",), (), 0, 66), (("a", "b", "other"), ("p",), 0, 60), (("a", "b"), ("p",), 45, 15)],
)
def test_what_is_missing(entries: tuple[str, ...], photos: tuple[str, ...], written: int, missing: int) -> None:
    assert Need({"a": 1, "b": 2}, {"p": 4}, 60).missing(entries, photos, written) == missing


KEPT = [Kept(Path(name), size, used) for name, size, used in (("new", 5, 30.0), ("old", 10, 10.0), ("mid", 1, 20.0))]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [(0, []), (1, ["old"]), (10, ["old"]), (11, ["old", "mid"]), (16, ["old", "mid", "new"]), (17, None)],
)
def test_the_least_recently_used_go_first(wanted: int, names: list[str] | None) -> None:
    chosen = to_evict(KEPT, wanted)
    assert (None if chosen is None else [item.folder.name for item in chosen]) == names


@pytest.mark.parametrize(
    ("size", "said"), [(3.14e9, "3.14 GB"), (800e6, "800 MB"), (1.5e6, "1.5 MB"), (999, "1 kB"), (-5, "0 kB")]
)
def test_sizes_in_words(size: float, said: str) -> None:
    assert spoken_bytes(size) == said


ROOMY = 40 * MB


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def room(root: Path) -> Room:
    return Room(root, ROOMY)


@pytest.fixture
def workspace(root: Path) -> Workspace:
    """With three entries of 10 MB; the first one was used least recently."""
    workspace = Workspace(root, "engine-1.0", "photos0")
    workspace.runs.mkdir(parents=True)
    for age, name in enumerate(("d3", "d2", "d1")):
        folder = workspace.entry_folder(name)
        folder.mkdir(parents=True)
        (folder / "depth.exr").write_bytes(bytes(10 * MB))
        touch(folder)
        os.utime(mark_of(folder), (1e9 - age, 1e9 - age))
    return workspace


def reserved(
    room: Room, workspace: Workspace, token: str, *entries: str, output: int = 0
) -> AbstractContextManager[None]:
    return room.reserved(workspace, token, Need(dict.fromkeys(entries, 10 * MB), {}, output), lambda: None)


def entries(workspace: Workspace) -> set[str]:
    return {path.name for path in workspace.entries.iterdir() if path.is_dir()}


def test_nothing_goes_while_there_is_room(room: Room, workspace: Workspace) -> None:
    with reserved(room, workspace, "t", "d1", output=10 * MB):
        assert entries(workspace) == {"d1", "d2", "d3"}


def test_the_oldest_goes_and_no_more_than_is_needed(room: Room, workspace: Workspace) -> None:
    with reserved(room, workspace, "t", output=15 * MB):
        assert entries(workspace) == {"d2", "d3"}
    assert {path.name for path in workspace.entries.iterdir()} == {"d2", "d2.used", "d3", "d3.used"}


def test_what_the_step_itself_reads_stays(room: Room, workspace: Workspace) -> None:
    with reserved(room, workspace, "t", "d1", "d4", output=5 * MB):
        assert entries(workspace) == {"d1", "d3"}


def test_photos_go_as_a_whole_and_not_while_they_are_used(room: Room, workspace: Workspace) -> None:
    workspace.photos.mkdir()
    (workspace.photos / "0000_aaaaaaaa.jpg").write_bytes(bytes(8 * MB))
    touch(workspace.photos)
    os.utime(mark_of(workspace.photos), (1, 1))
    need = Need({}, {"0000_aaaaaaaa.jpg": 8 * MB}, 10 * MB)
    with room.reserved(workspace, "t", need, lambda: None):
        assert workspace.photos.is_dir()
        assert entries(workspace) == {"d2", "d3"}
    with reserved(room, workspace, "t2", output=18 * MB):
        assert not workspace.photos.exists()
        assert entries(workspace) == {"d2", "d3"}


def test_too_little_space_evicts_nothing_and_says_so(room: Room, workspace: Workspace) -> None:
    with (
        pytest.raises(WaitingForDisk, match=r"needs 52\.4 MB, 41\.9 MB free"),
        reserved(room, workspace, "t", output=50 * MB),
    ):
        pass
    assert entries(workspace) == {"d1", "d2", "d3"}


def test_what_is_promised_is_not_promised_again(room: Room, workspace: Workspace) -> None:
    with reserved(room, workspace, "t", output=25 * MB):
        with pytest.raises(WaitingForDisk), reserved(room, workspace, "t2", output=25 * MB):
            pass
        with reserved(room, workspace, "t2", output=5 * MB):
            pass
    with reserved(room, workspace, "t2", output=25 * MB):
        pass


def test_a_promise_that_was_kept_is_not_counted_twice(room: Room, workspace: Workspace) -> None:
    with reserved(room, workspace, "t", output=25 * MB), workspace.run_folder("t") as run:
        (run.path / "output").write_bytes(bytes(25 * MB))
        with reserved(room, workspace, "t2", output=15 * MB):
            pass
        with pytest.raises(WaitingForDisk), reserved(room, workspace, "t2", output=16 * MB):
            pass


def test_links_to_entries_take_no_room(room: Room, workspace: Workspace) -> None:
    with reserved(room, workspace, "t", "d1", "d2", "d3"), workspace.run_folder("t") as run:
        for name in ("d1", "d2", "d3"):
            run.link(workspace.entry_folder(name), name, "u")
        with reserved(room, workspace, "t2", output=10 * MB):
            pass


def test_the_file_system_counts_too(root: Path, workspace: Workspace) -> None:
    strict = Room(root, keep_free=1 << 60)
    with pytest.raises(WaitingForDisk, match=r"needs 1\.05 MB, 0 kB free"), reserved(strict, workspace, "t", output=MB):
        pass
    assert entries(workspace) == {"d1", "d2", "d3"}


def test_a_token_is_used_once(room: Room, workspace: Workspace) -> None:
    with reserved(room, workspace, "t"), pytest.raises(Conflict), reserved(room, workspace, "t"):
        pass


def test_waiting_for_the_ledger_can_be_stopped(room: Room, workspace: Workspace) -> None:
    def stop() -> None:
        raise JobCancelled("cancelled")

    with room._ledger(stop), pytest.raises(JobCancelled), room.reserved(workspace, "t", Need({}, {}, 0), stop):
        pass


def _die_with_room(room: Room, workspace: Workspace, ready: Any) -> None:
    with reserved(room, workspace, "dead", "d1", output=10 * MB), workspace.run_folder("dead") as run:
        (run.path / "output").write_bytes(bytes(5 * MB))
        (workspace.entries / ".d9.x.part").mkdir()
        ready.set()
        signal.pause()


def test_a_killed_process_loses_its_room(room: Room, workspace: Workspace) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    child = context.Process(target=_die_with_room, args=(room, workspace, ready))
    child.start()
    assert ready.wait(60)
    with pytest.raises(WaitingForDisk), reserved(room, workspace, "t", output=30 * MB):
        pass
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join(60)
    with reserved(room, workspace, "t", output=30 * MB):
        assert len(entries(workspace)) == 1
    assert list(workspace.runs.iterdir()) == []


def test_what_dead_processes_left_is_cleared_away(room: Room, workspace: Workspace) -> None:
    downloads = room.downloads("dead")
    for folder in (downloads, workspace.runs / "dead", workspace.entries / ".d9.x.part"):
        folder.mkdir(parents=True)
    (workspace.folder / ".photos.x.part").mkdir()
    assert room.clear_away() == 4
    assert list(downloads.parent.iterdir()) == []
    assert list(workspace.runs.iterdir()) == []
    assert entries(workspace) == {"d1", "d2", "d3"}


def test_what_the_living_have_half_done_stays(room: Room, workspace: Workspace) -> None:
    part = workspace.entries / ".d9.x.part"
    part.mkdir()
    with reserved(room, workspace, "t"), workspace.run_folder("t") as run:
        assert room.clear_away() == 0
        assert part.is_dir()
        assert run.path.is_dir()


def test_the_workspace_of_photos_that_nobody_has_goes_unless_a_step_is_at_work(
    room: Room, workspace: Workspace
) -> None:
    assert room.forget({"others"}) == 0
    with reserved(room, workspace, "t"):
        assert room.forget({workspace.photos_digest}) == 0
    assert workspace.folder.is_dir()
    assert room.forget({workspace.photos_digest}) == 1
    assert not workspace.folder.exists()
    assert list(room.downloads("any").parent.iterdir()) == []
    with reserved(room, workspace, "t"):
        assert not workspace.entries.exists(), "a job that comes back begins anew"


def test_what_vanishes_while_it_is_measured_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / "run" / name / "deep").mkdir(parents=True)
        (tmp_path / "run" / name / "deep" / "file").write_bytes(b"12345")
    lstat = Path.lstat

    def last_look(path: Path) -> os.stat_result:
        found = lstat(path)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return found

    monkeypatch.setattr(Path, "lstat", last_look)
    assert bytes_below(tmp_path / "run") == 5
