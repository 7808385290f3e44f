"""The test engine itself: other tests rest on what it checks and records."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.scripted_engine import commands, environment, overlapping, read_ledger

DEFAULT = Path(__file__).parents[1] / "pipelines" / "default.mg"
BATCH, COMPUTE = commands()


class Workbench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script: dict[str, Any] = {}
        (folder / "photos").mkdir()
        for name in ("b.jpg", "a.jpg", "notes.txt"):
            (folder / "photos" / name).touch()

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        surroundings = {**os.environ, **environment(self.script, self.folder / "ledger")}
        return subprocess.run(command, env=surroundings, capture_output=True, text=True)

    def plan(self, **overrides: Any) -> dict[str, Any]:
        (self.folder / "overrides.json").write_text(json.dumps(overrides))
        arguments = ["--input", str(self.folder / "photos"), "--pipeline", str(DEFAULT), "--compute", "no"]
        arguments += ["--save", str(self.folder / "p.mg"), "--overrides", str(self.folder / "overrides.json")]
        done = self.call(*BATCH, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads((self.folder / "p.mg").read_text())["graph"])

    def compute(self, node: str, *more: str) -> int:
        return self.call(*COMPUTE, str(self.folder / "p.mg"), "--node", node, *more).returncode

    def log(self, node_type: str, name: str = "log") -> str:
        return next((self.folder / "MeshroomCache" / node_type).glob(f"*/{name}")).read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


def test_views_are_the_photos_in_order(bench: Workbench) -> None:
    views = bench.plan()["CameraInit_1"]["inputs"]["viewpoints"]
    assert [Path(view["path"]).name for view in views] == ["a.jpg", "b.jpg"]


def test_uids_follow_photos_and_attributes(bench: Workbench) -> None:
    def uids(graph: dict[str, Any]) -> dict[str, str]:
        return {name: node["uids"]["0"] for name, node in graph.items()}

    plain = uids(bench.plan())
    assert plain == uids(bench.plan())
    changed = uids(bench.plan(DepthMap_1={"downscale": 4}))
    assert {name for name in plain if plain[name] != changed[name]} == {
        f"{name}_1" for name in ("DepthMap", "DepthMapFilter", "Meshing", "MeshFiltering", "Texturing")
    }
    (bench.folder / "photos" / "c.jpg").touch()
    assert not set(plain.values()) & set(uids(bench.plan()).values())


def test_a_folder_that_it_does_not_read_is_refused(bench: Workbench) -> None:
    bench.plan()
    (bench.folder / "MeshroomCache" / "Texturing" / "abc").mkdir(parents=True)
    assert bench.compute("CameraInit_1") == 1
    assert "Unexpected folder in the cache: Texturing/abc" in bench.log("CameraInit")


def test_a_missing_photo_is_refused(bench: Workbench) -> None:
    bench.plan()
    (bench.folder / "photos" / "a.jpg").unlink()
    assert bench.compute("CameraInit_1") == 1
    assert "Can't open image file" in bench.log("CameraInit")


def test_an_incomplete_read_set_is_refused(bench: Workbench) -> None:
    bench.plan()
    assert bench.compute("CameraInit_1") == 0
    next(bench.folder.glob("MeshroomCache/CameraInit/*/0.done")).unlink()
    assert bench.compute("FeatureExtraction_1", "--iteration", "0") == 1
    assert "region files (chunk 0 of CameraInit_1)" in bench.log("FeatureExtraction", "0.log")


def test_files_follow_from_uid_and_chunk_unless_random(bench: Workbench) -> None:
    bench.plan()
    file = bench.folder / "extra.bin"

    def written(random: bool) -> bytes:
        bench.script = {"stages": [{"write": {"extra.bin": 1000}, "random": random}]}
        assert bench.compute("CameraInit_1") == 0
        return next(bench.folder.glob(f"MeshroomCache/CameraInit/*/{file.name}")).read_bytes()

    first = written(random=False)
    assert len(first) == 1000
    assert written(random=False) == first
    assert written(random=True) != written(random=True)


def test_files_follow_from_every_byte_that_is_read_when_told(bench: Workbench) -> None:
    graph = bench.plan()
    bench.script = {"stages": [{"from_inputs": True}]}

    def written(node: str, *more: str) -> dict[str, bytes]:
        assert bench.compute(node, *more) == 0
        folder = bench.folder / "MeshroomCache" / graph[node]["nodeType"] / graph[node]["uids"]["0"]
        kept = {".desc", ".feat", ".done"}
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in kept}

    written("CameraInit_1")
    cameras = next((bench.folder / "MeshroomCache" / "CameraInit").iterdir())
    last = written("FeatureExtraction_1", "--iteration", "0")
    assert len(last) == 5
    for file in (cameras / "cameraInit.sfm", cameras / "0.done", bench.folder / "photos" / "a.jpg"):
        file.write_bytes(file.read_bytes() + b"x")
        changed = written("FeatureExtraction_1", "--iteration", "0")
        assert all(changed[name] != last[name] for name in last), file
        last = changed
    for name in ("status", "log"):
        (cameras / name).write_text("of another time")
    assert written("FeatureExtraction_1", "--iteration", "0") == last


def test_the_ledger_counts_attempts_and_sees_overlaps(bench: Workbench) -> None:
    bench.plan()
    bench.script = {"stages": [{"attempts": [1], "hang": True}]}
    surroundings = {**os.environ, **environment(bench.script, bench.folder / "ledger")}
    command = (*COMPUTE, str(bench.folder / "p.mg"), "--node", "CameraInit_1")
    with subprocess.Popen(command, env=surroundings, start_new_session=True) as first:
        try:
            while not read_ledger(bench.folder / "ledger"):
                time.sleep(0.01)
            assert bench.compute("CameraInit_1") == 0
        finally:
            os.killpg(first.pid, 9)
    assert bench.compute("CameraInit_1") == 0
    runs = read_ledger(bench.folder / "ledger")
    assert [run.attempt for run in runs] == [1, 2, 3]
    assert [run.exit for run in runs] == [None, 0, 0]
    assert [run.overlaps for run in runs] == [(), (first.pid,), ()]
    assert overlapping(runs) == [runs[1]]


def test_a_process_that_a_killed_run_left_behind_is_an_overlap_too(bench: Workbench) -> None:
    bench.plan()
    bench.script = {"stages": [{"attempts": [1], "suicide": 9, "hang": True}]}
    surroundings = {**os.environ, **environment(bench.script, bench.folder / "ledger")}
    command = (*COMPUTE, str(bench.folder / "p.mg"), "--node", "CameraInit_1")
    with subprocess.Popen(command, env=surroundings, start_new_session=True) as first:
        try:
            assert first.wait() == -9
            assert bench.compute("CameraInit_1") == 0
        finally:
            os.killpg(first.pid, 9)
    assert [run.overlaps for run in read_ledger(bench.folder / "ledger")] == [(), (first.pid,)]
