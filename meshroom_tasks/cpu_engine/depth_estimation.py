"""Depth of one photo: a plane sweep at a coarse size, semi-global aggregation, then a fine search at full size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.plane_sweep import COST_MAX, Picture, inverse_depths, matching_cost
from meshroom_tasks.cpu_engine.semi_global import aggregate, winner


@dataclass(frozen=True)
class SgmOptions:
    scale: int
    """The coarse size is the picture's divided by this."""
    radius: int
    """Half the matching window, in coarse pixels."""
    max_depths: int
    p1: float
    """Penalty of a change by one depth step, as a share of the largest matching cost (0..1)."""
    p2: float
    """Penalty of a larger change, likewise."""
    axes: str
    max_partners: int


@dataclass(frozen=True)
class RefineOptions:
    half_depths: int
    """Hypotheses tried on each side of the coarse depth."""
    radius: int
    max_partners: int


FEWEST_DEPTHS = 32
_REACH = 1.25
"""The fine search covers this many coarse depth steps on each side."""


def estimate_depth(
    reference: Picture,
    partners: list[Picture],
    nearest: float,
    farthest: float,
    sgm: SgmOptions,
    refine: RefineOptions | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Depth along the optical axis (H, W), and the mean ZNCC of the two best partners there (H, W, -1 to 1).

    Every pixel gets a depth within [nearest, farthest]; which of them are true is for the filters to find out. The
    partners come best first.
    """
    coarse = shrunk(reference, sgm.scale)
    coarse_partners = [shrunk(partner, sgm.scale) for partner in partners[: sgm.max_partners]]
    cameras = [partner.camera for partner in coarse_partners]
    steps = inverse_depths(coarse.camera, cameras, nearest, farthest, FEWEST_DEPTHS, sgm.max_depths)
    step = steps[1] - steps[0]
    volume = matching_cost(coarse, coarse_partners, np.zeros_like(coarse.grey), steps, sgm.radius)
    total = aggregate(volume, coarse.grey, sgm.p1 * COST_MAX, sgm.p2 * COST_MAX, sgm.axes)
    index, cost = winner(total, volume)
    size = (reference.camera.width, reference.camera.height)
    inverse: Any = cv2.resize(cv2.medianBlur(steps[0] + index * step, 3), size, interpolation=cv2.INTER_LINEAR)
    if refine is None:
        cost = np.asarray(cv2.resize(cost, size, interpolation=cv2.INTER_LINEAR), np.float32)
    else:
        offsets = np.linspace(-_REACH, _REACH, 2 * refine.half_depths + 1, dtype=np.float32) * step
        volume = matching_cost(reference, partners[: refine.max_partners], inverse, offsets, refine.radius)
        # A pixel's cost alone is noisy; its neighbours' search about the same surface.
        volume = np.asarray(cv2.blur(volume, (3, 3)), np.uint16)
        index, cost = winner(volume, volume)
        inverse = inverse + offsets[0] + index * (offsets[1] - offsets[0])
    depth = 1.0 / np.clip(inverse, 1.0 / farthest, 1.0 / nearest)
    return depth.astype(np.float32), (1.0 - cost * (2.0 / COST_MAX)).astype(np.float32)


def shrunk(picture: Picture, divisor: int) -> Picture:
    """The picture at 1/divisor of its size."""
    if divisor == 1:
        return picture
    width = max(round(picture.camera.width / divisor), 1)
    height = max(round(picture.camera.height / divisor), 1)
    grey = cv2.resize(picture.grey, (width, height), interpolation=cv2.INTER_AREA)
    return Picture(np.asarray(grey, np.float32), picture.camera.scaled(width, height))
