from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.results.cameras import read_cameras
from meshroom_tasks.results.preview import is_turned, render_preview
from meshroom_tasks.results.wavefront import read_mtl, read_obj
from tests.results.conftest import BLUE, ORANGE, PLACE, write_sfm, write_texturing


def _render(texturing: Path, sfm: Path, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """(height, width, 3) red, green, blue."""
    mesh = read_obj(texturing / "texturedMesh.obj")
    materials = read_mtl(texturing / "texturedMesh.mtl")
    return render_preview(mesh, materials, texturing, read_cameras(sfm / "cameras.sfm"), size)[..., ::-1].astype(int)


def _is(colour: tuple[int, int, int], picture: np.ndarray) -> np.ndarray:
    return np.abs(picture - colour).max(axis=-1) <= 3


@pytest.mark.parametrize("turned", [False, True], ids=["one frame", "frames of Meshroom"])
@pytest.mark.parametrize("udim", [True, False])
def test_the_colours_are_where_they_belong(tmp_path: Path, turned: bool, udim: bool) -> None:
    texturing = write_texturing(tmp_path / "t", place=PLACE, turned=turned, udim=udim)
    sfm = write_sfm(tmp_path / "s", [(0, 0.2, -40), (0.3, -0.4, -4), (0, 0, -30)])
    picture = _render(texturing, sfm)
    assert picture.shape == (240, 320, 3)
    rows, columns = np.nonzero(_is(ORANGE, picture) | _is(BLUE, picture))
    assert 190 < np.ptp(rows) < 238, "the ball must fill the picture's height"
    assert abs(np.ptp(columns) - np.ptp(rows)) < 12, "the ball must be round"
    assert _is(ORANGE, picture[60, 160])
    assert _is(BLUE, picture[200, 160])
    corner = picture[5, 5]
    assert np.ptp(corner) <= 1
    assert corner.min() > 200


@pytest.mark.parametrize("turned", [False, True], ids=["one frame", "frames of Meshroom"])
def test_the_frame_of_an_open_shape_amid_the_cameras(tmp_path: Path, turned: bool) -> None:
    """Both frames put a shape at the origin before the cameras; in the wrong one they look at it from inside."""
    texturing = write_texturing(tmp_path / "t", place=np.zeros(3), turned=turned)
    text = (texturing / "texturedMesh.obj").read_text()
    (texturing / "texturedMesh.obj").write_text(text.partition("usemtl material_1002")[0])
    ring = [(4 * np.sin(angle), -2.5, -4 * np.cos(angle)) for angle in np.arange(8) * np.pi / 4]
    picture = _render(texturing, write_sfm(tmp_path / "s", ring, target=np.zeros(3)))
    assert _is(ORANGE, picture[120, 160])
    mesh = read_obj(texturing / "texturedMesh.obj")
    assert is_turned(mesh, read_cameras(tmp_path / "s" / "cameras.sfm")) == turned


def test_a_photo_taken_upright_gives_an_upright_picture(tmp_path: Path) -> None:
    texturing = write_texturing(tmp_path / "t", place=PLACE)
    picture = _render(texturing, write_sfm(tmp_path / "s", [(0, -0.2, -4)], orientation=6))
    assert _is(ORANGE, picture[60, 160])
    assert _is(BLUE, picture[200, 160])


@pytest.mark.parametrize(("camera_x", "side"), [(-3, "left"), (3, "right")])
def test_the_texture_is_not_mirrored(tmp_path: Path, camera_x: int, side: str) -> None:
    """The white patch lies near the upper pole on the model's far side (z = -1 with y up), so at +z with y down.

    To a camera at -x that looks along +x, with y down, +z is on the left; to one at +x it is on the right.
    """
    texturing = write_texturing(tmp_path / "t", place=PLACE)
    picture = _render(texturing, write_sfm(tmp_path / "s", [(camera_x, -3, 0)]))
    rows, columns = np.nonzero(_is((255, 255, 255), picture))
    assert len(rows) > 100
    assert rows.mean() < 120
    assert (columns.mean() > 160) == (side == "right")


def test_without_cameras(texturing: Path, tmp_path: Path) -> None:
    with pytest.raises(HandoffIncomplete, match="no registered camera"):
        _render(texturing, write_sfm(tmp_path / "s", []))


def test_without_textures_the_shape_is_grey(texturing: Path, sfm: Path) -> None:
    (texturing / "texturedMesh.mtl").unlink()
    picture = _render(texturing, sfm)
    assert picture[120, 160].tolist() == [176, 176, 176]


@pytest.mark.parametrize(
    "damage",
    [
        lambda scene: scene.pop("intrinsics") and None,
        lambda scene: scene["intrinsics"][0].pop("focalLength"),
        lambda scene: scene["poses"][0].pop("pose"),
        lambda scene: scene["poses"][0]["pose"]["transform"]["rotation"].pop(),
        lambda scene: scene["intrinsics"][0].update(sensorWidth="0"),
    ],
)
def test_broken_scenes(sfm: Path, damage: object) -> None:
    scene = json.loads((sfm / "cameras.sfm").read_text())
    damage(scene)
    (sfm / "cameras.sfm").write_text(json.dumps(scene))
    if "intrinsics" in scene:
        with pytest.raises(HandoffIncomplete, match=r"cameras\.sfm"):
            read_cameras(sfm / "cameras.sfm")
    else:
        assert read_cameras(sfm / "cameras.sfm") == ()


def test_cameras(sfm: Path) -> None:
    cameras = read_cameras(sfm / "cameras.sfm")
    assert [(camera.centre - PLACE).tolist() for camera in cameras] == [[0, 0, 40], [0, -1, -4]]
    assert {camera.focal for camera in cameras} == {640.0}
    pixels, depth = cameras[1].project(PLACE + np.array([[0, 0, 0], [0, -1, 0], [1, 0, 0], [0, -2, -8]]))
    assert np.allclose(pixels[0], [319.5, 239.5])
    assert pixels[1, 1] < 239, "what is higher (y down) is further up in the picture"
    assert pixels[2, 0] > 320
    assert np.isclose(depth[0], np.sqrt(17))
    assert depth[3] < 0


def test_a_pose_that_is_not_valid_does_not_count(sfm: Path) -> None:
    scene = json.loads((sfm / "cameras.sfm").read_text())
    scene["poses"][0]["pose"]["valid"] = "0"
    (sfm / "cameras.sfm").write_text(json.dumps(scene))
    assert [(camera.centre - PLACE).tolist() for camera in read_cameras(sfm / "cameras.sfm")] == [[0, -1, -4]]
