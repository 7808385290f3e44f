"""The front half of the pipeline by its commands, on photos whose geometry is known and on photos of nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from meshroom_tasks.cpu_engine.scene import Scene, read_scene
from meshroom_tasks.results.cameras import read_cameras
from tests.cpu_engine import rendering
from tests.cpu_engine.conftest import Run, write_template

FRONT_HALF: dict[str, dict[str, Any]] = {
    "CameraInit_1": {},
    "FeatureExtraction_1": {"input": "{CameraInit_1.output}", "describerPreset": "low"},
    "ImageMatching_1": {"input": "{FeatureExtraction_1.input}", "featuresFolders": ["{FeatureExtraction_1.output}"]},
    "FeatureMatching_1": {
        "input": "{ImageMatching_1.input}",
        "featuresFolders": "{ImageMatching_1.featuresFolders}",
        "imagePairsList": "{ImageMatching_1.output}",
        "describerTypes": "{FeatureExtraction_1.describerTypes}",
    },
    "StructureFromMotion_1": {
        "input": "{FeatureMatching_1.input}",
        "featuresFolders": "{FeatureMatching_1.featuresFolders}",
        "matchesFolders": ["{FeatureMatching_1.output}"],
        "describerTypes": "{FeatureMatching_1.describerTypes}",
    },
    "PrepareDenseScene_1": {"input": "{StructureFromMotion_1.output}"},
}


def run_front_half(engine: Run, folder: Path, photos: Path, *settings: str) -> tuple[int, Path]:
    template = write_template(folder / "front.mg", FRONT_HALF)
    arguments = ["--input", photos, "--pipeline", template, "--save", folder / "p.mg"]
    if settings:
        arguments += ["--paramOverrides", *settings]
    return engine("meshroom_batch", *arguments).returncode, folder / "MeshroomCache"


def folder_of(cache: Path, node_type: str) -> Path:
    return next((cache / node_type).iterdir())


def alignment(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], float]:
    """Scale, rotation and largest distance of the best similarity a -> b (S. Umeyama, PAMI 1991)."""
    u, s, vt = np.linalg.svd((b - b.mean(0)).T @ (a - a.mean(0)))
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    R = u @ np.diag(signs) @ vt
    scale = float((s * signs).sum() / ((a - a.mean(0)) ** 2).sum())
    moved = scale * (a - a.mean(0)) @ R.T + b.mean(0)
    return scale, R, float(np.linalg.norm(moved - b, axis=1).max())


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[rendering.View]]:
    folder = tmp_path_factory.mktemp("room")
    return folder, rendering.render(folder / "photos", 8)


@pytest.fixture
def cache(room: tuple[Path, list[rendering.View]], engine: Run) -> Path:
    """Computed by the first test that asks, found done by the others."""
    code, cache = run_front_half(engine, room[0], room[0] / "photos")
    assert code == 0
    return cache


@pytest.fixture
def scene(cache: Path) -> Scene:
    return read_scene(folder_of(cache, "StructureFromMotion"))


def test_all_cameras_are_where_they_were(room: tuple[Path, list[rendering.View]], scene: Scene) -> None:
    assert [camera.photo for camera in scene.cameras] == [f"{index}.jpg" for index in range(8)]
    truth = np.array([view.centre for view in room[1]])
    found = np.array([camera.centre for camera in scene.cameras])
    _, rotation, distance = alignment(found, truth)
    assert distance < 0.03, "of about 3 to the corner"
    for camera, view in zip(scene.cameras, room[1], strict=True):
        turned = camera.R @ rotation.T @ view.R.T
        assert np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1))) < 0.5
    assert abs(scene.cameras[0].K[0, 0] / rendering.FOCAL - 1) < 0.02


def test_the_scene_is_upright_centred_and_scaled(room: tuple[Path, list[rendering.View]], scene: Scene) -> None:
    truth = np.array([view.centre for view in room[1]])
    centres = np.array([camera.centre for camera in scene.cameras])
    _, rotation, _ = alignment(centres, truth)
    assert (rotation @ [0, 1, 0])[2] > np.cos(np.radians(2))
    assert np.abs(np.median(scene.landmarks.xyz, axis=0)).max() < 1e-9
    assert np.median(np.linalg.norm(centres, axis=1)) == pytest.approx(1.0)


def test_the_service_reads_the_same_cameras(cache: Path, scene: Scene) -> None:
    read = read_cameras(folder_of(cache, "StructureFromMotion") / "cameras.sfm")
    for camera, known in zip(read, scene.cameras, strict=True):
        assert camera.rotation == pytest.approx(known.R)
        assert camera.centre == pytest.approx(known.centre)


def test_landmarks_lie_on_the_walls_and_in_the_pictures(room: tuple[Path, list[rendering.View]], scene: Scene) -> None:
    marks = scene.landmarks
    assert len(marks) > 200
    truth = np.array([view.centre for view in room[1]])
    centres = np.array([camera.centre for camera in scene.cameras])
    scale, rotation, _ = alignment(centres, truth)
    points = scale * (marks.xyz - centres.mean(0)) @ rotation.T + truth.mean(0)
    assert np.median(np.abs(points).min(axis=1)) < 0.01
    lengths = np.diff(marks.track_start)
    assert marks.track_start[0] == 0
    assert marks.track_start[-1] == len(marks.track_view)
    assert lengths.min() >= 2
    for index, camera in enumerate(scene.cameras):
        seen = np.repeat(np.arange(len(marks)), lengths)[marks.track_view == index]
        pixels, depth = camera.project(marks.xyz[seen])
        assert (depth > 0).all()
        assert (pixels > -12).all()
        assert (pixels < (camera.width + 12, camera.height + 12)).all()


def test_undistorted_photos_show_the_landmarks_where_the_cameras_say(cache: Path, scene: Scene) -> None:
    folder = folder_of(cache, "PrepareDenseScene")
    marks = scene.landmarks
    lengths = np.diff(marks.track_start)
    differences = []
    for index, camera in enumerate(scene.cameras):
        pixels = np.asarray(Image.open(folder / f"{camera.view_id}.png"))
        assert pixels.shape == (camera.height, camera.width, 3)
        seen = np.repeat(np.arange(len(marks)), lengths)[marks.track_view == index]
        x, y = np.rint(camera.project(marks.xyz[seen])[0]).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
        shown = pixels[y[inside], x[inside]].astype(float)
        differences.append(np.abs(shown - marks.rgb[seen][inside]).mean())
    assert np.mean(differences) < 12


def test_stats_and_cameras_files(cache: Path, scene: Scene) -> None:
    folder = folder_of(cache, "StructureFromMotion")
    stats = json.loads((folder / "stats.json").read_text())["sfm"]
    assert (stats["views"], stats["validViews"], stats["poses"]) == ("8", "8", "8")
    assert stats["points"] == str(len(scene.landmarks))
    assert sum(map(int, stats["observationsHistogram"].values())) == len(scene.landmarks)
    assert 0 < float(stats["residual"]) < 0.7
    cameras = json.loads((folder / "cameras.sfm").read_text())
    assert len(cameras["views"]) == len(cameras["poses"]) == 8
    transform = cameras["poses"][0]["pose"]["transform"]
    assert pytest.approx(scene.cameras[0].R) == np.array(transform["rotation"], float).reshape(3, 3).T
    assert np.array(transform["center"], float) == pytest.approx(scene.cameras[0].centre)
    shown = np.array([point["X"] for point in cameras["structure"]], float)
    assert shown == pytest.approx(scene.landmarks.xyz, rel=1e-4, abs=1e-4)
    assert np.array([point["color"] for point in cameras["structure"]], int).tolist() == scene.landmarks.rgb.tolist()
    intrinsic = cameras["intrinsics"][0]
    focal = float(intrinsic["focalLength"]) / float(intrinsic["sensorWidth"]) * rendering.WIDTH
    assert focal == pytest.approx(rendering.FOCAL, rel=0.02)


def test_nothing_but_the_list_of_photos_holds_absolute_paths(cache: Path, room: tuple[Path, Any]) -> None:
    own = str(room[0]).encode()
    holders = {
        path.name
        for path in cache.rglob("*")
        if path.is_file() and not path.name.endswith(("status", "log")) and own in path.read_bytes()
    }
    assert holders == {"cameraInit.sfm", "cameras.sfm"}


@pytest.mark.parametrize(
    "settings",
    [
        ("ImageMatching:minNbImages=0", "ImageMatching:nbMatches=3", "ImageMatching:nbNeighbors=2"),
        ("FeatureExtraction:describerTypes=dspsift", "FeatureExtraction:maxNbFeatures=600"),
        ("PrepareDenseScene:outputFileType=jpg", "StructureFromMotion:lockAllIntrinsics=true"),
    ],
    ids=["likeness and order", "dspsift", "jpg, locked"],
)
def test_other_settings(engine: Run, room: tuple[Path, Any], settings: tuple[str, ...], tmp_path: Path) -> None:
    code, cache = run_front_half(engine, tmp_path, room[0] / "photos", *settings)
    assert code == 0
    assert len(read_scene(folder_of(cache, "StructureFromMotion")).cameras) == 8
    if "PrepareDenseScene:outputFileType=jpg" in settings:
        assert len(list(folder_of(cache, "PrepareDenseScene").glob("*.jpg"))) == 8


def test_photos_without_metadata_are_reported_and_still_used(engine: Run, tmp_path: Path) -> None:
    """And a photo of something else, by the same camera, is left out without harm."""
    rendering.render(tmp_path / "photos", 8, with_focal=False)
    unrelated(2).save(tmp_path / "photos" / "z.jpg")
    code, cache = run_front_half(engine, tmp_path, tmp_path / "photos")
    assert code == 0
    log = (folder_of(cache, "CameraInit") / "log").read_text()
    assert log.count("focal length (in mm) metadata is missing") == 9
    folder = folder_of(cache, "StructureFromMotion")
    scene = read_scene(folder)
    assert (len(scene.cameras), scene.view_count) == (8, 9)
    assert "z.jpg could not be registered" in (folder / "log").read_text()
    (intrinsic,) = json.loads((folder / "cameras.sfm").read_text())["intrinsics"]
    focal = float(intrinsic["focalLength"]) / float(intrinsic["sensorWidth"]) * rendering.WIDTH
    assert focal == pytest.approx(scene.cameras[0].K[0, 0], rel=0.01)
    assert focal == pytest.approx(rendering.FOCAL, rel=0.1)
    assert len(list(folder_of(cache, "PrepareDenseScene").glob("*.png"))) == 8


def unrelated(seed: int) -> Image.Image:
    """A photo of blurred noise, of the size of the others."""
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (48, 64, 3)).astype(np.uint8)).resize((640, 480))


def fails_with(engine: Run, folder: Path, photos: Path) -> str:
    """The last line of StructureFromMotion's log."""
    code, cache = run_front_half(engine, folder, photos)
    assert code == 1
    folder = folder_of(cache, "StructureFromMotion")
    assert json.loads((folder / "status").read_text())["returnCode"] == 1
    return (folder / "log").read_text().splitlines()[-1]


