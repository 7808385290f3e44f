from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.errors import Conflict, EngineError, HandoffIncomplete
from meshroom_tasks.handoff import Workspace
from meshroom_tasks.handoff.refetching import distrusting
from meshroom_tasks.jobs.records import ReadItem
from tests.handoff.conftest import files_of


def test_the_layout(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "Meshroom-2023.3.0", "abc")
    assert workspace.photos == tmp_path / "Meshroom-2023.3.0" / "abc" / "photos"
    with workspace.run_folder("t1") as run:
        assert run.path == tmp_path / "Meshroom-2023.3.0" / "abc" / "runs" / "t1"
        assert run.graph == run.path / "p.mg"
        assert run.stage_folder("SfM", "u") == run.path / "MeshroomCache" / "SfM" / "u"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", ".a", "a\0"])
def test_names_that_leave_the_workspace(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="workspace folder"):
        Workspace(tmp_path, name, "abc")
    workspace = Workspace(tmp_path, "e", "abc")
    with pytest.raises(ValueError, match="workspace folder"), workspace.run_folder(name):
        pass


def test_a_run_folder_goes_even_on_error(workspace: Workspace) -> None:
    with pytest.raises(RuntimeError), workspace.run_folder("t") as run:
        (run.cache / "x").mkdir()
        (run.cache / "x" / "y").write_text("z")
        raise RuntimeError
    assert list(workspace.runs.iterdir()) == []


def test_a_living_run_is_not_shared(workspace: Workspace) -> None:
    with workspace.run_folder("t") as run:
        with pytest.raises(Conflict), workspace.run_folder("t"):
            pass
        assert run.path.is_dir()
        assert workspace.remove_dead_runs() == 0


def _die_in_a_run(workspace: Workspace, ready: Any) -> None:
    with workspace.run_folder("dead") as run:
        run.graph.write_text("{}")
        ready.set()
        os.kill(os.getpid(), signal.SIGKILL)


def test_dead_runs_are_removed(workspace: Workspace) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    child = context.Process(target=_die_in_a_run, args=(workspace, ready))
    child.start()
    assert ready.wait(120)
    child.join(120)
    assert (workspace.runs / "dead" / "p.mg").exists()
    with workspace.run_folder("alive") as run:
        assert workspace.remove_dead_runs() == 1
        assert run.path.is_dir()
        assert not (workspace.runs / "dead").exists()


def test_chunks_merge_and_bookkeeping_stays_out(workspace: Workspace, tmp_path: Path) -> None:
    first, second = tmp_path / "e1", tmp_path / "e2"
    for chunk, entry in enumerate((first, second)):
        (entry / "sub").mkdir(parents=True)
        for name in (f"{chunk}.status", f"{chunk}.log", f"{chunk}.statistics", "status", "log", "statistics"):
            (entry / name).write_text("state")
        (entry / f"{chunk}_depthMap.exr").write_text(f"depth {chunk}")
        (entry / "stats.json").write_text(f"{chunk}")
        (entry / "sub" / "log").write_text("not bookkeeping")
    with workspace.run_folder("t") as run:
        run.link(first, "DepthMap", "u")
        run.link(second, "DepthMap", "u")
        assert files_of(run.stage_folder("DepthMap", "u")) == {
            "0_depthMap.exr": b"depth 0",
            "1_depthMap.exr": b"depth 1",
            "stats.json": b"0",
            "sub/log": b"not bookkeeping",
        }
        linked = run.stage_folder("DepthMap", "u") / "0_depthMap.exr"
        assert linked.stat().st_ino == (first / "0_depthMap.exr").stat().st_ino
    assert (first / "0_depthMap.exr").read_text() == "depth 0", "removing the run must not remove the entry"


def test_where_hard_links_do_not_work_files_are_copied(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "x").write_text("content")
    with workspace.run_folder("t") as run:
        run.link(tmp_path / "e", "N", "u")
        run.link(tmp_path / "e", "N", "u")
        assert files_of(run.stage_folder("N", "u")) == {"x": b"content"}


def test_linking_what_is_not_there(workspace: Workspace, tmp_path: Path) -> None:
    with workspace.run_folder("t") as run, pytest.raises(HandoffIncomplete):
        run.link(tmp_path / "nothing", "N", "u")


def test_adopting_moves_the_folder_once(workspace: Workspace, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    entry = workspace.adopt(tmp_path / "a", "d" * 64)
    assert workspace.adopt(tmp_path / "b", "d" * 64) == entry == workspace.entry_folder("d" * 64)
    assert files_of(entry) == {"x": b"a"}


def test_what_a_stage_missed_is_fetched_anew(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "engine", "digest")
    read = ReadItem("Init", "uid", 0, "aa", "key")
    for digest in ("aa", "bb"):
        workspace.entry_folder(digest).mkdir(parents=True)
    with pytest.raises(EngineError), distrusting(workspace, [read]):
        raise EngineError("another failure")
    assert workspace.entry_folder("aa").is_dir()
    with pytest.raises(HandoffIncomplete), distrusting(workspace, [read, replace(read, digest="cc")]):
        raise HandoffIncomplete("a file is not there")
    assert sorted(path.name for path in workspace.entries.iterdir()) == ["bb"]
