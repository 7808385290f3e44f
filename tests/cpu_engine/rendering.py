"""Photos of the corner of a room whose walls carry a random pattern: geometry and cameras known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 640, 480
FOCAL = 560.0
_TEXELS = 900
_SIDE = 3.0


@dataclass(frozen=True, eq=False)
class View:
    R: NDArray[np.float64]
    t: NDArray[np.float64]

    @property
    def centre(self) -> NDArray[np.float64]:
        centre: NDArray[np.float64] = -self.R.T @ self.t
        return centre


def _pattern(seed: int) -> NDArray[np.uint8]:
    """Noise of all sizes, so that there is something to see from near and far."""
    random = np.random.default_rng(seed)
    total = np.zeros((_TEXELS, _TEXELS, 3))
    for cells in (8, 20, 60, 180, 450):
        noise = random.uniform(-1, 1, (cells, cells, 3)).astype(np.float32)
        total += cv2.resize(noise, (_TEXELS, _TEXELS), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 60 * total, 0, 255).astype(np.uint8)


def _looking(centre: NDArray[np.float64], at: NDArray[np.float64]) -> View:
    """A camera held level; z is up."""
    forward = (at - centre) / np.linalg.norm(at - centre)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    R = np.array([right, np.cross(forward, right), forward])
    return View(R, -R @ centre)


def views(count: int) -> list[View]:
    """On an arc about the corner at the origin, at changing heights."""
    angles = np.radians(np.linspace(20, 70, count))
    heights = 1.6 + 0.4 * np.sin(np.arange(count) * 2.1)
    return [
        _looking(np.array([3.2 * np.cos(a), 3.2 * np.sin(a), h]), np.array([0.7, 0.7, 0.6]))
        for a, h in zip(angles, heights, strict=True)
    ]


def render(folder: Path, count: int, with_focal: bool = True) -> list[View]:
    """Write `0.jpg` ... into a new folder; returns the true cameras."""
    folder.mkdir(parents=True)
    K = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
    axes = np.eye(3)
    walls = [(axes[0], axes[1]), (axes[0], axes[2]), (axes[1], axes[2])]
    patterns = [_pattern(seed) for seed in range(3)]
    cameras = views(count)
    for index, view in enumerate(cameras):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for (a, b), pattern in zip(walls, patterns, strict=True):
            scale = _SIDE / _TEXELS
            to_pixels = K @ np.column_stack([view.R @ a * scale, view.R @ b * scale, view.t])
            drawn = cv2.warpPerspective(pattern, to_pixels, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
            mask = cv2.warpPerspective(np.ones(pattern.shape[:2], np.uint8), to_pixels, (WIDTH, HEIGHT)) > 0
            picture[mask] = drawn[mask]
        image = Image.fromarray(picture)
        exif = Image.Exif()
        if with_focal:
            equivalent = FOCAL * np.hypot(36, 24) / np.hypot(WIDTH, HEIGHT)
            exif.get_ifd(0x8769)[0xA405] = round(float(equivalent))
        image.save(folder / f"{index}.jpg", quality=92, exif=exif)
    return cameras
