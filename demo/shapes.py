"""What the demo photographs: a lidded jar with twisted lobes on a round table top, as dense triangle grids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import map_coordinates

# Radius and height along the jar's outline, from the middle of the foot to the top of the knob.
_OUTLINE = np.array(
    [
        (0.00, 0.00), (0.40, 0.00), (0.50, 0.01), (0.52, 0.05), (0.505, 0.10), (0.505, 0.15), (0.55, 0.22),
        (0.63, 0.38), (0.695, 0.60), (0.725, 0.82), (0.68, 1.04), (0.57, 1.22), (0.45, 1.33), (0.415, 1.37),
        (0.45, 1.41), (0.46, 1.45), (0.43, 1.49), (0.34, 1.56), (0.22, 1.625), (0.13, 1.67), (0.105, 1.71),
        (0.135, 1.76), (0.15, 1.81), (0.12, 1.865), (0.06, 1.895), (0.00, 1.90),
    ]
)  # fmt: skip
HEIGHT = 1.90
RADIUS = 0.80
"""No part of the jar is farther from its axis."""
TABLE_RADIUS = 1.2
_LOBES, _TWIST, _LOBE_DEPTH = 9, 1.1, 0.16


@dataclass(frozen=True)
class Grid:
    """A closed or open surface of `rows` x `columns` vertices, the columns running round."""

    vertices: NDArray[np.float64]
    """(rows * columns, 3), row after row."""
    faces: NDArray[np.int64]
    """(F, 3), counter-clockwise seen from outside."""
    along: NDArray[np.float64]
    """(rows * columns,) 0 at the first row, 1 at the last."""


def jar(rows: int, columns: int) -> Grid:
    """The closed jar, standing on z = 0 about the z axis."""
    outline = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(_OUTLINE, axis=0), axis=1))])
    along = np.linspace(0.0, 1.0, rows)
    radius = PchipInterpolator(outline / outline[-1], _OUTLINE[:, 0])(along)[:, None]
    height = PchipInterpolator(outline / outline[-1], _OUTLINE[:, 1])(along)[:, None]
    turn = np.linspace(0.0, 2.0 * np.pi, columns, endpoint=False)[None]
    # Lobes swell from the foot to the shoulder and again, flatter, on the lid.
    body = np.clip((height - 0.14) / 0.14, 0, 1) * np.clip((1.34 - height) / 0.16, 0, 1)
    lid = 0.6 * np.clip((height - 1.49) / 0.05, 0, 1) * np.clip((1.67 - height) / 0.06, 0, 1)
    amount = _smooth(np.where(height < 1.4, body, lid))
    phase = 0.5 * (_LOBES * turn + 2.0 * np.pi * _TWIST * height / 1.2)
    valley = 1.0 - np.sqrt(np.sin(phase) ** 2 + 0.01)
    radius = radius * (1.0 - _LOBE_DEPTH * amount * valley)
    points = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.broadcast_to(height, radius.shape)], axis=-1)
    return Grid(points.reshape(-1, 3), _ring_faces(rows, columns), np.repeat(along, columns))


def table(rows: int, columns: int) -> Grid:
    """The round table top at z = 0 with a rounded edge, open at the bottom."""
    along = np.linspace(0.0, 1.0, rows)
    flat = TABLE_RADIUS - 0.05
    length = flat + 0.05 * np.pi / 2 + 0.10
    distance = (1.0 - along) * length
    bend = np.clip((distance - flat) / 0.05, 0.0, np.pi / 2)
    radius = np.minimum(distance, flat) + 0.05 * np.sin(bend)
    height = 0.05 * (np.cos(bend) - 1.0) - np.maximum(distance - flat - 0.05 * np.pi / 2, 0.0)
    turn = np.linspace(0.0, 2.0 * np.pi, columns, endpoint=False)[None]
    points = np.stack(
        [radius[:, None] * np.cos(turn), radius[:, None] * np.sin(turn), height[:, None] + 0.0 * turn], axis=-1
    )
    return Grid(points.reshape(-1, 3), _ring_faces(rows, columns), np.repeat(along, columns))


def normals(grid: Grid) -> NDArray[np.float64]:
    """(V, 3) unit normals, outwards."""
    corners = grid.vertices[grid.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.column_stack(
        [np.bincount(grid.faces.ravel(), np.repeat(cross[:, axis], 3), len(grid.vertices)) for axis in range(3)]
    )
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12), np.float64)


def resample(values: NDArray[np.float32], grid: tuple[int, int], finer: tuple[int, int]) -> NDArray[np.float32]:
    """Vertex values (rows * columns, C) of one grid of a shape carried to another of it, linearly."""
    rows = np.linspace(0, grid[0] - 1, finer[0])[:, None]
    columns = np.arange(finer[1])[None] * (grid[1] / finer[1])
    places = np.stack(np.broadcast_arrays(rows, columns)).reshape(2, -1)
    channels = values.reshape(*grid, -1)
    carried = [
        map_coordinates(np.hstack([channels[..., c], channels[:, :1, c]]), places, order=1)
        for c in range(channels.shape[2])
    ]
    return np.column_stack(carried)


def _ring_faces(rows: int, columns: int) -> NDArray[np.int64]:
    below = np.arange(rows - 1)[:, None] * columns + np.arange(columns)
    right = np.arange(rows - 1)[:, None] * columns + (np.arange(columns) + 1) % columns
    lower = np.stack([below, right, right + columns], axis=-1).reshape(-1, 3)
    upper = np.stack([below, right + columns, below + columns], axis=-1).reshape(-1, 3)
    return np.concatenate([lower, upper])


def _smooth(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x * x * (3.0 - 2.0 * x)
