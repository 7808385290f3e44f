"""Where each chart lies in the texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST_SIDE = 64
_ENOUGH = 0.85
"""A smaller texture is taken when it holds at least this share of the wanted density."""


@dataclass(frozen=True)
class Layout:
    """A texture and what fits into it."""

    width: int
    height: int
    density: float
    """Texels per photo pixel."""


def plan_layout(extents: NDArray[np.float64], padding: int, max_side: int, density: float) -> Layout:
    """The smallest texture that holds charts of these extents (C, 2), in photo pixels, at `density` texels a pixel.

    Width and height are powers of two up to `max_side`, equal or the width twice the height. Where not even the largest
    is enough, the density falls until it is. Raises ValueError where the padding alone is too much.
    """
    width, height = SMALLEST_SIDE, SMALLEST_SIDE
    while not (width == height == max_side):
        for share in (1.0, _ENOUGH):
            if _fits(extents, padding, width, height, density * share):
                return Layout(width, height, density * share)
        width, height = (2 * width, height) if width == height else (width, 2 * height)
    while not _fits(extents, padding, max_side, max_side, density):
        density *= 0.95
        if density < 1e-3:
            raise ValueError(f"{len(extents)} charts do not fit into a texture of {max_side} pixels: raise textureSide")
    return Layout(max_side, max_side, density)


def box_sizes(low: NDArray[np.float64], high: NDArray[np.float64], padding: int) -> NDArray[np.int64]:
    """Whole texels (C, 2), width and height, that charts with these bounds take with `padding` on each side."""
    return (np.floor(high) - np.floor(low)).astype(np.int64) + 2 + 2 * padding


def pack(sizes: NDArray[np.int64], width: int, height: int) -> NDArray[np.int64] | None:
    """Upper left corners (C, 2) of boxes (C, 2) in a rectangle, no two overlapping; None where they do not fit.

    Shelves filled from the highest box to the lowest (next-fit decreasing height: Coffman et al., "Performance bounds
    for level-oriented two-dimensional packing algorithms", 1980).
    """
    places = np.zeros((len(sizes), 2), np.int64)
    x = y = shelf = 0
    for index in np.argsort(-sizes[:, 1], kind="stable"):
        across, down = (int(size) for size in sizes[index])
        if x + across > width:
            x, y, shelf = 0, y + shelf, 0
        shelf = max(shelf, down)
        if across > width or y + shelf > height:
            return None
        places[index] = x, y
        x += across
    return places


def _fits(extents: NDArray[np.float64], padding: int, width: int, height: int, density: float) -> bool:
    # One texel more than the extent, whatever the fraction at which the chart starts.
    sizes = np.ceil(extents * density).astype(np.int64) + 3 + 2 * padding
    upright = np.sort(sizes, axis=1)[:, ::-1]
    return int(upright.prod(axis=1).sum()) <= width * height and pack(upright, width, height) is not None
