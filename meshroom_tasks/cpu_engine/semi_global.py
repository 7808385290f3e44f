"""Semi-global aggregation of a matching cost volume.

Hirschmueller, "Stereo processing by semiglobal matching and mutual information" (2008), equations 12 to 14, along
straight paths: a change of one depth step costs P1, a larger one P2, lower where the image has an edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.raster import compiled

AXES = ("Y", "X", "YX")


def aggregate(
    volume: NDArray[np.uint16], guide: NDArray[np.float32], p1: float, p2: float, axes: str = "YX"
) -> NDArray[np.uint16]:
    """Sum of the path costs (H, W, D) over both directions of each axis in `axes` (four paths for "YX").

    `guide` (H, W) is the grey image; between neighbours that differ by g grey levels the large step costs
    max(p1, p2 / (1 + g / 16)). The sum of all paths must stay below 65536: keep 4 (cost + p2) under that.
    """
    total = np.zeros(volume.shape, np.uint16)
    lines = np.ascontiguousarray(guide, np.float32)
    if "Y" in axes:
        _paths(volume, lines, np.float32(p1), np.float32(p2), total)
    if "X" in axes:
        _paths(volume.transpose(1, 0, 2), lines.T, np.float32(p1), np.float32(p2), total.transpose(1, 0, 2))
    return total


@compiled("void(uint16[:,:,:], float32[:,:], float32, float32, uint16[:,:,:])", fastmath=True)
def _paths(
    volume: NDArray[np.uint16], guide: NDArray[np.float32], p1: np.float32, p2: np.float32, total: NDArray[np.uint16]
) -> None:
    """Down and up the first axis of all three arrays, one line after another."""
    height, width, depths = volume.shape
    edge = np.float32(1.0 / 16.0)
    far = np.float32(1e9)
    # One guard cell at both ends of a path's costs spares the test for the first and last depth.
    before = np.empty(depths + 2, np.float32)
    for direction in range(2):
        for x in range(width):
            before[:] = np.float32(0.0)
            least = np.float32(0.0)
            for step in range(height):
                y = step if direction == 0 else height - 1 - step
                if step > 0:
                    change = abs(guide[y, x] - guide[y - 1 if direction == 0 else y + 1, x])
                    jump = max(p1, p2 / (np.float32(1.0) + change * edge)) + least
                else:
                    jump = far
                before[0] = far
                before[depths + 1] = far
                floor = least
                least = far
                left = far
                for d in range(depths):
                    here = before[d + 1]
                    cost = min(min(here, jump), min(left, before[d + 2]) + p1) - floor + np.float32(volume[y, x, d])
                    left = here
                    before[d + 1] = cost
                    total[y, x, d] += np.uint16(cost)
                    least = min(least, cost)


def winner(total: NDArray[np.uint16], volume: NDArray[np.uint16]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Best hypothesis of each pixel with a parabola through its neighbours, and its own matching cost.

    Returns the fractional index along the last axis (H, W) and the cost there (H, W).
    """
    index = np.zeros(total.shape[:2], np.float32)
    cost = np.zeros(total.shape[:2], np.float32)
    _winner(total, volume, index, cost)
    return index, cost


@compiled("void(uint16[:,:,::1], uint16[:,:,::1], float32[:,::1], float32[:,::1])")
def _winner(
    total: NDArray[np.uint16], volume: NDArray[np.uint16], index: NDArray[np.float32], cost: NDArray[np.float32]
) -> None:
    height, width, depths = total.shape
    for y in range(height):
        for x in range(width):
            best = 0
            for d in range(1, depths):
                if total[y, x, d] < total[y, x, best]:
                    best = d
            offset = np.float32(0.0)
            if 0 < best < depths - 1:
                before = np.float32(total[y, x, best - 1])
                after = np.float32(total[y, x, best + 1])
                bend = before + after - np.float32(2.0) * np.float32(total[y, x, best])
                if bend > 0:
                    offset = np.float32(0.5) * (before - after) / bend
            index[y, x] = np.float32(best) + offset
            cost[y, x] = np.float32(volume[y, x, best])
