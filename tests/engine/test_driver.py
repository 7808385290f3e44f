"""The driver on the test engine: planning, computing each chunk by itself, and what failures turn into."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from PIL import Image

from meshroom_tasks import cpu_engine, errors
from meshroom_tasks.engine import Engine
from meshroom_tasks.settings import PROJECT
from tests.engine.conftest import DEFAULT, Project
from tests.scripted_engine import commands, overlapping


def test_a_whole_job_chunk_by_chunk(project: Project) -> None:
    """Each chunk runs in a folder that holds exactly its read-set; the engine refuses less and more."""
    project.script = {"block_sizes": {"FeatureExtraction": 2, "DepthMap": 3}}
    graph = project.plan()
    assert {stage.name: stage.chunk_count for stage in graph.stages if stage.chunk_count > 1} == {
        "FeatureExtraction_1": 3,
        "DepthMap_1": 2,
    }
    for stage in graph.stages:
        for chunk in range(stage.chunk_count):
            usage = project.compute(graph, stage.name, chunk)
            assert 0 < usage.cpu_seconds < usage.wall_seconds * 4
            assert usage.peak_bytes > 1_000_000
    textured = project.done(graph.stage("Texturing_1"))
    assert (textured / "texture_1001.png").read_bytes().startswith(b"\x89PNG")
    assert "map_Kd texture_1001.png" in (textured / "texturedMesh.mtl").read_text()
    stats = json.loads((project.done(graph.stage("StructureFromMotion_1")) / "stats.json").read_text())
    assert stats["sfm"]["poses"] == "5"
    runs = project.ledger()
    assert len(runs) == sum(stage.chunk_count for stage in graph.stages)
    assert all(run.exit == 0 for run in runs)
    assert overlapping(runs) == []
    assert project.processes() == []


def test_a_missing_input_is_a_handoff_error(project: Project) -> None:
    graph = project.plan()
    stage = graph.stage("FeatureExtraction_1")
    project.done(graph.stage("CameraInit_1")).mkdir(parents=True)
    with pytest.raises(errors.HandoffIncomplete, match="did not find all files") as failure:
        project.compute(graph, stage.name)
    assert "region files" in failure.value.log_tail[-1]


def test_a_missing_graph_is_a_handoff_error(project: Project) -> None:
    graph = project.plan()
    (project.root / "plan" / "p.mg").write_text('{"graph": {"Other_1": {"nodeType": "Other", "uid": "ab"}}}')
    with pytest.raises(errors.HandoffIncomplete, match="graph of CameraInit_1"):
        project.compute(graph, "CameraInit_1")


# Planning


def test_overrides_reach_the_graph_and_change_only_what_is_downstream(project: Project) -> None:
    plain = project.plan()
    graph = project.plan({"Meshing": {"maxPoints": 1000}, "Texturing_1": {"colorMapping": {"enable": False}}})
    changed = {stage.name for stage in graph.stages if stage.uid != plain.stage(stage.name).uid}
    assert changed == {"Meshing_1", "MeshFiltering_1", "Texturing_1"}
    planned = json.loads((project.root / "plan" / "p.mg").read_text())["graph"]
    assert planned["Meshing_1"]["inputs"]["maxPoints"] == 1000
    assert planned["Texturing_1"]["inputs"]["colorMapping"] == {"enable": False, "colorMappingFileType": "png"}


@pytest.mark.parametrize(
    ("plan", "error", "says"),
    [
        (
            {"fail": {"exit": 1, "lines": ["Invalid setting: Meshing.maxPoints: at most 5"]}},
            errors.SettingInvalid,
            "at most 5",
        ),
        (
            {"fail": {"lines": ["Traceback", 'ValueError: ChoiceParam value "x" is not in "[\'low\']".']}},
            errors.SettingInvalid,
            'value "x" is not in',
        ),
        ({"fail": {"exit": 3, "lines": ["[error] no photos"]}}, errors.EngineError, "planning failed: no photos"),
        ({"fail": {"exit": 0}}, errors.EngineError, "no readable graph"),
        ({"hang": True}, errors.EngineTimeout, "time limit of 0.5 s"),
    ],
)
def test_planning_fails(project: Project, plan: dict[str, Any], error: type[Exception], says: str) -> None:
    project.script = {"plan": plan}
    with pytest.raises(error, match=says):
        project.plan(time_limit=0.5 if "hang" in plan else 300)
    assert project.processes() == []


def test_an_unknown_node_is_refused_before_anything_is_started(project: Project) -> None:
    with pytest.raises(errors.SettingInvalid, match="DepthMap_7"):
        project.plan({"DepthMap_7": {"downscale": 2}})


# Log and progress


def test_lines_and_progress(project: Project) -> None:
    project.script = {"stages": [{"stdout": [" - commandLine: x"], "lines": ["hello"], "sleep": 2.0}]}
    project.compute(project.plan(), "CameraInit_1")
    assert "hello" in project.watch.lines
    assert " - commandLine: x" in project.watch.lines
    assert [line for line in project.watch.lines if "slept" in line] == [f"[{k}/10] slept" for k in range(1, 11)]
    fractions = project.watch.fractions
    assert fractions == sorted(set(fractions))
    assert len(fractions) >= 3, "progress comes while the stage runs"
    assert fractions[-1] == 0.99


def test_a_log_that_the_command_repeats_is_passed_on_once(project: Project) -> None:
    log = [f"line {number}" for number in range(30)]
    project.script = {"stages": [{"fail": {"lines": log}}]}
    with pytest.raises(errors.EngineError):
        project.compute(project.plan(), "CameraInit_1")
    assert 'RuntimeError: Error on node "CameraInit_1":' in project.watch.lines
    assert [line for line in project.watch.lines if line.startswith("line")] == log


def test_cpu_time_and_memory_are_those_of_the_whole_tree(project: Project) -> None:
    project.script = {"stages": [{"spin": 0.4, "memory": 80_000_000}]}
    usage = project.compute(project.plan(), "CameraInit_1")
    assert 0.4 <= usage.cpu_seconds < 2
    assert usage.peak_bytes > 80_000_000


# Failures


@pytest.mark.parametrize(
    ("rule", "error", "says"),
    [
        ({"fail": {"lines": ["No valid tracks."]}}, errors.PhotosWithoutOverlap, "CameraInit .*70 %"),
        ({"fail": {"return_code": -9}}, errors.EngineKilled, "memory"),
        ({"signal": 9}, errors.EngineKilled, "memory"),
        ({"signal": 11}, errors.EngineCrashed, "SIGSEGV"),
        ({"suicide": 9}, errors.EngineKilled, "killed"),
        ({"fail": {"exit": 255}}, errors.EngineError, "refused its arguments"),
        ({"fail": {"exit": 1, "lines": ["[12:00][error] lens broken."]}}, errors.EngineError, "failed: lens broken"),
        ({"fail": {"exit": 1}}, errors.EngineError, "exit code 1"),
        ({"no_output": True}, errors.EngineError, "left no status"),
        ({"status": "RUNNING"}, errors.EngineError, "status is RUNNING"),
        ({"status": None}, errors.EngineError, "left no status"),
    ],
)
def test_a_stage_fails(project: Project, rule: dict[str, Any], error: type[Exception], says: str) -> None:
    project.script = {"stages": [rule]}
    with pytest.raises(error, match=says):
        project.compute(project.plan(), "CameraInit_1")
    assert project.processes() == []


def test_a_long_log_keeps_its_reason_and_its_end(project: Project) -> None:
    lines = ["No valid tracks.", *(f"line {number}" for number in range(5000))]
    project.script = {"stages": [{"fail": {"lines": lines}}]}
    with pytest.raises(errors.PhotosWithoutOverlap) as failure:
        project.compute(project.plan(), "CameraInit_1")
    assert failure.value.log_tail == tuple(lines[-50:])
    assert len([line for line in project.watch.lines if line.startswith("line")]) == 5000


def test_a_stage_that_fails_once(project: Project) -> None:
    project.script = {"stages": [{"attempts": [1], "fail": {"lines": ["[error] bad luck"]}}]}
    graph = project.plan()
    with pytest.raises(errors.EngineError, match="bad luck"):
        project.compute(graph, "CameraInit_1")
    project.compute(graph, "CameraInit_1")
    assert [run.exit for run in project.ledger()] == [1, 0]


# Who the engine is


def test_identity_from_the_engine(project: Project) -> None:
    project.script = {"version": "3.1"}
    assert project.engine.identity() == "scripted-engine-3.1"


def test_identity_from_the_setting() -> None:
    assert Engine(*commands(), version="meshroom 2023.3.0").identity() == "meshroom-2023.3.0"


def test_identity_from_the_content(project: Project) -> None:
    project.script = {"version": None}
    name = project.engine.identity()
    assert name == project.engine.identity()
    assert name.startswith("python")
    assert len(name.rpartition("-")[2]) == 8


def test_a_command_that_is_not_there(project: Project) -> None:
    engine = Engine(("no-such-command",), ("no-such-command",), version="1")
    with pytest.raises(errors.EngineNotFound, match="no-such-command"):
        engine.identity()
    with pytest.raises(errors.EngineNotFound):
        engine.plan(
            photos=project.root,
            template=project.root,
            folder=project.root,
            overrides={},
            watch=project.watch,
            time_limit=1,
        )


def test_a_command_that_cannot_be_executed(project: Project) -> None:
    program = project.root / "broken"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    graph = project.plan()
    engine = Engine(commands()[0], (str(program),))
    folder = project.prepare(graph, graph.stage("CameraInit_1"))
    with pytest.raises(errors.EngineNotFound, match="cannot be executed"):
        engine.compute(
            folder=folder,
            stage="CameraInit_1",
            node_type="CameraInit",
            uid=graph.stage("CameraInit_1").uid,
            chunk=None,
            watch=project.watch,
            time_limit=60,
        )


# The other engine


def test_the_embedded_engine_plans_the_default_pipeline(project: Project) -> None:
    """The same template and the same read-sets, whichever engine plans."""
    for index in range(5):
        photo = Image.new("RGB", (64, 48), (index * 40, 80, 80))
        photo.save(project.root / "photos" / f"{index:04d}.jpg")
    scripted = project.plan()
    planner, computer = (
        (sys.executable, "-m", f"meshroom_tasks.cpu_engine.meshroom_{name}") for name in ("batch", "compute")
    )
    engine = Engine(planner, computer, environment={"PYTHONPATH": str(PROJECT)})
    assert engine.identity() == f"cpu-engine-{cpu_engine.__version__}"
    folder = project.root / "embedded"
    folder.mkdir()
    wanted = {"photos": project.root / "photos", "template": DEFAULT, "folder": folder}
    limits = {"watch": project.watch, "time_limit": 300.0}
    graph = engine.plan(**wanted, **limits, overrides={"FeatureExtraction": {"describerPreset": "low"}})
    assert [(stage.name, stage.node_type, stage.reads, stage.chunked) for stage in graph.stages] == [
        (stage.name, stage.node_type, stage.reads, stage.chunked) for stage in scripted.stages
    ]
    with pytest.raises(errors.SettingInvalid, match="describerPreset"):
        engine.plan(**wanted, **limits, overrides={"FeatureExtraction": {"describerPreset": "huge"}})
