"""Masks: a photo's transparent pixels belong to nothing that is to be reconstructed.

A mask is (height, width) bool, True where the photo counts. None stands for a photo that counts everywhere.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from meshroom_tasks.cpu_engine.pixels import opened

Mask = NDArray[np.bool_]

LEAST_ALPHA = 128
"""Of 255, for a pixel that counts: programs that remove backgrounds leave a faint haze of them."""
_WHOLE = 0.999
"""Share of a resampled pixel that must count for it to count; short of 1 by rounding."""


def read_mask(path: Path) -> Mask | None:
    """The mask that a photo carries, in the orientation of its header. None where no pixel is transparent.

    Only the header of a photo without transparency is read. Raises ValueError when it cannot be read.
    """
    Image.MAX_IMAGE_PIXELS = None
    try:
        with opened(path) as image:
            if not image.has_transparency_data:
                return None
            mask = np.asarray(image.convert("RGBA").getchannel("A")) >= LEAST_ALPHA
    except (OSError, SyntaxError) as error:
        raise ValueError(f"cannot read {path.name}") from error
    return None if mask.all() else np.asarray(mask, np.bool_)


def filled(image: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    """The image (height, width, 3) with each masked pixel's colour taken from the nearest one that counts.

    Whatever lies under a mask is then no longer in the image, and interpolation beside it brings nothing in.
    """
    if not mask.any():
        return np.zeros_like(image)
    _, nearest = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((int(nearest.max()) + 1, 3), np.uint8)
    table[nearest[mask]] = image[mask]
    return np.asarray(table[nearest], np.uint8)


def moved(mask: Mask, x: NDArray[np.float32], y: NDArray[np.float32]) -> Mask:
    """The mask as seen at places (x, y) of it, for cv2.remap: a pixel counts where all that it is made of does."""
    shares = cv2.remap(mask.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(shares > _WHOLE, np.bool_)


def resized(mask: Mask, width: int, height: int) -> Mask:
    """The mask at another size: a pixel counts where all that it covers does."""
    shares = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shares > _WHOLE, np.bool_)


def shrunk(mask: Mask, margin: int) -> Mask:
    """The mask without the pixels that have a masked one within `margin` pixels."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return np.asarray(cv2.erode(mask.astype(np.uint8), kernel), np.bool_)


def counts_at(mask: Mask, points: NDArray[np.floating]) -> Mask:
    """Which of the points (N, 2) lie on pixels that count; the first pixel's centre is at 0.5."""
    height, width = mask.shape
    x = np.clip(points[:, 0].astype(np.int64), 0, width - 1)
    y = np.clip(points[:, 1].astype(np.int64), 0, height - 1)
    return np.asarray(mask[y, x], np.bool_)
