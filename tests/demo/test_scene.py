from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo import materials, scene, shapes
from demo.light import light_on
from meshroom_tasks.cpu_engine.mesh import adjacent_faces, components


@pytest.mark.parametrize("grid", [shapes.jar(80, 90), shapes.table(40, 60)], ids=["jar", "table"])
def test_shapes_face_outwards(grid: shapes.Grid) -> None:
    corners = grid.vertices[grid.faces]
    signed = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert signed > 0.0 or grid.vertices[:, 2].max() < 1e-9
    up = shapes.normals(grid)[np.argmax(grid.vertices[:, 2])]
    assert up[2] > 0.9


def test_the_jar_is_closed_and_within_its_measures() -> None:
    jar = shapes.jar(80, 90)
    solid = jar.faces[np.linalg.norm(np.ptp(jar.vertices[jar.faces], axis=1), axis=1) > 0]
    assert len(set(components(solid))) == 1
    assert jar.vertices[:, 2].min() == 0.0
    assert jar.vertices[:, 2].max() == pytest.approx(shapes.HEIGHT)
    assert np.hypot(*jar.vertices[:, :2].T).max() < shapes.RADIUS
    rim = np.bincount(adjacent_faces(solid).ravel(), minlength=len(solid))
    assert (rim[180:-180] == 3).all()


def test_values_carry_from_a_coarse_grid_to_a_fine_one_round_the_seam() -> None:
    coarse, fine = shapes.jar(60, 72), shapes.jar(119, 288)
    carried = shapes.resample(coarse.vertices.astype(np.float32), (60, 72), (119, 288))
    assert np.abs(carried - fine.vertices).max() < 0.03


def test_light_leaves_a_shadow_under_the_jar_and_no_point_black() -> None:
    jar, top = shapes.jar(60, 72), shapes.table(40, 90)
    vertices, faces = scene.joined(jar, top)
    normals = np.concatenate([shapes.normals(jar), shapes.normals(top)])
    light = light_on(vertices, normals, vertices, faces)
    assert light.shape == (len(vertices), 4)
    assert light[:, :3].min() > 0.01
    assert light[:, :3].max() < 2.5
    table = vertices[len(jar.vertices) :]
    lamp = light[len(jar.vertices) :, 3]
    away = np.argmin(np.linalg.norm(table - (-0.7, 0.56, 0), axis=1))
    towards = np.argmin(np.linalg.norm(table - (0.7, -0.56, 0), axis=1))
    assert lamp[away] < 0.3 < 0.9 < lamp[towards]


def test_materials_have_detail_at_every_spot() -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (4000, 3))
    for material in (materials.malachite, materials.gold, materials.terrazzo):
        colours = material(points)
        assert colours.shape == (4000, 3)
        assert colours.min() >= 0.0
        assert colours.max() <= 1.0
        assert colours.std(axis=0).max() > 0.08
        np.testing.assert_array_equal(colours, material(points))


def test_a_photograph_shows_the_jar_in_the_middle_and_its_file_knows_the_lens(tmp_path: Path) -> None:
    picture = scene.photograph(scene.model(), scene.shots()[0], np.random.default_rng(0))
    assert picture.shape == (scene.HEIGHT, scene.WIDTH, 3)
    red, green, blue = picture[300, 400].astype(int)
    assert green > 1.2 * max(red, blue)
    assert np.ptp(picture[5, 5].astype(int)) < 40
    scene.write_photo(tmp_path / "a.jpg", picture)
    with Image.open(tmp_path / "a.jpg") as image:
        details = image.getexif().get_ifd(0x8769)
    pixels = details[0xA405] / 43.27 * np.hypot(scene.WIDTH, scene.HEIGHT)
    assert pixels == pytest.approx(scene.FOCAL, rel=0.02)


def test_cameras_see_the_whole_jar_from_all_sides() -> None:
    cameras = scene.shots()
    corners = shapes.jar(40, 40).vertices
    for shot in cameras:
        pixels, depth = shot.project(corners)
        assert (depth > 0).all()
        assert ((pixels > 5) & (pixels < (scene.WIDTH - 5, scene.HEIGHT - 5))).all()
    turns = np.sort([np.arctan2(shot.centre[1], shot.centre[0]) for shot in cameras])
    assert np.diff(turns).max() < np.radians(25)