@pytest.mark.parametrize("kind", ["noise", "flat"])
def test_photos_of_nothing(engine: Run, tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(4):
        pixels = random.integers(0, 256, (240, 320, 3)) if kind == "noise" else np.full((240, 320, 3), 90)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / f"{index}.png")
    assert fails_with(engine, tmp_path, tmp_path / "photos").endswith("No valid tracks.")


def test_copies_of_one_photo(engine: Run, tmp_path: Path, room: tuple[Path, Any]) -> None:
    (tmp_path / "photos").mkdir()
    for index in range(6):
        (tmp_path / "photos" / f"{index}.jpg").write_bytes((room[0] / "photos" / "0.jpg").read_bytes())
    assert fails_with(engine, tmp_path, tmp_path / "photos").endswith("No valid initial pair found automatically.")


def test_few_of_many(engine: Run, tmp_path: Path, room: tuple[Path, Any]) -> None:
    """Three photos of the room among unrelated ones: whether that is enough is for others to say."""
    (tmp_path / "photos").mkdir()
    for index in range(3):
        (tmp_path / "photos" / f"a{index}.jpg").write_bytes((room[0] / "photos" / f"{index}.jpg").read_bytes())
    for index in range(8):
        unrelated(index).save(tmp_path / "photos" / f"b{index}.jpg")
    code, cache = run_front_half(engine, tmp_path, tmp_path / "photos")
    assert code == 0
    scene = json.loads((folder_of(cache, "StructureFromMotion") / "cameras.sfm").read_text())
    assert (len(scene["views"]), len(scene["poses"])) == (11, 3)


