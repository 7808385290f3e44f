"""An oriented point cloud from the sparse landmarks alone: what a draft is meshed from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from meshroom_tasks.cpu_engine.fusion import Cloud
from meshroom_tasks.cpu_engine.scene import Scene

NEIGHBOURS = 16
_STRAY = 2.0
"""Standard deviations from the mean distance to the neighbours at which a landmark is a stray one."""


def landmark_cloud(scene: Scene, min_observations: int = 3) -> Cloud:
    """The landmarks that at least `min_observations` photos see, without stray ones, with normals.

    A normal is that of the plane through the nearest landmarks (H. Hoppe et al., Surface reconstruction from
    unorganized points, SIGGRAPH 1992), on the side of the cameras that see the landmark. Strays are those far from
    their neighbours (R. B. Rusu et al., Towards 3D point cloud based object maps, 2008). May be empty.
    """
    marks = scene.landmarks
    seen_by = np.diff(marks.track_start)
    kept = np.nonzero(seen_by >= min_observations)[0]
    if len(kept) > NEIGHBOURS:
        mean = _neighbours(marks.xyz[kept])[0].mean(axis=1)
        kept = kept[mean <= mean.mean() + _STRAY * mean.std()]
    if len(kept) <= NEIGHBOURS:
        return Cloud(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int32))
    points = marks.xyz[kept]
    near = _neighbours(points)[1]
    normals = _plane_normals(points[near])
    towards = _mean_camera(scene)[kept] - points
    normals[np.einsum("ij,ij->i", normals, towards) < 0] *= -1
    return Cloud(points, normals, seen_by[kept].astype(np.int32))


def _neighbours(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances to the nearest other points, and the indices (N, NEIGHBOURS) of these."""
    distance, near = cKDTree(points).query(points, k=NEIGHBOURS + 1)
    return distance[:, 1:], near[:, 1:]


def _plane_normals(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit normals (N, 3) of the planes through patches (N, k, 3) of points, of either sign."""
    centred = patches - patches.mean(axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", centred, centred))
    normals: NDArray[np.float64] = vectors[:, :, 0].copy()
    return normals


def _mean_camera(scene: Scene) -> NDArray[np.float64]:
    """For each landmark (P, 3) the mean place of the cameras that see it."""
    marks = scene.landmarks
    centres = np.array([camera.centre for camera in scene.cameras]).reshape(-1, 3)
    lengths = np.diff(marks.track_start)
    of_mark = np.repeat(np.arange(len(marks)), lengths)
    total = np.stack([np.bincount(of_mark, centres[marks.track_view, axis], len(marks)) for axis in range(3)], axis=1)
    mean: NDArray[np.float64] = total / np.maximum(lengths, 1)[:, None]
    return mean
