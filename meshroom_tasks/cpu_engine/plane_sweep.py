"""Matching cost of a photo against its partners over a set of depth hypotheses.

Each hypothesis gives every pixel a depth; the partners' images are pulled into the reference through it (Collins,
"A space-sweep approach to true multi-image matching", 1996) and compared by zero-mean normalised cross-correlation
over a square window. The hypotheses are even in inverse depth, which is even in the partners' images (Gallup et al.,
"Real-time plane-sweeping stereo with multiple sweeping directions", 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.epipolar import epipolar_transfer
from meshroom_tasks.cpu_engine.scene import Camera
from meshroom_tasks.raster import compiled

COST_MAX = 1000
"""Cost of a perfect anti-correlation, and of a pixel that no partner sees; 0 is a perfect match."""

_BAND = 32
_NOISE = 4.0
"""Variance (grey levels squared) added to both windows, so that flat ones do not match by their noise."""


@dataclass(frozen=True)
class Picture:
    """A grey image (height, width) float32 in 0..255 with its camera."""

    grey: NDArray[np.float32]
    camera: Camera


def matching_cost(
    reference: Picture,
    partners: list[Picture],
    base: NDArray[np.float32],
    offsets: NDArray[np.float32],
    radius: int,
) -> NDArray[np.uint16]:
    """Cost volume (height, width, D): hypothesis k says that pixel (x, y) has inverse depth `base[y, x] + offsets[k]`.

    The cost is (1 - ZNCC) / 2 of the two best partners (one where a pixel is hidden does not count), scaled to
    0..COST_MAX. `radius` is half the window, in pixels.
    """
    height, width = reference.grey.shape
    source_height = max(p.grey.shape[0] for p in partners)
    source_width = max(p.grey.shape[1] for p in partners)
    sources = np.zeros((len(partners), source_height, source_width), np.float32)
    sizes = np.array([p.grey.shape for p in partners], np.int64)
    transfer = np.zeros((len(partners), 3, 4), np.float32)
    for k, partner in enumerate(partners):
        sources[k, : sizes[k, 0], : sizes[k, 1]] = partner.grey - 128.0
        transfer[k] = epipolar_transfer(reference.camera, partner.camera)
    volume = np.empty((height, width, len(offsets)), np.uint16)
    _sweep(
        np.ascontiguousarray(reference.grey - np.float32(128.0)),
        sources,
        sizes,
        transfer,
        np.ascontiguousarray(base, np.float32),
        np.ascontiguousarray(offsets, np.float32),
        radius,
        volume,
    )
    return volume


def inverse_depths(
    reference: Camera, partners: list[Camera], near: float, far: float, least: int, most: int
) -> NDArray[np.float32]:
    """Inverse depths from far to near, about one pixel apart in the widest partner at the image's centre."""
    ends = np.array([1.0 / far, 1.0 / near])
    travel = 0.0
    for partner in partners:
        matrix = epipolar_transfer(reference, partner)
        x, y = reference.width / 2, reference.height / 2
        moved = [matrix @ (x, y, 1.0, w) for w in ends]
        if all(m[2] > 0 for m in moved):
            travel = max(travel, float(np.linalg.norm(moved[1][:2] / moved[1][2] - moved[0][:2] / moved[0][2])))
    count = int(np.clip(np.ceil(travel), least, most))
    return np.linspace(ends[0], ends[1], count, dtype=np.float32)


