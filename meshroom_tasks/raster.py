"""A z-buffered triangle rasteriser, compiled with numba and cached on disk.

Pixel (x, y) has its centre at the integer coordinates (x, y). Depth is measured along the viewing axis and
interpolated perspective-correctly: 1/z is linear on the screen (Blinn, "Hyperbolic interpolation", 1992). Coverage
comes from edge functions (Pineda, "A parallel algorithm for polygon rasterization", 1988).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

NONE = -1
"""Face index of a pixel that no face covers."""


def compiled(*signatures: str, fastmath: bool = False) -> Callable[[Function], Function]:
    """Compile a function for exactly these numba signatures, keep the machine code on disk, and release the GIL."""
    decorate = numba.njit(list(signatures), cache=True, nogil=True, fastmath=fastmath, error_model="numpy")
    return cast(Callable[[Function], Function], decorate)


def rasterise(
    pixels: ArrayLike, depth: ArrayLike, shape: tuple[int, int]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest face at each pixel, and its depth there.

    `pixels` (F, 3, 2) are the corners' x and y, `depth` (F, 3) their depths, `shape` the picture's (height, width).
    Returns the face index (`NONE` where there is none) and the depth (infinity where there is none), both
    (height, width). Faces with a corner behind the camera (depth not above zero), with coordinates that are not
    finite, or without area are left out; nothing is clipped at the near plane.
    """
    corners = np.ascontiguousarray(pixels, np.float64)
    inverse = _inverse_depth(depth)
    if corners.shape != (len(corners), 3, 2) or inverse.shape != corners.shape[:2]:
        raise ValueError(f"pixels must be (F, 3, 2) and depth (F, 3), not {corners.shape} and {inverse.shape}")
    face = np.full(shape, NONE, np.int32)
    nearest = np.zeros(shape, np.float32)
    _fill(corners, inverse, face, nearest)
    with np.errstate(divide="ignore"):
        return face, np.float32(1.0) / nearest


def interpolate(face: NDArray[np.int32], pixels: ArrayLike, depth: ArrayLike, values: ArrayLike) -> NDArray[np.float32]:
    """Corner `values` (F, 3, C) carried to the pixels of a face index map, perspective-correctly.

    `face` comes from `rasterise` with the same `pixels` and `depth`. Returns (height, width, C); zero where there is
    no face.
    """
    corners = np.ascontiguousarray(pixels, np.float64)
    attributes = np.ascontiguousarray(values, np.float32)
    result = np.zeros((*face.shape, attributes.shape[2]), np.float32)
    _carry(face, corners, _inverse_depth(depth), attributes, result)
    return result


def _inverse_depth(depth: ArrayLike) -> NDArray[np.float64]:
    """1/z, and 0 for depths that are not in front of the camera."""
    z = np.asarray(depth, np.float64)
    return np.ascontiguousarray(np.divide(1.0, z, out=np.zeros_like(z), where=z > 0))


@compiled("void(float64[:,:,::1], float64[:,::1], int32[:,::1], float32[:,::1])")
def _fill(
    corners: NDArray[np.float64], inverse: NDArray[np.float64], face: NDArray[np.int32], nearest: NDArray[np.float32]
) -> None:
    height, width = face.shape
    for f in range(corners.shape[0]):
        x0, y0 = corners[f, 0, 0], corners[f, 0, 1]
        dx1, dy1 = corners[f, 1, 0] - x0, corners[f, 1, 1] - y0
        dx2, dy2 = corners[f, 2, 0] - x0, corners[f, 2, 1] - y0
        area = dx1 * dy2 - dy1 * dx2
        if not (abs(area) > 1e-12 and np.isfinite(area)):
            continue
        i0, i1, i2 = inverse[f, 0], inverse[f, 1], inverse[f, 2]
        if not (i0 > 0.0 and i1 > 0.0 and i2 > 0.0):
            continue
        left = max(np.ceil(x0 + min(0.0, min(dx1, dx2)) - 1e-9), 0.0)
        right = min(np.floor(x0 + max(0.0, max(dx1, dx2)) + 1e-9), width - 1.0)
        top = max(np.ceil(y0 + min(0.0, min(dy1, dy2)) - 1e-9), 0.0)
        bottom = min(np.floor(y0 + max(0.0, max(dy1, dy2)) + 1e-9), height - 1.0)
        if right < left or bottom < top:
            continue
        for y in range(int(top), int(bottom) + 1):
            for x in range(int(left), int(right) + 1):
                b1 = ((x - x0) * dy2 - (y - y0) * dx2) / area
                b2 = ((y - y0) * dx1 - (x - x0) * dy1) / area
                # The slack closes the cracks that rounding opens between neighbours; a tie goes to the first face.
                if b1 >= -1e-9 and b2 >= -1e-9 and b1 + b2 <= 1.0 + 1e-9:
                    here = i0 + b1 * (i1 - i0) + b2 * (i2 - i0)
                    if here > nearest[y, x]:
                        nearest[y, x] = here
                        face[y, x] = f


@compiled("void(int32[:,::1], float64[:,:,::1], float64[:,::1], float32[:,:,::1], float32[:,:,::1])")
def _carry(
    face: NDArray[np.int32],
    corners: NDArray[np.float64],
    inverse: NDArray[np.float64],
    values: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    height, width = face.shape
    for y in range(height):
        for x in range(width):
            f = face[y, x]
            if f < 0:
                continue
            x0, y0 = corners[f, 0, 0], corners[f, 0, 1]
            dx1, dy1 = corners[f, 1, 0] - x0, corners[f, 1, 1] - y0
            dx2, dy2 = corners[f, 2, 0] - x0, corners[f, 2, 1] - y0
            area = dx1 * dy2 - dy1 * dx2
            b1 = ((x - x0) * dy2 - (y - y0) * dx2) / area
            b2 = ((y - y0) * dx1 - (x - x0) * dy1) / area
            w0, w1, w2 = (1.0 - b1 - b2) * inverse[f, 0], b1 * inverse[f, 1], b2 * inverse[f, 2]
            total = w0 + w1 + w2
            for c in range(values.shape[2]):
                result[y, x, c] = (w0 * values[f, 0, c] + w1 * values[f, 1, c] + w2 * values[f, 2, c]) / total
