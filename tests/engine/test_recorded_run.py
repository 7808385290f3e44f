"""A real run of Meshroom 2023.3, replayed: what the service makes of its graph, status files, logs and errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks import errors
from meshroom_tasks.engine import Engine
from meshroom_tasks.engine.status import read_status
from meshroom_tasks.graph import PlannedGraph, node_inputs
from meshroom_tasks.registration import Registration, of_figures
from meshroom_tasks.relief import lower_settings
from tests import recorded_engine
from tests.engine.conftest import DEFAULT, Recorder

ORDER = [
    ("CameraInit_1", 1),
    ("FeatureExtraction_1", 1),
    ("ImageMatching_1", 1),
    ("FeatureMatching_1", 2),
    ("StructureFromMotion_1", 1),
    ("PrepareDenseScene_1", 1),
    ("Meshing_1", 1),
    ("MeshFiltering_1", 1),
    ("Texturing_1", 1),
    ("Publish_1", 1),
]


class Replay:
    def __init__(self, folder: Path, failure: Mapping[str, Any] | None = None) -> None:
        command = (sys.executable, "-S", "-E", recorded_engine.__file__)
        environment = {"RECORDED_FAILURE": json.dumps(failure)} if failure else {}
        self.folder, self.watch = folder, Recorder()
        self.engine = Engine((*command, "batch"), (*command, "compute"), version="2023.3.0", environment=environment)

    def plan(self) -> PlannedGraph:
        return self.engine.plan(
            photos=self.folder, template=DEFAULT, folder=self.folder, overrides={}, watch=self.watch, time_limit=60
        )

    def compute(self, graph: PlannedGraph, name: str, chunk: int = 0) -> Path:
        stage = graph.stage(name)
        self.engine.compute(
            folder=self.folder,
            stage=name,
            node_type=stage.node_type,
            uid=stage.uid,
            chunk=chunk if stage.chunked else None,
            watch=self.watch,
            time_limit=60,
        )
        return self.folder / "MeshroomCache" / stage.node_type / stage.uid


def test_the_whole_run(tmp_path: Path) -> None:
    replay = Replay(tmp_path)
    graph = replay.plan()
    assert sorted((stage.name, stage.chunk_count) for stage in graph.stages) == sorted(ORDER)
    for stage in graph.stages:
        for chunk in range(stage.chunk_count):
            replay.watch = Recorder()
            folder = replay.compute(graph, stage.name, chunk)
            prefix = f"{chunk}." if stage.chunked else ""
            recorded = recorded_engine.RECORDED / folder.relative_to(tmp_path)
            status = read_status(folder / f"{prefix}status")
            assert status is not None
            assert (status.state, status.return_code) == ("SUCCESS", None if stage.node_type == "Publish" else 0)
            log = (recorded / f"{prefix}log").read_text(errors="replace").splitlines()
            assert len(replay.watch.lines) == len(log), "each line once, though it came in parts"
            assert replay.watch.fractions == sorted(replay.watch.fractions)
            assert all(0 < fraction < 1 for fraction in replay.watch.fractions)
    sfm = next((tmp_path / "MeshroomCache/StructureFromMotion").glob("*/stats.json"))
    assert of_figures(json.loads(sfm.read_text())) == Registration(23, 23)


NO_TRACKS = ["[14:57:20.158492][error] No valid tracks."]
FAILURES = [
    ("StructureFromMotion_1", NO_TRACKS, 1, errors.PhotosWithoutOverlap),
    (
        "StructureFromMotion_1",
        ["terminate called after throwing an instance of 'std::bad_alloc'"],
        -6,
        errors.MemoryExhausted,
    ),
    (
        "FeatureExtraction_1",
        ["[error] This program needs a CUDA-Enabled GPU (with at least 2.0)."],
        1,
        errors.GpuMissing,
    ),
    (
        "CameraInit_1",
        ["[error] At least one image should have an initialized intrinsic."],
        1,
        errors.PhotosWithoutCalibration,
    ),
    ("Meshing_1", ["[info] Found 0 image dimension(s): "], 1, errors.TooFewCameras),
    ("Meshing_1", ["[error] No valid mesh was generated."], 1, errors.NoSurface),
    ("Texturing_1", ["[error] Error: empty mesh from the file mesh.obj"], 1, errors.NoSurface),
    ("PrepareDenseScene_1", ["[error] Can't find view 1 region files"], 1, errors.HandoffIncomplete),
    ("Texturing_1", [], -9, errors.EngineKilled),
    ("Meshing_1", [], -11, errors.EngineCrashed),
]


@pytest.mark.parametrize(("name", "lines", "return_code", "error"), FAILURES)
def test_a_stage_that_breaks_off(
    tmp_path: Path, name: str, lines: list[str], return_code: int, error: type[errors.ServiceError]
) -> None:
    replay = Replay(tmp_path, {"node": name, "lines": lines, "return_code": return_code})
    graph = replay.plan()
    with pytest.raises(error) as failure:
        replay.compute(graph, name)
    assert type(failure.value) is error
    assert failure.value.message.startswith(name.removesuffix("_1"))
    (log,) = (tmp_path / "MeshroomCache").glob("*/*/*log")
    told = [line for line in log.read_text().splitlines() if line.strip()]
    assert list(failure.value.log_tail) == told[-50:]
    assert told[len(told) - len(lines) :] == lines


def test_what_a_stage_would_be_lowered_to_stands_in_the_real_graph() -> None:
    text = (recorded_engine.RECORDED / "photogrammetry-gpu-planned.mg").read_text()
    found = {}
    for name in ("DepthMap", "Meshing", "Texturing", "FeatureExtraction"):
        adjustment = lower_settings(f"{name}_1", name, node_inputs(text, f"{name}_1"), errors.MemoryExhausted.code)
        assert adjustment is not None
        found[name] = dict(adjustment.values)
    assert found["DepthMap"] == {"downscale": 4}
    assert found["Meshing"] == {"maxInputPoints": 25_000_000, "maxPoints": 2_500_000}
    assert found["Texturing"] == {"textureSide": 4096}
    assert found["FeatureExtraction"] == {"describerPreset": "medium"}
