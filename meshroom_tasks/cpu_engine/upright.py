"""An upright, centred frame of handy size for a reconstruction, whose own frame is arbitrary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UP = np.array([0.0, 1.0, 0.0])

_UP_IN_CAMERA = {1: (0, -1), 2: (0, -1), 3: (0, 1), 4: (0, 1), 5: (-1, 0), 6: (-1, 0), 7: (1, 0), 8: (1, 0)}
"""Direction (x, y) on the stored image that is up when it is shown as its EXIF orientation says."""

_LEVEL_ENOUGH = 0.1
"""Share of the horizontal directions' variance that must lie outside their main line."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale * rotation @ x + translation."""

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    @classmethod
    def identity(cls) -> Similarity:
        return cls(1.0, np.eye(3), np.zeros(3))

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (N, 3) in the new frame."""
        moved: NDArray[np.float64] = self.scale * points @ self.rotation.T + self.translation
        return moved

    def pose(self, R: NDArray[np.float64], t: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The pose (world to camera) of the same camera in the new frame, depths scaled alike."""
        turned = R @ self.rotation.T
        return turned, self.scale * t - turned @ self.translation


def upright_frame(
    rotations: NDArray[np.float64],
    centres: NDArray[np.float64],
    orientations: list[int],
    points: NDArray[np.float64],
) -> Similarity:
    """The frame with +Y up, the median landmark at the origin, and the cameras at a median distance of 1 from it.

    rotations (N, 3, 3) world to camera, centres (N, 3), EXIF orientations, landmarks (P, 3).
    """
    rotation = rotation_between(_up(rotations, orientations), UP)
    turned, cameras = points @ rotation.T, centres @ rotation.T
    middle = np.median(turned, axis=0) if len(turned) else cameras.mean(axis=0)
    distance = float(np.median(np.linalg.norm(cameras - middle, axis=1)))
    scale = 1.0 / distance if distance > 1e-12 else 1.0
    return Similarity(scale, rotation, -scale * middle)


def _up(rotations: NDArray[np.float64], orientations: list[int]) -> NDArray[np.float64]:
    """Up in the world: orthogonal to the cameras' horizontal axes, as people hold cameras level though tilted.

    M. Brown, D. Lowe, Automatic Panoramic Image Stitching using Invariant Features, IJCV 2007, section 5. Where those
    axes are all alike (views from one side) they do not tell, and the mean of the cameras' up vectors is taken.
    """
    in_camera = np.array([(*_UP_IN_CAMERA[orientation], 0) for orientation in orientations], np.float64)
    ups = np.einsum("nji,nj->ni", rotations, in_camera)
    forwards = rotations[:, 2, :]
    mean_up = ups.mean(axis=0)
    sideways = np.cross(forwards, ups)
    values, vectors = np.linalg.eigh(sideways.T @ sideways)
    up = vectors[:, 0] if values[1] > _LEVEL_ENOUGH * values[2] else mean_up
    if np.linalg.norm(up) < 1e-9:
        return UP
    up = np.asarray(up / np.linalg.norm(up), np.float64)
    return up if up @ mean_up >= 0 else -up


def rotation_between(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest rotation that takes the unit vector a to the unit vector b (Rodrigues' formula)."""
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-12:
        other = np.cross(a, np.eye(3)[np.argmin(np.abs(a))])
        other /= np.linalg.norm(other)
        half_turn: NDArray[np.float64] = 2 * np.outer(other, other) - np.eye(3)
        return half_turn
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: NDArray[np.float64] = np.eye(3) + cross + cross @ cross / (1 + cosine)
    return rotation
