"""Photos without lens distortion, as pinhole images of the cameras of the scene."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.masks import filled, moved, read_mask
from meshroom_tasks.cpu_engine.pixels import read_colour
from meshroom_tasks.cpu_engine.scene import Camera
from meshroom_tasks.cpu_engine.sfm_data import Intrinsic

_QUALITY = {".png": (cv2.IMWRITE_PNG_COMPRESSION, 3), ".jpg": (cv2.IMWRITE_JPEG_QUALITY, 97)}

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]


def sampling_maps(camera: Camera, intrinsic: Intrinsic) -> Maps:
    """Where in the photo each pixel of the undistorted image lies: x and y, (height, width), for cv2.remap."""
    x = (np.arange(camera.width) - camera.K[0, 2]) / camera.K[0, 0]
    y = (np.arange(camera.height) - camera.K[1, 2]) / camera.K[1, 1]
    x, y = np.meshgrid(x, y)
    k1, k2, k3 = intrinsic.distortion
    squared = x**2 + y**2
    scale = intrinsic.focal * (1 + squared * (k1 + squared * (k2 + squared * k3)))
    # Intrinsics have pixel centres at +0.5, cv2.remap at integers.
    return (
        (x * scale + intrinsic.principal[0] - 0.5).astype(np.float32),
        (y * scale + intrinsic.principal[1] - 0.5).astype(np.float32),
    )


def undistort(photo: Path, maps: Maps, output: Path) -> None:
    """Write the undistorted photo, in the orientation of its header; a PNG keeps the photo's mask as its alpha channel.

    Raises ValueError where reading or writing fails.
    """
    image = read_colour(photo)
    mask = read_mask(photo)
    if mask is not None:
        image = filled(image, mask)
    straight = cv2.remap(image, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if mask is not None and output.suffix == ".png":
        straight = np.dstack([straight, np.where(moved(mask, *maps), 255, 0).astype(np.uint8)])
    if not cv2.imwrite(str(output), straight, _QUALITY.get(output.suffix, ())):
        raise ValueError(f"cannot write {output.name}")
