"""Agreement between depth maps: a depth stays where other photos see the same surface point."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.depth_maps import DepthMap
from meshroom_tasks.cpu_engine.epipolar import transfers
from meshroom_tasks.raster import compiled

_NO_LEVEL = -32768


def consistent_depth(
    reference: DepthMap,
    others: list[DepthMap],
    needed: NDArray[np.int32],
    tolerance: float,
    depth_tolerance: float = 0.01,
    speck: int = 40,
) -> NDArray[np.float32]:
    """The reference's depth (H, W) where enough photos share it, 0 elsewhere.

    `needed` (H, W) is how many photos must agree at each pixel, the reference itself counted.

    Forward-backward check (Schoenberger et al., "Pixelwise view selection for unstructured multi-view stereo", 2016,
    section 4.4; Merrell et al., "Real-time visibility-based fusion of depth maps", 2007): the point is projected into
    the other photo, that photo's own depth is brought back, and must land within `tolerance` pixels and within the
    share `depth_tolerance` of the depth. A confirmed depth becomes the mean of all that agree. Patches of fewer than
    `speck` pixels are dropped.
    """
    depth = np.ascontiguousarray(reference.depth)
    total, votes = depth.copy(), np.ones(depth.shape, np.int32)
    for other in others:
        there, back = transfers(reference.camera, other.camera)
        _vote(depth, np.ascontiguousarray(other.depth), there, back, tolerance, depth_tolerance, total, votes)
    kept = np.where((depth > 0) & (votes >= needed), total / votes, 0).astype(np.float32)
    return without_specks(kept, speck)


def without_specks(depth: NDArray[np.float32], smallest: int, jump: float = 0.02) -> NDArray[np.float32]:
    """A depth map without patches of fewer than `smallest` pixels; a jump by the share `jump` ends a patch."""
    known = depth > 0
    # Differences of logarithms are ratios of depths; a thousandth is fine enough, and fits the filter's 16 bits.
    logs = 1000.0 * np.log(np.where(known, depth, 1.0) / (np.median(depth[known]) if known.any() else 1.0))
    levels = np.where(known, np.clip(np.rint(logs), -32000, 32000), _NO_LEVEL).astype(np.int16)
    cv2.filterSpeckles(levels, _NO_LEVEL, smallest - 1, round(1000.0 * jump))
    return np.where(levels == _NO_LEVEL, 0, depth).astype(np.float32)


@compiled(
    "void(float32[:,::1], float32[:,::1], float64[:,::1], float64[:,::1], float64, float64, float32[:,::1],"
    " int32[:,::1])"
)
def _vote(
    depth: NDArray[np.float32],
    other: NDArray[np.float32],
    there: NDArray[np.float64],
    back: NDArray[np.float64],
    tolerance: float,
    depth_tolerance: float,
    total: NDArray[np.float32],
    votes: NDArray[np.int32],
) -> None:
    height, width = other.shape
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            z = depth[y, x]
            if z <= 0:
                continue
            z2 = (there[2, 0] * x + there[2, 1] * y + there[2, 2]) * z + there[2, 3]
            if z2 <= 0:
                continue
            u = ((there[0, 0] * x + there[0, 1] * y + there[0, 2]) * z + there[0, 3]) / z2
            v = ((there[1, 0] * x + there[1, 1] * y + there[1, 2]) * z + there[1, 3]) / z2
            if not (u > -0.5 and v > -0.5 and u < width - 0.5 and v < height - 0.5):
                continue
            iu, iv = int(u + 0.5), int(v + 0.5)
            seen = other[iv, iu]
            if seen <= 0:
                continue
            z3 = (back[2, 0] * iu + back[2, 1] * iv + back[2, 2]) * seen + back[2, 3]
            if abs(z3 - z) > depth_tolerance * z:
                continue
            dx = ((back[0, 0] * iu + back[0, 1] * iv + back[0, 2]) * seen + back[0, 3]) / z3 - x
            dy = ((back[1, 0] * iu + back[1, 1] * iv + back[1, 2]) * seen + back[1, 3]) / z3 - y
            if dx * dx + dy * dy <= tolerance * tolerance:
                votes[y, x] += 1
                total[y, x] += z3