@compiled(
    "void(float32[:,::1], float32[:,:,::1], int64[:,::1], float32[:,:,::1], float32[:,::1], float32[::1], int64,"
    " uint16[:,:,::1])",
    fastmath=True,
)
def _sweep(
    reference: NDArray[np.float32],
    sources: NDArray[np.float32],
    sizes: NDArray[np.int64],
    transfer: NDArray[np.float32],
    base: NDArray[np.float32],
    offsets: NDArray[np.float32],
    radius: int,
    volume: NDArray[np.uint16],
) -> None:
    height, width = reference.shape
    window = 2 * radius + 1
    share = np.float32(1.0 / (window * window))
    rows = _BAND + 2 * radius
    ref = np.zeros((rows, width + 2 * radius), np.float32)
    pulled = np.zeros((rows, width + 2 * radius), np.float32)
    inside = np.zeros((rows, width), np.uint8)
    columns = np.zeros((3, width + 2 * radius), np.float32)
    mean = np.zeros((_BAND, width), np.float32)
    scale = np.zeros((_BAND, width), np.float32)
    first = np.zeros((_BAND, width), np.float32)
    second = np.zeros((_BAND, width), np.float32)
    sums = np.zeros((3, width), np.float32)
    across = np.zeros(width, np.float32)
    down = np.zeros(width, np.float32)
    for top in range(0, height, _BAND):
        band = min(_BAND, height - top)
        for r in range(band + 2 * radius):
            y = min(max(top + r - radius, 0), height - 1)
            for x in range(width + 2 * radius):
                ref[r, x] = reference[y, min(max(x - radius, 0), width - 1)]
        for r in range(band):
            for x in range(width):
                s = np.float32(0.0)
                q = np.float32(0.0)
                for j in range(window):
                    for i in range(window):
                        v = ref[r + j, x + i]
                        s += v
                        q += v * v
                s *= share
                mean[r, x] = s
                scale[r, x] = np.float32(1.0) / np.sqrt(max(q * share - s * s, np.float32(0.0)) + np.float32(_NOISE))
        for k in range(offsets.shape[0]):
            offset = offsets[k]
            first[:] = np.float32(-1.0)
            second[:] = np.float32(-1.0)
            for n in range(sources.shape[0]):
                image = sources[n]
                t = transfer[n]
                limit_x = np.float32(sizes[n, 1] - 1)
                limit_y = np.float32(sizes[n, 0] - 1)
                for r in range(band + 2 * radius):
                    y = min(max(top + r - radius, 0), height - 1)
                    ax = t[0, 1] * y + t[0, 2]
                    ay = t[1, 1] * y + t[1, 2]
                    az = t[2, 1] * y + t[2, 2]
                    near = base[y]
                    covered = inside[r]
                    line = pulled[r, radius : radius + width]
                    for x in range(width):
                        w = near[x] + offset
                        z = t[2, 0] * x + az + t[2, 3] * w
                        u = (t[0, 0] * x + ax + t[0, 3] * w) / z
                        v = (t[1, 0] * x + ay + t[1, 3] * w) / z
                        ok = (z > 0) & (u >= 0) & (v >= 0) & (u < limit_x) & (v < limit_y)
                        covered[x] = ok
                        across[x] = u if ok else np.float32(0.0)
                        down[x] = v if ok else np.float32(0.0)
                    for x in range(width):
                        iu = np.uint32(across[x])
                        iv = np.uint32(down[x])
                        fu = across[x] - np.float32(iu)
                        fv = down[x] - np.float32(iv)
                        one = np.uint32(1)
                        above = image[iv, iu] + fu * (image[iv, iu + one] - image[iv, iu])
                        below = image[iv + one, iu] + fu * (image[iv + one, iu + one] - image[iv + one, iu])
                        line[x] = above + fv * (below - above)
                    pulled[r, :radius] = line[0]
                    pulled[r, radius + width :] = line[width - 1]
                for r in range(band):
                    columns[:] = np.float32(0.0)
                    for j in range(window):
                        theirs = pulled[r + j]
                        ours = ref[r + j]
                        for x in range(width + 2 * radius):
                            p = theirs[x]
                            columns[0, x] += p
                            columns[1, x] += p * p
                            columns[2, x] += p * ours[x]
                    sums[:] = np.float32(0.0)
                    for i in range(window):
                        for c in range(3):
                            part = columns[c, i : i + width]
                            whole = sums[c]
                            for x in range(width):
                                whole[x] += part[x]
                    covered = inside[r + radius]
                    best = first[r]
                    runner_up = second[r]
                    for x in range(width):
                        m = sums[0, x] * share
                        variance = max(sums[1, x] * share - m * m, np.float32(0.0)) + np.float32(_NOISE)
                        score = (sums[2, x] * share - m * mean[r, x]) * scale[r, x] / np.sqrt(variance)
                        score = score if covered[x] else np.float32(-1.0)
                        runner_up[x] = max(runner_up[x], min(best[x], score))
                        best[x] = max(best[x], score)
            single = sources.shape[0] == 1
            for r in range(band):
                for x in range(width):
                    other = first[r, x] if single else second[r, x]
                    cost = (np.float32(2.0) - first[r, x] - other) * np.float32(0.25 * COST_MAX)
                    volume[top + r, x, k] = np.uint16(min(max(cost, np.float32(0.0)), np.float32(COST_MAX)))
