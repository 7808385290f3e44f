"""Texture charts: connected faces of one photo, flattened by that photo's own projection.

So a chart is a piece of the photo itself, and baking copies pixels without resampling (the parametrisation of
Waechter et al. 2014, section 4.4). Faces that no photo sees are flattened along the axis that they face most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.face_views import UNSEEN
from meshroom_tasks.cpu_engine.mesh import Faces, Vertices, components, face_normals
from meshroom_tasks.cpu_engine.scene import Camera


@dataclass(frozen=True)
class Charts:
    """Faces grouped into charts and flattened."""

    chart: NDArray[np.int64]
    """(F,) chart of each face."""
    view: NDArray[np.int64]
    """(C,) camera that colours each chart, `UNSEEN` for none."""
    corners: NDArray[np.float64]
    """(F, 3, 2) the faces' corners in pixels of the photo (of the same density for charts without one)."""

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Least and greatest corner of each chart, both (C, 2)."""
        low = np.full((len(self.view), 2), np.inf)
        high = np.full((len(self.view), 2), -np.inf)
        for corner in range(3):
            np.minimum.at(low, self.chart, self.corners[:, corner])
            np.maximum.at(high, self.chart, self.corners[:, corner])
        return low, high


def make_charts(
    vertices: Vertices,
    faces: Faces,
    pairs: NDArray[np.int64],
    labels: NDArray[np.int32],
    cameras: tuple[Camera, ...],
    density: float,
) -> Charts:
    """Charts of a labelled mesh; `pairs` (E, 2) are adjacent faces, `density` the texels a photo pixel gets.

    The photos are resized to `scaled_cameras(cameras, density)`; corners are in the pixels of those.
    """
    groups = labels.astype(np.int64)
    hidden = labels == UNSEEN
    normals, areas = face_normals(vertices, faces)
    axis = np.abs(normals).argmax(axis=1)
    side = np.take_along_axis(normals, axis[:, None], axis=1)[:, 0] > 0
    groups[hidden] = len(cameras) + 2 * axis[hidden] + side[hidden]
    chart = components(faces, pairs[groups[pairs[:, 0]] == groups[pairs[:, 1]]])
    count = int(chart.max(initial=-1)) + 1
    group_of = np.zeros(count, np.int64)
    group_of[chart] = groups
    corners = np.zeros((len(faces), 3, 2))
    for index, camera in enumerate(scaled_cameras(cameras, density)):
        mine = groups == index
        if mine.any():
            corners[mine] = camera.project(vertices[faces[mine]].reshape(-1, 3))[0].reshape(-1, 3, 2)
    if hidden.any():
        scale = _texels_per_unit(corners[~hidden], areas[~hidden])
        for direction in range(6):
            mine = groups == len(cameras) + direction
            plane = [k for k in range(3) if k != direction // 2]
            corners[mine] = vertices[faces[mine]][:, :, plane] * scale
    return Charts(chart, np.where(group_of < len(cameras), group_of, UNSEEN), corners)


def scaled_cameras(cameras: tuple[Camera, ...], density: float) -> list[Camera]:
    """The cameras of the photos resized by `density`."""
    if density == 1.0:
        return list(cameras)
    return [c.scaled(max(round(c.width * density), 1), max(round(c.height * density), 1)) for c in cameras]


def _texels_per_unit(corners: NDArray[np.float64], areas: NDArray[np.float64]) -> float:
    """Half the median texel density of the seen faces: nothing is lost on faces of one flat colour."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    flat = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2.0
    valid = areas > 0
    return 0.5 * float(np.sqrt(np.median(flat[valid] / areas[valid]))) if valid.any() else 1.0
