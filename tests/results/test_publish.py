from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from meshroom_tasks.errors import HandoffIncomplete, NoSurface
from meshroom_tasks.jobs.records import ChunkView, StageView, Usage
from meshroom_tasks.results import ResultInputs, publish, result_key
from meshroom_tasks.results.report import read_figures, sfm_figures, stage_costs, total_cost
from meshroom_tasks.storage import LocalStorage
from tests.results.conftest import PLACE, write_texturing


def _stage(name: str, *usages: tuple[Usage | None, bool]) -> StageView:
    chunks = tuple(
        ChunkView(index, "done", 1, cached, 1.0, "w", None, None, usage) for index, (usage, cached) in enumerate(usages)
    )
    return StageView(name, name.rpartition("_")[0], "done", 1.0, all(cached for _, cached in usages), chunks)


@pytest.fixture
def inputs(texturing: Path, sfm: Path) -> ResultInputs:
    return ResultInputs(
        job_id="j1",
        folders={"StructureFromMotion_1": sfm, "Texturing_1": texturing},
        stages=(
            _stage("StructureFromMotion_1", (Usage(4.0, 6.0, 300), True)),
            _stage("DepthMap_1", (Usage(10.0, 18.5, 500), False), (Usage(12.0, 20.0, 400), False)),
            _stage("Texturing_1", (Usage(1.0, 2.0, 900), False)),
        ),
        photos=3,
        engine="cpu-1.0",
        settings={"Texturing": {"textureSide": 1024}},
        versions={"numpy": "2"},
        warnings=({"code": "duplicate", "message": "photo 2 equals photo 1"},),
    )


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "objects")


