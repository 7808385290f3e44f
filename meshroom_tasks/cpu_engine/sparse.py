"""From COLMAP's reconstruction to the engine's scene: undistorted cameras, upright frame, coloured landmarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from meshroom_tasks.cpu_engine.scene import Camera, Landmarks, Scene
from meshroom_tasks.cpu_engine.sfm_data import Intrinsic, Pose, View
from meshroom_tasks.cpu_engine.upright import Similarity, upright_frame


@dataclass(frozen=True, eq=False)
class Observations:
    """Which registered image saw which landmark where; parallel arrays (T,)."""

    camera: NDArray[np.int64]
    """Index into the registered cameras."""
    landmark: NDArray[np.int64]
    pixel: NDArray[np.float64]
    """(T, 2) in the photo, the first pixel's centre at 0.5."""


@dataclass(frozen=True, eq=False)
class Sparse:
    """A reconstruction in the engine's terms."""

    scene: Scene
    views: tuple[View, ...]
    """All views, with the refined intrinsics of the cameras that took a registered one."""
    poses: dict[int, Pose]
    """View id -> pose."""
    residual: float
    """Mean reprojection error in pixels."""
    track_lengths: Counter[int]


def sparse_scene(found: Any, views: Sequence[View], auto_transform: bool) -> Sparse:
    """Convert a pycolmap reconstruction whose images are numbered from 1 in the order of the views."""
    registered = sorted(found.reg_image_ids())
    points = sorted(found.points3D.items())
    xyz = np.array([point.xyz for _, point in points], np.float64).reshape(-1, 3)
    seen = _observations(found, registered, [point for _, point in points])
    poses = [found.images[image].cam_from_world().matrix() for image in registered]
    R = np.array([pose[:, :3] for pose in poses])
    t = np.array([pose[:, 3] for pose in poses])
    own = [views[image - 1] for image in registered]
    frame = Similarity.identity()
    if auto_transform:
        centres = -np.einsum("nji,nj->ni", R, t)
        frame = upright_frame(R, centres, [view.orientation for view in own], xyz)
    cameras = tuple(
        _undistorted(view, found.images[image].camera, *frame.pose(R[index], t[index]))
        for index, (image, view) in enumerate(zip(registered, own, strict=True))
    )
    landmarks = Landmarks(
        xyz=frame.points(xyz),
        rgb=_colours(own, seen, len(xyz)),
        track_start=np.concatenate([[0], np.cumsum(np.bincount(seen.landmark, minlength=len(xyz)))]).astype(np.int64),
        track_view=seen.camera,
    )
    refined = {
        view.intrinsic.intrinsic_id: _refined(view.intrinsic, found.images[image].camera)
        for image, view in zip(registered, own, strict=True)
    }
    return Sparse(
        scene=Scene(cameras, landmarks, len(views)),
        views=tuple(
            replace(view, intrinsic=refined.get(view.intrinsic.intrinsic_id, view.intrinsic)) for view in views
        ),
        poses={camera.view_id: Pose(camera.R.T.ravel().tolist(), camera.centre.tolist()) for camera in cameras},
        residual=float(found.compute_mean_reprojection_error()),
        track_lengths=Counter(np.bincount(seen.landmark, minlength=len(xyz)).tolist()),
    )


def _observations(found: Any, registered: Sequence[int], points: Sequence[Any]) -> Observations:
    index_of = {image: index for index, image in enumerate(registered)}
    camera, landmark, pixel = [], [], []
    for number, point in enumerate(points):
        for element in point.track.elements:
            camera.append(index_of[element.image_id])
            landmark.append(number)
            pixel.append(found.images[element.image_id].points2D[element.point2D_idx].xy)
    return Observations(
        np.array(camera, np.int64), np.array(landmark, np.int64), np.array(pixel, np.float64).reshape(-1, 2)
    )


def _undistorted(view: View, camera: Any, R: NDArray[np.float64], t: NDArray[np.float64]) -> Camera:
    """The largest pinhole image without blank borders (COLMAP's rule), pixel centres moved to integers."""
    pinhole = pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), camera)
    K: NDArray[np.float64] = np.asarray(pinhole.calibration_matrix(), np.float64).copy()
    K[:2, 2] -= 0.5
    return Camera(view.view_id, view.path.name, int(pinhole.width), int(pinhole.height), K, R, t)


def _refined(intrinsic: Intrinsic, camera: Any) -> Intrinsic:
    focal, x, y, k1, k2 = map(float, camera.params)
    return replace(intrinsic, focal=focal, principal=(x, y), distortion=(k1, k2, 0.0))


def _colours(views: Sequence[View], seen: Observations, count: int) -> NDArray[np.uint8]:
    """(count, 3) mean colour of each landmark where the photos show it."""
    total = np.zeros((count, 3))
    for index, view in enumerate(views):
        mine = seen.camera == index
        with Image.open(view.path) as photo:
            pixels = np.asarray(photo.convert("RGB"))
        x, y = np.floor(seen.pixel[mine]).astype(np.int64).T
        np.add.at(
            total,
            seen.landmark[mine],
            pixels[np.clip(y, 0, pixels.shape[0] - 1), np.clip(x, 0, pixels.shape[1] - 1)],
        )
    uses = np.maximum(np.bincount(seen.landmark, minlength=count), 1)
    return np.rint(total / uses[:, None]).astype(np.uint8)
