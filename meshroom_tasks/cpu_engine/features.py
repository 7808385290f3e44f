"""Local features of one view, and the file that holds them.

Keypoints are rows of x, y (pixels, the first pixel's centre at 0.5), scale (standard deviation of the blur in pixels)
and orientation (radians). Descriptors are 128 bytes: SIFT, square-rooted (R. Arandjelovic, A. Zisserman, Three things
everyone should know to improve object retrieval, CVPR 2012) and scaled by 512, as COLMAP's matcher takes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Features:
    keypoints: NDArray[np.float32]
    """(N, 4): x, y, scale, orientation; the most telling first."""
    descriptors: NDArray[np.uint8]
    """(N, 128)."""

    def __len__(self) -> int:
        return len(self.keypoints)

    def select(self, chosen: NDArray[np.bool_], most: int) -> Features:
        """The first `most` of those that are chosen (N,)."""
        rows = np.nonzero(chosen)[0][:most]
        return Features(self.keypoints[rows], self.descriptors[rows])


def features_path(folder: Path, view_id: int, describer: str) -> Path:
    return folder / f"{view_id}.{describer}.npz"


def find_features(folders: Iterable[str], view_id: int, describer: str = "*") -> Path:
    """The file of a view's features in one of the folders. Raises FileNotFoundError."""
    for folder in folders:
        for path in sorted(Path(folder).glob(f"{view_id}.{describer}.npz")):
            return path
    raise FileNotFoundError(f"Can't find view {view_id} region files")


def write_features(path: Path, features: Features) -> None:
    np.savez(path, keypoints=features.keypoints, descriptors=features.descriptors)


def read_features(path: Path) -> Features:
    """Raises FileNotFoundError."""
    with np.load(path) as arrays:
        return Features(arrays["keypoints"], arrays["descriptors"])
