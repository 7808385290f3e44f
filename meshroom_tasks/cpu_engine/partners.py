"""Which photos help to see a photo in depth: the stereo partners of each view, chosen from the sparse landmarks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.scene import Scene

BEST_ANGLE = 8.0
"""Degrees between two viewing rays at which matching is easy and depth already well conditioned."""
_SPREAD_BELOW, _SPREAD_ABOVE = 3.0, 14.0


def stereo_partners(scene: Scene, count: int, min_angle: float, max_angle: float) -> list[list[int]]:
    """For each camera the indices of at most `count` others, best first.

    A shared landmark counts by the angle (degrees) between the two rays that see it: nothing outside
    [min_angle, max_angle], and by a piecewise Gaussian about `BEST_ANGLE` inside (Yao et al., "MVSNet", 2018, section
    4.1). The partner's score is the sum over the landmarks.
    """
    marks = scene.landmarks
    lengths = np.diff(marks.track_start)
    track_mark = np.repeat(np.arange(len(marks)), lengths)
    centres = np.array([camera.centre for camera in scene.cameras]).reshape(-1, 3)
    partners: list[list[int]] = []
    for view in range(len(scene.cameras)):
        seen = np.zeros(len(marks), bool)
        seen[track_mark[marks.track_view == view]] = True
        shared = seen[track_mark] & (marks.track_view != view)
        point, other = marks.xyz[track_mark[shared]], marks.track_view[shared]
        angle = _angles(centres[view] - point, centres[other] - point)
        spread = np.where(angle < BEST_ANGLE, _SPREAD_BELOW, _SPREAD_ABOVE)
        weight = np.exp(-0.5 * ((angle - BEST_ANGLE) / spread) ** 2)
        weight[(angle < min_angle) | (angle > max_angle)] = 0.0
        score = np.bincount(other, weight, minlength=len(scene.cameras))
        order = np.argsort(-score, kind="stable")[:count]
        partners.append([int(i) for i in order if score[i] > 0])
    return partners


def depth_range(scene: Scene, view: int, inflate: float) -> tuple[float, float] | None:
    """(nearest, farthest) depth of the landmarks that a camera sees, widened by `inflate` (0.2: 20 %).

    None where the camera sees fewer than ten landmarks.
    """
    marks = scene.landmarks
    track_mark = np.repeat(np.arange(len(marks)), np.diff(marks.track_start))
    camera = scene.cameras[view]
    points = marks.xyz[track_mark[marks.track_view == view]]
    depth = (points @ camera.R.T + camera.t)[:, 2]
    depth = depth[depth > 0]
    if len(depth) < 10:
        return None
    near, far = np.percentile(depth, (1.0, 99.0))
    return float(near / (1.0 + inflate)), float(far * (1.0 + inflate))


def _angles(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees between the rows of a and of b, both (N, 3)."""
    cosine = np.einsum("ij,ij->i", a, b) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    degrees: NDArray[np.float64] = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return degrees