def test_a_photo_that_cannot_be_decoded(engine: Run, tmp_path: Path, room: tuple[Path, Any]) -> None:
    (tmp_path / "photos").mkdir()
    whole = (room[0] / "photos" / "0.jpg").read_bytes()
    (tmp_path / "photos" / "0.jpg").write_bytes(whole)
    (tmp_path / "photos" / "1.jpg").write_bytes(whole[:700])
    code, cache = run_front_half(engine, tmp_path, tmp_path / "photos")
    assert code == 1
    if cache.exists():
        assert "1.jpg" in (folder_of(cache, "FeatureExtraction") / "0.log").read_text()


@pytest.mark.parametrize(
    ("node_type", "name", "reader", "message"),
    [
        ("FeatureMatching", "0.matches.npz", "StructureFromMotion", "Input 'matchesFolders' is missing"),
        ("FeatureExtraction", "*.sift.npz", "StructureFromMotion", "Can't find view"),
        ("FeatureExtraction", "*.sift.npz", "FeatureMatching", "Can't find view"),
        ("StructureFromMotion", "scene.json", "PrepareDenseScene", "Input 'input' is missing"),
    ],
)
def test_a_file_that_did_not_arrive_is_named(
    engine: Run, cache: Path, tmp_path: Path, node_type: str, name: str, reader: str, message: str
) -> None:
    """Never taken for photos that do not overlap."""
    shutil.copytree(cache.parent, tmp_path / "run")
    moved = tmp_path / "run" / "MeshroomCache"
    next(folder_of(moved, node_type).glob(name)).unlink()
    own = folder_of(moved, reader)
    shutil.rmtree(own)
    assert engine("meshroom_compute", tmp_path / "run" / "p.mg", "--node", f"{reader}_1").returncode == 1
    (log,) = own.glob("*log")
    assert message in log.read_text().splitlines()[-1]
