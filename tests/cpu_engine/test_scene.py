from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshroom_tasks.cpu_engine.scene import Camera, Landmarks, Scene, read_scene, write_scene


def camera() -> Camera:
    c, s = np.cos(0.3), np.sin(0.3)
    return Camera(
        view_id=7,
        photo="a.jpg",
        width=80,
        height=60,
        K=np.array([[70.0, 0, 39.5], [0, 71.0, 29.5], [0, 0, 1]]),
        R=np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        t=np.array([0.1, -0.2, 2.0]),
    )


def test_projection_by_hand() -> None:
    points = np.array([[0.0, 0, 0], [0.5, 0.25, -0.5]])
    pixels, depth = camera().project(points)
    for point, pixel, z in zip(points, pixels, depth, strict=True):
        ray = camera().K @ (camera().R @ point + camera().t)
        assert pixel == pytest.approx(ray[:2] / ray[2])
        assert z == pytest.approx(ray[2])


def test_points_behind_have_no_pixel() -> None:
    behind = camera().centre - camera().R[2]
    pixels, depth = camera().project(behind[None])
    assert depth[0] == pytest.approx(-1)
    assert np.isnan(pixels).all()


def test_the_centre_is_at_depth_zero() -> None:
    assert camera().R @ camera().centre + camera().t == pytest.approx(np.zeros(3))


@pytest.mark.parametrize(("width", "height"), [(40, 30), (160, 120), (33, 50)])
def test_a_scaled_camera_keeps_pixel_edges(width: int, height: int) -> None:
    points = np.array([[0.3, -0.1, 0.2], [-0.4, 0.2, 0.7]])
    before, _ = camera().project(points)
    after, _ = camera().scaled(width, height).project(points)
    assert after + 0.5 == pytest.approx((before + 0.5) * (width / 80, height / 60))


@pytest.mark.parametrize("count", [0, 5])
def test_a_scene_reads_back_exactly(tmp_path: Path, count: int) -> None:
    random = np.random.default_rng(0)
    marks = Landmarks(
        xyz=random.normal(size=(count, 3)),
        rgb=random.integers(0, 256, (count, 3)).astype(np.uint8),
        track_start=np.arange(count + 1, dtype=np.int64) * 2,
        track_view=np.zeros(2 * count, np.int64),
    )
    write_scene(tmp_path, Scene((camera(),), marks, view_count=3))
    again = read_scene(tmp_path)
    assert (again.view_count, len(again.cameras), len(again.landmarks)) == (3, 1, count)
    for name in ("xyz", "rgb", "track_start", "track_view"):
        assert np.array_equal(getattr(again.landmarks, name), getattr(marks, name))
    for name in ("K", "R", "t"):
        assert np.array_equal(getattr(again.cameras[0], name), getattr(camera(), name))
    assert (again.cameras[0].photo, again.cameras[0].width, again.cameras[0].view_id) == ("a.jpg", 80, 7)
