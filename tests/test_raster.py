from __future__ import annotations

import numpy as np
import pytest

from meshroom_tasks.raster import NONE, interpolate, rasterise

SQUARE = np.array([[[1, 1], [5, 1], [5, 4]], [[1, 1], [5, 4], [1, 4]]], float)


def test_a_pixel_is_covered_when_its_integer_centre_is_inside_and_borders_count_once() -> None:
    face, depth = rasterise(SQUARE, np.full((2, 3), 2.0), (7, 8))
    covered = np.zeros((7, 8), bool)
    covered[1:5, 1:6] = True
    assert ((face != NONE) == covered).all()
    assert (depth[covered] == 2.0).all()
    assert np.isinf(depth[~covered]).all()
    # The diagonal belongs to both faces; the first one keeps it.
    assert face[1, 1] == 0


def test_depth_is_linear_in_its_inverse() -> None:
    corners = np.array([[[0, 0], [8, 0], [0, 8]]], float)
    _, depth = rasterise(corners, [[1.0, 4.0, 2.0]], (9, 9))
    assert depth[0, 4] == pytest.approx(1 / (0.5 * 1.0 + 0.5 * 0.25))
    assert depth[2, 4] == pytest.approx(1 / (0.25 * 1.0 + 0.5 * 0.25 + 0.25 * 0.5))


def test_the_nearest_face_wins_whatever_the_order_or_winding() -> None:
    near, far = np.array([[0, 0], [9, 0], [0, 9]], float), np.array([[0, 0], [0, 9], [9, 0]], float)
    for corners, depth, expected in (([near, far], [1, 2], 0), ([far, near], [2, 1], 1)):
        face, _ = rasterise(np.array(corners), np.repeat(np.array(depth, float)[:, None], 3, axis=1), (5, 5))
        assert (face[:3, :3] == expected).all()


def test_planes_that_cross_are_cut_where_their_depths_are_equal() -> None:
    wide = np.array([[-50, -50], [150, -50], [-50, 150]], float)
    slope = 1 / (0.5 + 0.004 * (wide[:, 0] - 10.5))
    face, _ = rasterise(np.array([wide, wide]), np.array([[2.0] * 3, slope]), (20, 20))
    assert (face == (np.arange(20) > 10)).all()


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    wide, slope = np.zeros((3, 2)), np.ones(3)
    with pytest.raises(ValueError, match=r"\(F, 3, 2\)"):
        rasterise(wide, slope, (20, 20))


@pytest.mark.parametrize(
    ("corners", "depth"),
    [
        ([[0, 0], [5, 5], [9, 9]], [1, 1, 1]),
        ([[0, 0], [9, 0], [0, 9]], [1, 0, 1]),
        ([[0, 0], [9, 0], [0, 9]], [1, -1, 1]),
        ([[0, 0], [np.nan, 0], [0, 9]], [1, 1, 1]),
        ([[0, 0], [np.inf, 0], [0, 9]], [1, 1, 1]),
        ([[20, 20], [29, 20], [20, 29]], [1, 1, 1]),
    ],
    ids=["no area", "at the camera", "behind it", "nan", "infinite", "outside"],
)
def test_faces_that_cannot_be_drawn_are_left_out(corners: list[list[float]], depth: list[float]) -> None:
    face, _ = rasterise(np.array([corners], float), np.array([depth], float), (8, 8))
    assert (face == NONE).all()


def test_neighbouring_faces_leave_no_crack() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(-3, 33, 14), np.linspace(-3, 33, 14)), axis=-1)
    grid[1:-1, 1:-1] += rng.uniform(-0.8, 0.8, (12, 12, 2))
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    corners = np.concatenate([np.stack([a, b, c], -2).reshape(-1, 3, 2), np.stack([a, c, d], -2).reshape(-1, 3, 2)])
    face, _ = rasterise(corners, np.ones(corners.shape[:2]), (31, 31))
    assert (face != NONE).all()


def test_values_are_interpolated_as_on_the_surface_in_space() -> None:
    # A slanted square in space: its own coordinates must come back at every pixel.
    space = np.array([[-1, -1, 2], [1, -1, 4], [1, 1, 4], [-1, 1, 2]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    pixels = space[:, :2] / space[:, 2:] * 40 + 20
    corners, depth = pixels[faces], space[faces][..., 2]
    face, z = rasterise(corners, depth, (41, 41))
    carried = interpolate(face, corners, depth, space[faces])
    y, x = np.nonzero(face != NONE)
    assert len(y) > 300
    np.testing.assert_allclose(carried[y, x, 2], z[y, x], rtol=1e-5)
    np.testing.assert_allclose(carried[y, x, 0], (x - 20) / 40 * z[y, x], atol=1e-5)
    assert (carried[face == NONE] == 0).all()
