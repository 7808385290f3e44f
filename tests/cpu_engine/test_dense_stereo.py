from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.depth_estimation import RefineOptions, SgmOptions, estimate_depth
from meshroom_tasks.cpu_engine.epipolar import epipolar_transfer, transfers
from meshroom_tasks.cpu_engine.partners import depth_range, stereo_partners
from meshroom_tasks.cpu_engine.plane_sweep import COST_MAX, Picture, inverse_depths, matching_cost
from meshroom_tasks.cpu_engine.scene import Scene
from meshroom_tasks.cpu_engine.semi_global import aggregate, winner
from tests.cpu_engine import dense_scenes as scenes

SGM = SgmOptions(scale=2, radius=2, max_depths=128, p1=0.04, p2=0.4, axes="YX", max_partners=4)


def rendered(slope: float, waves: float = 0.0, count: int = 3) -> tuple[list[Picture], list[NDArray[np.float32]]]:
    vertices, faces = scenes.surface(slope, waves)
    pictures, depths = [], []
    for camera in scenes.cameras(count):
        image, depth = scenes.photograph(camera, vertices, faces, scenes.pattern())
        pictures.append(Picture(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32), camera))
        depths.append(depth)
    return pictures, depths


def test_a_pixel_with_its_depth_lands_where_the_other_camera_sees_the_point() -> None:
    a, b = scenes.cameras(2)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3))
    (pixels, depth), (expected, other_depth) = a.project(points), b.project(points)
    there, back = transfers(a, b)
    moved = np.column_stack([pixels * depth[:, None], depth, np.ones(20)]) @ there.T
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], expected, atol=1e-9)
    np.testing.assert_allclose(moved[:, 2], other_depth, atol=1e-9)
    returned = np.column_stack([expected * other_depth[:, None], other_depth, np.ones(20)]) @ back.T
    np.testing.assert_allclose(returned[:, :2] / returned[:, 2:], pixels, atol=1e-9)


def test_hypotheses_are_a_pixel_apart_in_the_partner() -> None:
    a, b = scenes.cameras(2)
    inverse = inverse_depths(a, [b], 2.0, 5.0, least=4, most=500)
    assert (1 / inverse[0], 1 / inverse[-1]) == (pytest.approx(5.0), pytest.approx(2.0))
    transfer = epipolar_transfer(a, b)
    places = np.array([transfer @ (a.width / 2, a.height / 2, 1, w) for w in inverse])
    steps = np.linalg.norm(np.diff(places[:, :2] / places[:, 2:], axis=0), axis=1)
    assert 0.9 < steps.mean() < 1.1
    assert len(inverse_depths(a, [b], 2.0, 5.0, least=4, most=16)) == 16


def test_the_cost_is_least_at_the_true_depth_and_worst_where_no_partner_looks() -> None:
    pictures, depths = rendered(0.0)
    reference = pictures[1]
    offsets = np.linspace(-0.03, 0.03, 7, dtype=np.float32)
    base = (1 / np.maximum(depths[1], 1e-3)).astype(np.float32)
    volume = matching_cost(reference, [pictures[0], pictures[2]], base, offsets, radius=2)
    inner = volume[20:-20, 40:-40]
    assert volume.max() <= COST_MAX
    assert (inner.argmin(axis=2) == 3).mean() > 0.97
    assert np.median(inner[..., 3]) < 0.1 * COST_MAX
    behind = matching_cost(reference, [pictures[0]], np.full_like(base, -1.0), offsets, radius=2)
    assert (behind == COST_MAX).all()


def brute_force(volume: NDArray[np.uint16], p1: float, p2: float) -> NDArray[np.int64]:
    """Equation 13 of Hirschmueller (2008), pixel by pixel, over the four straight paths."""
    height, width, depths = volume.shape
    total = np.zeros(volume.shape)
    for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        path = np.zeros(volume.shape)
        for y in range(height) if dy >= 0 else range(height - 1, -1, -1):
            for x in range(width) if dx >= 0 else range(width - 1, -1, -1):
                if not (0 <= y - dy < height and 0 <= x - dx < width):
                    path[y, x] = volume[y, x]
                    continue
                before = path[y - dy, x - dx]
                for d in range(depths):
                    steps = [before[e] + (0 if e == d else p1 if abs(e - d) == 1 else p2) for e in range(depths)]
                    path[y, x, d] = volume[y, x, d] + min(steps) - before.min()
        total += path
    return np.rint(total).astype(np.int64)


