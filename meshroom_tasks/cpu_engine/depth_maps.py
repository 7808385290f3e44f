"""Depth maps on disk: `<viewId>_depthMap.npz` with the depth, its score and the camera that it belongs to.

A depth map may be smaller than the undistorted photo (DepthMap's `downscale`); its camera is the photo's, scaled.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.scene import Camera


@dataclass(frozen=True)
class DepthMap:
    """Depths along the optical axis (height, width) float32, 0 where unknown; pixel centres at integers."""

    camera: Camera
    depth: NDArray[np.float32]
    score: NDArray[np.float32]
    """Mean ZNCC, -1 to 1."""


def write_depth_map(folder: Path, depth_map: DepthMap) -> Path:
    """Write the map into a folder. Scores are kept in half precision."""
    path = folder / file_name(depth_map.camera)
    arrays = {"depth": depth_map.depth.astype(np.float32), "score": depth_map.score.astype(np.float16)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return path


def read_depth_map(folder: Path, camera: Camera) -> DepthMap | None:
    """The map of a camera of the scene, or None when there is none."""
    path = folder / file_name(camera)
    if not path.exists():
        return None
    with np.load(path) as arrays:
        depth, score = arrays["depth"], arrays["score"].astype(np.float32)
    return DepthMap(camera.scaled(depth.shape[1], depth.shape[0]), depth, score)


def read_depth_maps(folder: Path, cameras: tuple[Camera, ...]) -> list[DepthMap | None]:
    """The maps of all cameras, None for those without one."""
    return [read_depth_map(folder, camera) for camera in cameras]


def file_name(camera: Camera) -> str:
    return f"{camera.view_id}_depthMap.npz"
