"""The sparse scene that StructureFromMotion leaves for the dense nodes: undistorted cameras and coloured landmarks.

On disk: `scene.json` (cameras) and `landmarks.npz` (points and tracks), both free of absolute paths.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CAMERAS_FILE = "scene.json"
LANDMARKS_FILE = "landmarks.npz"


@dataclass(frozen=True, eq=False)
class Camera:
    """A registered view after undistortion: a pinhole whose pixel centres lie at integer coordinates."""

    view_id: int
    photo: str
    """File name of the photo."""
    width: int
    height: int
    """Size of the undistorted image in pixels."""
    K: NDArray[np.float64]
    """(3, 3) intrinsics in pixels."""
    R: NDArray[np.float64]
    """(3, 3) rotation from world to camera."""
    t: NDArray[np.float64]
    """(3,) translation: a world point X lies at R X + t in the camera's frame, z forward, y down."""

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,) position in the world."""
        centre: NDArray[np.float64] = -self.R.T @ self.t
        return centre

    def project(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World points (N, 3) -> pixels (N, 2) and depths along the optical axis (N,).

        Pixels of points that are not in front of the camera (depth <= 0) are NaN.
        """
        local = points @ self.R.T + self.t
        depth = local[:, 2]
        safe = np.where(depth > 0, depth, np.nan)
        pixels = (local[:, :2] / safe[:, None]) @ self.K[:2, :2].T + self.K[:2, 2]
        return pixels, depth

    def scaled(self, width: int, height: int) -> Camera:
        """The camera of this image resized to `width` x `height` (pixel edges keep their place, so centres move)."""
        sx, sy = width / self.width, height / self.height
        K = self.K.copy()
        K[0] *= sx
        K[1] *= sy
        K[0, 2] += 0.5 * sx - 0.5
        K[1, 2] += 0.5 * sy - 0.5
        return replace(self, width=width, height=height, K=K)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Sparse points. Point p was seen by the cameras `track_view[track_start[p]:track_start[p + 1]]` (CSR)."""

    xyz: NDArray[np.float64]
    """(P, 3) world coordinates."""
    rgb: NDArray[np.uint8]
    """(P, 3) mean colour in the photos."""
    track_start: NDArray[np.int64]
    """(P + 1,) offsets into `track_view`."""
    track_view: NDArray[np.int64]
    """(T,) indices into `Scene.cameras`."""

    def __len__(self) -> int:
        return len(self.xyz)


@dataclass(frozen=True, eq=False)
class Scene:
    """Cameras in CameraInit's view order, without the views that were not registered."""

    cameras: tuple[Camera, ...]
    landmarks: Landmarks
    view_count: int
    """Number of photos given, registered or not."""


def write_scene(folder: Path, scene: Scene) -> None:
    """Write `scene.json` and `landmarks.npz` into an existing folder."""
    cameras = [
        {
            "viewId": camera.view_id,
            "photo": camera.photo,
            "width": camera.width,
            "height": camera.height,
            "K": camera.K.tolist(),
            "R": camera.R.tolist(),
            "t": camera.t.tolist(),
        }
        for camera in scene.cameras
    ]
    (folder / CAMERAS_FILE).write_text(json.dumps({"viewCount": scene.view_count, "cameras": cameras}, indent=1))
    marks = scene.landmarks
    np.savez(
        folder / LANDMARKS_FILE,
        xyz=marks.xyz,
        rgb=marks.rgb,
        track_start=marks.track_start,
        track_view=marks.track_view,
    )


def read_scene(folder: Path) -> Scene:
    """Read what `write_scene` wrote. Raises FileNotFoundError where a file is missing."""
    content = json.loads((folder / CAMERAS_FILE).read_text())
    cameras = tuple(
        Camera(
            view_id=int(entry["viewId"]),
            photo=str(entry["photo"]),
            width=int(entry["width"]),
            height=int(entry["height"]),
            K=np.array(entry["K"], np.float64),
            R=np.array(entry["R"], np.float64),
            t=np.array(entry["t"], np.float64),
        )
        for entry in content["cameras"]
    )
    with np.load(folder / LANDMARKS_FILE) as arrays:
        marks = Landmarks(
            xyz=arrays["xyz"],
            rgb=arrays["rgb"],
            track_start=arrays["track_start"],
            track_view=arrays["track_view"],
        )
    return Scene(cameras=cameras, landmarks=marks, view_count=int(content["viewCount"]))