def test_everything_is_published(inputs: ResultInputs, storage: LocalStorage, tmp_path: Path) -> None:
    moved: list[int] = []
    published = publish(inputs, tmp_path / "made", storage, progress=moved.append)
    assert [(file.name, file.media_type) for file in published.files] == [
        ("texturedMesh.obj", "model/obj"),
        ("texturedMesh.mtl", "model/mtl"),
        ("texture_1001.png", "image/png"),
        ("texture_1002.png", "image/png"),
        ("model.glb", "model/gltf-binary"),
        ("preview.png", "image/png"),
        ("report.json", "application/json"),
        ("cameras.sfm", "application/json"),
    ]
    for file in published.files:
        data = storage.get_bytes(file.key)
        assert file.key == result_key("j1", file.name) == f"results/j1/{file.name}"
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert sum(moved) == sum(file.size for file in published.files)
    picture = cv2.imdecode(np.frombuffer(storage.get_bytes("results/j1/preview.png"), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (600, 800, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 30


def test_the_report(inputs: ResultInputs, storage: LocalStorage, tmp_path: Path) -> None:
    published = publish(inputs, tmp_path / "made", storage)
    report = json.loads(storage.get_bytes("results/j1/report.json"))
    assert report["photos"] == {"given": 3, "used": 2}
    assert report["reprojection_error_px"] == 0.37086745461623655
    assert report["points"] == 11159
    assert report["mesh"] == {"vertices": 25 * 49, "faces": 2 * 24 * 48, "coverage": 0.97, "turned": False}
    assert report["textures"] == [{"name": f"texture_{n}.png", "width": 256, "height": 256} for n in (1001, 1002)]
    assert report["stages"][1] == {
        "name": "DepthMap_1",
        "node_type": "DepthMap",
        "cached": False,
        "chunks": 2,
        "wall_seconds": 22.0,
        "cpu_seconds": 38.5,
        "peak_bytes": 500,
    }
    assert report["stages"][0]["cached"]
    assert report["totals"] == {"wall_seconds": 23.0, "cpu_seconds": 40.5, "peak_bytes": 900}
    assert report["engine"] == {"name": "cpu-1.0", "versions": {"numpy": "2"}}
    assert report["settings"] == {"Texturing": {"textureSide": 1024}}
    assert report["figures"]["Texturing_1"]["charts"] == 2
    assert [warning["code"] for warning in report["warnings"]] == ["duplicate"]
    assert published.quality == {
        "photos_given": 3,
        "photos_used": 2,
        "reprojection_error_px": 0.37086745461623655,
        "points": 11159,
        "vertices": 1225,
        "faces": 2304,
        "coverage": 0.97,
        "textures": 2,
        "texture_side": 256,
    }


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (("obj",), {"texturedMesh.obj", "texturedMesh.mtl", "texture_1001.png", "texture_1002.png"}),
        (("glb",), {"model.glb"}),
        (("ply", "usdz"), {"model.ply", "model.usdz"}),
        ((), set()),
    ],
)
def test_outputs_select_what_is_published(
    inputs: ResultInputs, storage: LocalStorage, tmp_path: Path, outputs: tuple[str, ...], expected: set[str]
) -> None:
    published = publish(replace(inputs, outputs=outputs), tmp_path / "made", storage)
    assert {file.name for file in published.files} == expected | {"preview.png", "report.json", "cameras.sfm"}


@pytest.mark.parametrize(
    ("outputs", "limit", "light"),
    [(("glb",), 1, True), (("glb",), 50_000_000, False), (("glb",), 0, False), (("obj",), 1, False)],
)
def test_a_large_glb_has_a_light_copy(
    inputs: ResultInputs, storage: LocalStorage, tmp_path: Path, outputs: tuple[str, ...], limit: int, light: bool
) -> None:
    asked = replace(inputs, outputs=outputs, light_glb_from_bytes=limit)
    files = {file.name: file for file in publish(asked, tmp_path / "made", storage).files}
    assert ("model.light.glb" in files) is light
    if light:
        assert files["model.light.glb"].media_type == "model/gltf-binary"
        assert storage.get_bytes(files["model.light.glb"].key)[:4] == b"glTF"


def test_the_media_types_of_other_formats(inputs: ResultInputs, storage: LocalStorage, tmp_path: Path) -> None:
    published = publish(replace(inputs, outputs=("usdz", "ply")), tmp_path / "made", storage)
    assert {file.name: file.media_type for file in published.files if file.name.startswith("model.")} == {
        "model.usdz": "model/vnd.usdz+zip",
        "model.ply": "model/ply",
    }


def test_publishing_twice_replaces(inputs: ResultInputs, storage: LocalStorage, tmp_path: Path) -> None:
    first = publish(inputs, tmp_path / "a", storage)
    assert publish(inputs, tmp_path / "b", storage) == first


@pytest.mark.parametrize("missing", ["texturedMesh.obj", "texture_1002.png"])
def test_a_missing_file_of_texturing(
    inputs: ResultInputs, texturing: Path, storage: LocalStorage, tmp_path: Path, missing: str
) -> None:
    (texturing / missing).unlink()
    with pytest.raises(HandoffIncomplete, match=missing.partition(".")[0]):
        publish(inputs, tmp_path / "made", storage)
    assert list(storage.list()) == []


def test_missing_cameras(inputs: ResultInputs, sfm: Path, storage: LocalStorage, tmp_path: Path) -> None:
    (sfm / "cameras.sfm").unlink()
    with pytest.raises(HandoffIncomplete, match="cameras"):
        publish(inputs, tmp_path / "made", storage)


@pytest.mark.parametrize("stage", ["Texturing", "StructureFromMotion"])
def test_a_missing_stage(inputs: ResultInputs, storage: LocalStorage, tmp_path: Path, stage: str) -> None:
    folders = {name: folder for name, folder in inputs.folders.items() if not name.startswith(stage)}
    with pytest.raises(HandoffIncomplete, match=stage):
        publish(replace(inputs, folders=folders), tmp_path / "made", storage)


def test_an_empty_mesh(inputs: ResultInputs, texturing: Path, storage: LocalStorage, tmp_path: Path) -> None:
    (texturing / "texturedMesh.obj").write_text("mtllib texturedMesh.mtl\nv 0 0 0\n")
    with pytest.raises(NoSurface):
        publish(inputs, tmp_path / "made", storage)


def test_what_is_not_known_is_null(inputs: ResultInputs, texturing: Path, sfm: Path, storage: LocalStorage) -> None:
    (texturing / "stats.json").unlink()
    (sfm / "stats.json").write_text('{"sfm": {"residual": "nan", "validViews": "x"}, "extra": NaN}')
    stages = (_stage("StructureFromMotion_1", (None, False)), _stage("Texturing_1", (None, False)))
    publish(replace(inputs, stages=stages), texturing.parent / "made", storage)
    text = storage.get_bytes("results/j1/report.json").decode()
    report = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert report["photos"]["used"] is None
    assert report["reprojection_error_px"] is None
    assert report["mesh"]["coverage"] is None
    assert report["totals"] == {"wall_seconds": None, "cpu_seconds": None, "peak_bytes": None}
    assert [warning["code"] for warning in report["warnings"]] == ["duplicate"]


def test_jpeg_textures(inputs: ResultInputs, tmp_path: Path, storage: LocalStorage) -> None:
    texturing = write_texturing(tmp_path / "jpeg", jpeg=True, place=PLACE)
    folders = {**inputs.folders, "Texturing_1": texturing}
    published = publish(replace(inputs, folders=folders), tmp_path / "made", storage)
    assert {file.media_type for file in published.files if file.name.startswith("texture_")} == {"image/jpeg"}


def test_figures_of_a_real_run(recorded_sfm: dict[str, Any]) -> None:
    figures = sfm_figures(recorded_sfm)
    assert (figures.photos_used, figures.points) == (23, 11159)
    assert figures.reprojection_error_px == pytest.approx(0.370867, abs=1e-5)


@pytest.fixture
def recorded_sfm() -> dict[str, Any]:
    folder = Path(__file__).parents[1] / "data" / "recorded_run" / "MeshroomCache" / "StructureFromMotion"
    return read_figures(next(folder.iterdir()))


@pytest.mark.parametrize("content", ["[]", "{}", '{"sfm": 3}', '{"sfm": {}}'])
def test_figures_that_say_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "stats.json").write_text(content)
    assert sfm_figures(read_figures(tmp_path)) == sfm_figures({})


def test_broken_figures(tmp_path: Path) -> None:
    (tmp_path / "stats.json").write_text("{")
    with pytest.raises(HandoffIncomplete):
        read_figures(tmp_path)


def test_costs_without_chunks() -> None:
    assert stage_costs([StageView("plan", "", "done", 1.0, False, ())])[0]["wall_seconds"] is None
    assert total_cost([])["peak_bytes"] is None