def test_aggregation_is_that_of_the_paper() -> None:
    volume = np.random.default_rng(3).integers(0, COST_MAX, (6, 7, 9)).astype(np.uint16)
    flat = np.zeros((6, 7), np.float32)
    np.testing.assert_array_equal(aggregate(volume, flat, 40, 300), brute_force(volume, 40, 300))
    only_y, only_x = aggregate(volume, flat, 40, 300, "Y"), aggregate(volume, flat, 40, 300, "X")
    np.testing.assert_array_equal(only_y + only_x, aggregate(volume, flat, 40, 300, "YX"))


def test_an_edge_in_the_image_makes_a_jump_in_depth_cheap() -> None:
    volume = np.full((1, 8, 20), 500, np.uint16)
    volume[0, :4, 3], volume[0, 4:, 15], volume[0, 4:, 3] = 0, 60, 100
    edge = np.zeros((1, 8), np.float32)
    edge[:, 4:] = 240
    smooth, _ = winner(aggregate(volume, np.zeros_like(edge), 20, 400, "X"), volume)
    cut, _ = winner(aggregate(volume, edge, 20, 400, "X"), volume)
    assert smooth[0, 7] == pytest.approx(3, abs=0.6)
    assert cut[0, 7] == pytest.approx(15, abs=0.6)


def test_the_winner_lies_at_the_vertex_of_the_parabola() -> None:
    d = np.arange(12)
    total = np.rint(100 * (d - 5.3) ** 2).astype(np.uint16)[None, None]
    index, cost = winner(total, total)
    assert index[0, 0] == pytest.approx(5.3, abs=0.01)
    assert cost[0, 0] == total[0, 0, 5]


@pytest.mark.parametrize(("slope", "waves"), [(0.0, 0.0), (0.5, 0.0), (0.2, 0.08)], ids=["facing", "slanted", "wavy"])
def test_depth_of_a_known_surface_is_recovered(slope: float, waves: float) -> None:
    pictures, depths = rendered(slope, waves, 5)
    truth = depths[2]
    partners = [pictures[k] for k in (1, 3, 0, 4)]
    known = cv2.erode((truth > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    errors = []
    for refine in (None, RefineOptions(half_depths=5, radius=2, max_partners=4)):
        depth, score = estimate_depth(pictures[2], partners, 2.0, 4.5, SGM, refine)
        errors.append(np.abs(depth - truth)[known] / truth[known])
    assert np.median(errors[0]) < 0.01
    assert np.median(errors[1]) < 0.003
    assert np.percentile(errors[1], 90) < 0.01
    assert np.median(score[known]) > 0.8


def test_partners_are_neighbours_within_the_angles_asked_for() -> None:
    views = scenes.cameras(7)
    vertices, _ = scenes.surface()
    scene = Scene(views, scenes.landmarks_of(vertices, views), 7)
    partners = stereo_partners(scene, 3, 2.0, 70.0)
    assert all(len(p) == 3 and view not in p for view, p in enumerate(partners))
    assert set(partners[3]) <= {1, 2, 4, 5}
    assert stereo_partners(scene, 3, 60.0, 70.0) == [[]] * 7
    near, far = depth_range(scene, 3, 0.1) or (0, 0)
    assert 2.2 < near < 2.8 < 3.2 < far < 3.9
    unseen = Scene((*views, scenes.camera_at((0, 0, 9))), scene.landmarks, 8)
    assert depth_range(unseen, 7, 0.1) is None
    assert stereo_partners(unseen, 3, 2.0, 70.0)[7] == []
