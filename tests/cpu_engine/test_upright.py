from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.upright import UP, Similarity, rotation_between, upright_frame

RANDOM = np.random.default_rng(3)


def random_rotation() -> NDArray[np.float64]:
    q, r = np.linalg.qr(RANDOM.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return result


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (UP, UP),
        (UP, -UP),
        (np.array([1.0, 0, 0]), UP),
        (unit(np.array([1.0, 2, 3])), unit(np.array([-3.0, 1, 0.5]))),
        (unit(np.array([1.0, 2, 3])), -unit(np.array([1.0, 2, 3]))),
    ],
)
def test_rotation_between(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    R = rotation_between(a, b)
    assert np.abs(R @ a - b).max() < 1e-9
    assert np.abs(R @ R.T - np.eye(3)).max() < 1e-12
    assert np.linalg.det(R) == pytest.approx(1)


def test_a_moved_camera_sees_a_moved_point_where_it_was() -> None:
    similarity = Similarity(2.5, random_rotation(), RANDOM.normal(size=3))
    R, t, point = random_rotation(), RANDOM.normal(size=3), RANDOM.normal(size=(1, 3))
    before = R @ point[0] + t
    turned, shift = similarity.pose(R, t)
    after = turned @ similarity.points(point)[0] + shift
    assert after == pytest.approx(2.5 * before)


def level_cameras(angles: NDArray[np.float64], tilt: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotations (world to camera) and centres around the y axis, all tilted down by `tilt` radians, held level."""
    rotations, centres = [], []
    for angle in angles:
        centre = np.array([np.sin(angle) * 5, 5 * np.tan(tilt), np.cos(angle) * 5])
        forward = unit(-centre)
        right = unit(np.cross(forward, UP))
        rotations.append([right, np.cross(forward, right), forward])
        centres.append(centre)
    return np.array(rotations), np.array(centres)


def rolled(rotations: NDArray[np.float64], orientation: int) -> NDArray[np.float64]:
    """As the sensor sees it when the photo must be turned by its EXIF orientation to stand upright."""
    quarter = {1: 0, 6: 1, 3: 2, 8: 3}[orientation]
    c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter]
    turned: NDArray[np.float64] = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]) @ rotations
    return turned


@pytest.mark.parametrize("orientation", [1, 6, 3, 8])
@pytest.mark.parametrize(
    ("angles", "tilt", "tolerance"),
    [
        (np.linspace(0, 2 * np.pi, 12, endpoint=False), 0.6, 1.0),
        (np.linspace(0, 2.0, 8), 0.6, 1.0),
        (np.linspace(0, 0.2, 8), 0.05, 5.0),
    ],
    ids=["full circle, looking down", "arc, looking down", "all from one side"],
)
def test_up_is_found(angles: NDArray[np.float64], tilt: float, tolerance: float, orientation: int) -> None:
    rotations, centres = level_cameras(angles, tilt)
    rotations = rolled(rotations, orientation)
    hidden = Similarity(1.7, random_rotation(), RANDOM.normal(size=3))
    poses = [hidden.pose(R, -R @ centre) for R, centre in zip(rotations, centres, strict=True)]
    points = RANDOM.normal(size=(50, 3))
    frame = upright_frame(
        np.array([R for R, _ in poses]),
        hidden.points(centres),
        [orientation] * len(poses),
        hidden.points(points),
    )
    found = frame.rotation @ hidden.rotation @ UP
    assert np.degrees(np.arccos(np.clip(found @ UP, -1, 1))) < tolerance
    moved = frame.points(hidden.points(points))
    assert np.median(moved, axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    distances = np.linalg.norm(frame.points(hidden.points(centres)), axis=1)
    assert np.median(distances) == pytest.approx(1)
