"""Transparent pixels of photos: no features, no depth, no colour."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from meshroom_tasks.cpu_engine import sift
from meshroom_tasks.cpu_engine.depth_maps import read_depth_map
from meshroom_tasks.cpu_engine.masks import counts_at, filled, read_mask, resized, shrunk
from meshroom_tasks.cpu_engine.mesh_files import read_mesh_file, write_mesh_file
from meshroom_tasks.cpu_engine.pixels import read_grey
from meshroom_tasks.cpu_engine.scene import read_scene
from meshroom_tasks.cpu_engine.undistortion import undistort
from meshroom_tasks.ingest.inspect import inspect_photo
from tests.cpu_engine import dense_scenes as scenes
from tests.cpu_engine.test_dense_nodes import run

LEFT = np.array([[1, 1, 0, 0]] * 4, bool)
"""Of four columns the left two count."""


def with_alpha(mask: NDArray[np.bool_], opaque: int = 255, clear: int = 0) -> NDArray[np.uint8]:
    return np.dstack([np.full((*mask.shape, 3), 7), np.where(mask, opaque, clear)]).astype(np.uint8)


def of_palette(mask: NDArray[np.bool_]) -> Image.Image:
    picture = Image.fromarray(np.where(mask, np.uint8(1), np.uint8(5)), "P")
    picture.putpalette([7, 7, 7] * 6)
    return picture


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        (Image.fromarray(with_alpha(LEFT)), LEFT),
        (Image.fromarray(with_alpha(LEFT, opaque=128, clear=127)), LEFT),
        (Image.fromarray(with_alpha(LEFT)).convert("LA"), LEFT),
        (Image.fromarray(with_alpha(LEFT, clear=200)), None),
        (Image.fromarray(with_alpha(LEFT)[:, :, :3]), None),
        (Image.fromarray(with_alpha(LEFT)[:, :, 3]), None),
    ],
    ids=["alpha", "half", "grey", "nearly opaque", "colours", "brightness"],
)
def test_what_a_photo_says_of_its_mask(tmp_path: Path, picture: Image.Image, mask: NDArray[np.bool_] | None) -> None:
    picture.save(tmp_path / "photo.png")
    found = read_mask(tmp_path / "photo.png")
    assert (found is None) == (mask is None)
    assert mask is None or np.array_equal(found, mask)


def test_other_kinds_of_transparency(tmp_path: Path) -> None:
    of_palette(LEFT).save(tmp_path / "palette.png", transparency=5)
    Image.fromarray(np.where(LEFT, np.uint8(1), np.uint8(5))).save(tmp_path / "key.png", transparency=5)
    deep = with_alpha(LEFT).astype(np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / "deep.png"), deep)
    for name in ("palette.png", "key.png", "deep.png"):
        assert np.array_equal(read_mask(tmp_path / name), LEFT), name


@pytest.mark.parametrize(("extension", "turn"), [("png", 6), ("webp", 6), ("tif", 1)])
def test_every_format_with_alpha_keeps_its_mask(tmp_path: Path, extension: str, turn: int) -> None:
    path = tmp_path / f"photo.{extension}"
    mask = np.repeat(np.repeat(LEFT, 8, 0), 8, 1)
    Image.fromarray(with_alpha(mask)).save(path, exif=orientation(turn))
    before = path.read_bytes()
    assert inspect_photo(path, max_pixels=10_000).extension == extension
    assert path.read_bytes() == before, "ingest changes nothing"
    assert np.array_equal(read_mask(path), mask), "as the sensor stood, not as EXIF turns it"


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def test_what_carries_none(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    assert read_mask(tmp_path / "a.jpg") is None
    (tmp_path / "b.png").write_bytes(b"no photo")
    with pytest.raises(ValueError, match=r"cannot read b\.png"):
        read_mask(tmp_path / "b.png")


def test_sizes_and_margins() -> None:
    assert resized(LEFT, 2, 2).tolist() == [[True, False]] * 2
    assert resized(LEFT[:, 1:], 1, 2).tolist() == [[False]] * 2, "only where all of it counts"
    assert shrunk(LEFT, 1).tolist() == [[True, False, False, False]] * 4
    points = np.array([(0.5, 0.5), (1.9, 3.5), (2.1, 0.5), (9.0, 9.0)])
    assert counts_at(LEFT, points).tolist() == [True, True, False, False]


def test_nothing_is_left_of_what_lies_under_a_mask() -> None:
    image = np.where(LEFT[..., None], np.uint8(50), np.uint8(200)) * np.ones(3, np.uint8)
    assert (filled(image, LEFT) == 50).all()
    assert (filled(image, np.zeros_like(LEFT)) == 0).all()


@pytest.mark.parametrize("extract", [sift.extract_sift, sift.extract_dspsift])
def test_features_lie_on_what_counts(extract: sift.Extract) -> None:
    image = np.asarray(cv2.cvtColor(scenes.pattern().astype(np.uint8), cv2.COLOR_BGR2GRAY), np.uint8)
    mask = np.zeros(image.shape, bool)
    mask[:, :200] = True
    extraction = sift.Extraction(300, 1000, 0.01)
    everywhere = sift.extract_unmasked(extract, image, None, extraction)
    found = sift.extract_unmasked(extract, image, mask, extraction)
    assert (everywhere.keypoints[:, 0] > 200).sum() > 50
    assert len(found.descriptors) == len(found)
    assert (found.keypoints[:, 0] < 200).all()
    assert len(found) > 0.75 * len(everywhere), "others do not crowd them out"


def test_an_undistorted_photo_keeps_its_mask(tmp_path: Path) -> None:
    mask = np.repeat(np.repeat(LEFT, 8, 0), 8, 1)
    picture = np.dstack([np.where(mask[..., None], 60, 220) * np.ones(3), np.where(mask, 255, 0)]).astype(np.uint8)
    assert cv2.imwrite(str(tmp_path / "photo.png"), picture)
    x, y = np.meshgrid(np.arange(32, dtype=np.float32) - 1.5, np.arange(32, dtype=np.float32))
    undistort(tmp_path / "photo.png", (x, y), tmp_path / "straight.png")
    straight = cv2.imread(str(tmp_path / "straight.png"), cv2.IMREAD_UNCHANGED)
    assert (straight[..., :3] == 60).all(), "no colour from under the mask"
    assert straight[16, :, 3].tolist() == [0, 0] + [255] * 15 + [0] * 15, "nor a pixel from beyond the photo"
    undistort(tmp_path / "photo.png", (x, y), tmp_path / "straight.jpg")
    assert (tmp_path / "straight.jpg").exists()


def test_opaque_photos_are_as_those_without_alpha(tmp_path: Path) -> None:
    picture = np.rint(scenes.pattern()).astype(np.uint8)
    opaque = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    x, y = np.meshgrid(*[np.linspace(0, side, 100, dtype=np.float32) for side in picture.shape[:2]])
    for name, photo in (("plain", picture), ("opaque", opaque)):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), photo)
        undistort(tmp_path / f"{name}.png", (x, y), tmp_path / f"{name}_straight.png")
    assert read_mask(tmp_path / "opaque.png") is None, "so nothing after it is done otherwise"
    assert (tmp_path / "plain_straight.png").read_bytes() == (tmp_path / "opaque_straight.png").read_bytes()
    assert np.array_equal(read_grey(tmp_path / "plain.png"), read_grey(tmp_path / "opaque.png"))


@pytest.fixture(scope="module")
def half_seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wavy sheet, of which all photos show only x < 0: the rest is transparent, with its colours under it."""
    folder = tmp_path_factory.mktemp("masked")
    scene = scenes.write_dense_scene(folder)
    vertices, faces = scenes.surface(0.2, 0.08)
    places = np.zeros((scenes.TEXTURE_SIDE, scenes.TEXTURE_SIDE, 3), np.float32)
    places[:, : scenes.TEXTURE_SIDE // 2] = 255
    for camera in scene.cameras:
        path = folder / "images" / f"{camera.view_id}.png"
        shown, _ = scenes.photograph(camera, vertices, faces, places)
        alpha = np.where(shown[..., 0] > 127, 255, 0).astype(np.uint8)
        assert cv2.imwrite(str(path), np.dstack([cv2.imread(str(path)), alpha]))
    return folder


def test_neither_depth_nor_surface_nor_colour_of_what_is_masked(half_seen: Path) -> None:
    images = half_seen / "images"
    depth = run("DepthMap", half_seen / "DepthMap", input=half_seen / "sfm", imagesFolder=images)
    for camera in read_scene(half_seen / "sfm").cameras:
        found = read_depth_map(depth, camera)
        mask = read_mask(images / f"{camera.view_id}.png")
        assert found is not None
        assert mask is not None
        assert (found.depth[mask] > 0).mean() > 0.5
        assert not found.depth[~mask].any()
    kept = run("DepthMapFilter", half_seen / "DepthMapFilter", input=half_seen / "sfm", depthMapsFolder=depth)
    meshed = run("Meshing", half_seen / "Meshing", input=half_seen / "sfm", depthMapsFolder=kept, maxPoints=3000)
    vertices, faces = read_mesh_file(meshed / "mesh.ply")
    assert len(faces) > 500
    assert vertices[:, 0].max() < 0.1
    assert vertices[:, 0].min() < -0.8
    sheet, triangles = scenes.surface(0.2, 0.08)
    write_mesh_file(half_seen / "sheet.ply", sheet, triangles)
    textured = run(
        "Texturing",
        half_seen / "Texturing",
        input=meshed,
        imagesFolder=images,
        inputMesh=half_seen / "sheet.ply",
        fillHoles=False,
    )
    seen = json.loads((textured / "stats.json").read_text())["textured_faces_fraction"]
    assert 0.3 < seen < 0.5, "the other half has no colour"
