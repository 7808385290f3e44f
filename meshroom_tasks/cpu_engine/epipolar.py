"""How a pixel with a depth in one photo maps into another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.scene import Camera


def epipolar_transfer(reference: Camera, partner: Camera) -> NDArray[np.float64]:
    """(3, 4) matrix T: pixel (x, y) at inverse depth w lies at the partner's homogeneous pixel T (x, y, 1, w)."""
    rotation = partner.R @ reference.R.T
    translation = partner.t - rotation @ reference.t
    infinite = partner.K @ rotation @ np.linalg.inv(reference.K)
    return np.column_stack([infinite, partner.K @ translation])


def transfers(a: Camera, b: Camera) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(3, 4) matrices from a's pixels to b's and back: T (x z, y z, z, 1) is the other's (x' z', y' z', z')."""
    return epipolar_transfer(a, b), epipolar_transfer(b, a)
