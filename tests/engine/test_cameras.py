"""What a client says of the camera reaches the plan, every uid, and the cameras that the engine starts from."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from meshroom_tasks.engine import Engine
from meshroom_tasks.engine.cameras import adapted_template, sensor_database
from meshroom_tasks.graph import PlannedGraph, node_inputs
from meshroom_tasks.jobs.records import NO_CAMERA, Camera

from .conftest import Recorder

PROJECT = Path(__file__).parents[2]
TEMPLATES = (PROJECT / "pipelines" / "draft.mg", PROJECT / "pipelines" / "2025.1" / "draft.mg")
VARIABLE = "${ALICEVISION_SENSOR_DB}"


@pytest.mark.parametrize("template", TEMPLATES, ids=["2023.3", "2025.1"])
@pytest.mark.parametrize(
    ("overrides", "camera", "inputs"),
    [
        ({}, NO_CAMERA, None),
        ({"Texturing_1": {"textureSide": 4096}}, NO_CAMERA, None),
        ({}, Camera(field_of_view_degrees=60), {"defaultFieldOfView": 60.0}),
        ({}, Camera(sensor_width_mm=6.17), {"sensorDatabase": VARIABLE}),
        ({}, Camera(60, 6.17), {"defaultFieldOfView": 60.0, "sensorDatabase": VARIABLE}),
        ({"CameraInit_1": {"defaultFieldOfView": 70}}, NO_CAMERA, {"defaultFieldOfView": 70}),
        ({"CameraInit_1": {"defaultFieldOfView": 70}}, Camera(60), {"defaultFieldOfView": 60.0}),
    ],
)
def test_the_template_of_a_job(
    template: Path, overrides: Mapping[str, Any], camera: Camera, inputs: dict[str, Any] | None
) -> None:
    before = json.loads(template.read_text())
    text = adapted_template(template.read_text(), overrides, camera)
    if inputs is None:
        assert text is None
        return
    assert text is not None
    after = json.loads(text)
    changed = after["graph"].pop("CameraInit_1")
    unchanged = before["graph"].pop("CameraInit_1")
    assert after == before
    assert changed["inputs"] == {**unchanged["inputs"], **inputs}
    assert changed["internalInputs"]["invalidation"].isalnum()


def test_a_mark_for_all_that_is_said_and_beside_the_templates_own() -> None:
    document = json.loads(TEMPLATES[0].read_text())
    document["graph"]["CameraInit_1"]["internalInputs"] = {"invalidation": "ours", "comment": "kept"}

    def mark(overrides: Mapping[str, Any], camera: Camera) -> str:
        text = adapted_template(json.dumps(document), overrides, camera)
        assert text is not None
        internal = json.loads(text)["graph"]["CameraInit_1"]["internalInputs"]
        assert internal["comment"] == "kept"
        assert internal["invalidation"].startswith("ours ")
        return str(internal["invalidation"])

    said = [({}, Camera(60)), ({}, Camera(61)), ({}, Camera(None, 60)), ({}, Camera(60, 60))]
    said += [({"CameraInit_1": {"groupCameraFallback": "image"}}, NO_CAMERA)]
    assert len({mark(*each) for each in said}) == len(said)
    assert mark({"CameraInit_1": {"defaultFieldOfView": 60.0}}, NO_CAMERA) == mark({}, Camera(60)), "the same, once"


def test_a_sensor_database_keeps_its_form_whatever_cameras_are_called() -> None:
    written = sensor_database([("Acme", "Phone; 7\n#2"), ("", "X")], 6.17)
    assert written == "Acme;Phone  7  2;6.17;client\n;X;6.17;client\n"


# With the embedded engine


class Site:
    def __init__(self, root: Path, **tags: Any) -> None:
        self.root, self.watch = root, Recorder()
        commands = (
            (sys.executable, "-m", f"meshroom_tasks.cpu_engine.meshroom_{name}") for name in ("batch", "compute")
        )
        self.engine = Engine(*commands, environment={"PYTHONPATH": str(PROJECT)})
        (root / "photos").mkdir()
        exif = Image.Exif()
        for name, value in tags.items():
            (exif.get_ifd(ExifTags.IFD.Exif) if name == "FocalLength" else exif)[ExifTags.Base[name]] = value
        for index in range(3):
            Image.new("RGB", (60, 80), (index * 40, 80, 80)).save(root / "photos" / f"{index}.jpg", exif=exif)

    def plan(self, name: str, camera: Camera = NO_CAMERA, **settings: Any) -> PlannedGraph:
        (self.root / name).mkdir()
        return self.engine.plan(
            photos=self.root / "photos",
            template=TEMPLATES[0],
            folder=self.root / name,
            overrides=settings,
            watch=self.watch,
            time_limit=300,
            camera=camera,
        )

    def focal(self, name: str, graph: PlannedGraph) -> float:
        """Computes CameraInit; in pixels, along the longer side of 80."""
        stage = graph.stage("CameraInit_1")
        wanted = {"stage": stage.name, "node_type": stage.node_type, "uid": stage.uid, "chunk": None}
        self.engine.compute(folder=self.root / name, watch=self.watch, time_limit=300, **wanted)
        written = self.root / name / "MeshroomCache" / "CameraInit" / stage.uid / "cameraInit.sfm"
        (intrinsic,) = json.loads(written.read_text())["intrinsics"]
        return float(intrinsic["focalLength"]) / float(intrinsic["sensorWidth"]) * 60


def uids(graph: PlannedGraph) -> set[str]:
    return {stage.uid for stage in graph.stages}


def test_a_field_of_view(tmp_path: Path) -> None:
    site = Site(tmp_path)
    wide, narrow = site.plan("wide", Camera(90)), site.plan("narrow", Camera(53.130102))
    assert not uids(wide) & uids(narrow), "neither job takes what was computed for the other"
    assert site.focal("wide", wide) == pytest.approx(40)
    assert site.focal("narrow", narrow) == pytest.approx(80)
    assert any("'0.jpg' focal length (in mm) metadata is missing" in line for line in site.watch.lines)
    as_setting = site.plan("setting", CameraInit={"defaultFieldOfView": 90.0}, Texturing={"textureSide": 1024})
    assert as_setting.stage("CameraInit_1").uid == wide.stage("CameraInit_1").uid
    text = (tmp_path / "setting" / "p.mg").read_text()
    assert node_inputs(text, "Texturing_1")["textureSide"] == 1024, "other settings go their usual way"


def test_a_sensor_width(tmp_path: Path) -> None:
    site = Site(tmp_path, Make="Acme", Model="Phone; 7", FocalLength=4.0)
    plain, small, large = site.plan("plain"), site.plan("small", Camera(None, 6.4)), site.plan("large", Camera(None, 8))
    assert len(uids(plain) | uids(small) | uids(large)) == 3 * len(uids(plain))
    assert site.focal("small", small) == pytest.approx(4 / 6.4 * 80)
    assert site.focal("large", large) == pytest.approx(4 / 8 * 80)
    text = (tmp_path / "small" / "p.mg").read_text()
    assert node_inputs(text, "CameraInit_1")["sensorDatabase"] == VARIABLE
    assert "sensors.db" not in text, "the graph says nothing of this worker's files"
