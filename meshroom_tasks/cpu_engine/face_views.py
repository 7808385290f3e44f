"""Which photos see each face of a mesh, how well, and in what colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.masks import Mask, shrunk
from meshroom_tasks.cpu_engine.mesh import Faces, Vertices, face_normals
from meshroom_tasks.cpu_engine.scene import Camera
from meshroom_tasks.raster import rasterise

Image = NDArray[np.uint8]
LoadImage = Callable[[int], Image]
"""Gives the undistorted BGR image (height, width, 3) of a camera by its index."""
LoadMask = Callable[[int], Mask | None]
"""Gives the mask of a camera's image, see masks.py."""

UNSEEN = -1
_MARGIN = 2.0
"""Pixels at the image's border that are not used: undistortion leaves them half black."""
_DEPTH_TOLERANCE = 0.01


@dataclass(frozen=True)
class FaceViews:
    """The best `K` photos of each face, best first."""

    view: NDArray[np.int32]
    """(F, K) camera index, `UNSEEN` where there are fewer."""
    quality: NDArray[np.float32]
    """(F, K) the face's size in the photo, in pixels; 0 where there is none."""
    colour: NDArray[np.float32]
    """(F, K, 3) BGR about the face's middle."""

    def select(self, mask: NDArray[np.bool_]) -> FaceViews:
        """Only the entries in `mask` (F, K), moved to the front in their order."""
        order = np.argsort(~mask, axis=1, kind="stable")
        kept = np.take_along_axis(mask, order, axis=1)
        view = np.where(kept, np.take_along_axis(self.view, order, axis=1), UNSEEN).astype(np.int32)
        quality = np.where(kept, np.take_along_axis(self.quality, order, axis=1), 0).astype(np.float32)
        return FaceViews(view, quality, np.take_along_axis(self.colour, order[..., None], axis=1))


def face_views(
    cameras: tuple[Camera, ...],
    load: LoadImage,
    vertices: Vertices,
    faces: Faces,
    count: int,
    max_angle: float,
    on_view: Callable[[int], None] = lambda view: None,
    load_mask: LoadMask = lambda view: None,
) -> FaceViews:
    """The `count` photos in which each face is largest, of those that see it whole.

    A photo sees a face when its corners and its middle lie inside the image and at the depth of the z-buffer, and the
    face's normal is within `max_angle` degrees of the direction to the camera, and no masked pixel is near them.
    `on_view` is called after each photo.
    """
    normals, _ = face_normals(vertices, faces)
    middles = vertices[faces].mean(axis=1)
    best = FaceViews(
        np.full((len(faces), count), UNSEEN, np.int32),
        np.zeros((len(faces), count), np.float32),
        np.zeros((len(faces), count, 3), np.float32),
    )
    rows = np.arange(len(faces))
    for index, camera in enumerate(cameras):
        pixels, depth = camera.project(vertices)
        _, surface = rasterise(pixels[faces], depth[faces], (camera.height, camera.width))
        front = nearest_around(surface)
        if (mask := load_mask(index)) is not None:
            front[~shrunk(mask, int(_MARGIN))] = 0  # As if something stood right before the camera.
        seen = visible(camera, pixels, depth, front)[faces].all(axis=1)
        towards = camera.centre - middles
        cosine = np.einsum("ij,ij->i", towards, normals) / np.linalg.norm(towards, axis=1)
        seen &= cosine > np.cos(np.radians(max_angle))
        middle_pixels, middle_depth = camera.project(middles[seen])
        seen[seen] = visible(camera, middle_pixels, middle_depth, front)
        corners = pixels[faces[seen]]
        a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        quality = np.zeros(len(faces), np.float32)
        quality[seen] = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2.0
        worst = best.quality.argmin(axis=1)
        better = quality > best.quality[rows, worst]
        f, slot = rows[better], worst[better]
        best.view[f, slot] = index
        best.quality[f, slot] = quality[better]
        best.colour[f, slot] = sample(blurred(load(index)), camera.project(middles[better])[0])
        on_view(index)
    order = np.argsort(-best.quality, axis=1, kind="stable")
    return FaceViews(
        np.take_along_axis(best.view, order, axis=1),
        np.take_along_axis(best.quality, order, axis=1),
        np.take_along_axis(best.colour, order[..., None], axis=1),
    )


def visible(
    camera: Camera, pixels: NDArray[np.float64], depth: NDArray[np.float64], front: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Mask (N,) of the points inside the image that nothing hides; `front` comes from `nearest_around`."""
    with np.errstate(invalid="ignore"):
        inside = (pixels > _MARGIN).all(axis=1) & (
            pixels < (camera.width - 1 - _MARGIN, camera.height - 1 - _MARGIN)
        ).all(axis=1)
    inside &= depth > 0
    x, y = np.rint(pixels[inside]).astype(np.int64).T
    seen = inside.copy()
    seen[inside] = depth[inside] <= front[y, x] * (1.0 + _DEPTH_TOLERANCE)
    return seen


def nearest_around(surface: NDArray[np.float32]) -> NDArray[np.float32]:
    """The least depth in each pixel's 3 x 3: beside a silhouette, what lies behind counts as hidden."""
    return np.asarray(cv2.erode(surface, np.ones((3, 3), np.uint8)), np.float32)


def blurred(image: Image) -> Image:
    """The image without detail finer than about 1/200 of its width: colours to compare across photos."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), max(image.shape[1] / 270.0, 0.8)), np.uint8)


def sample(image: Image, pixels: NDArray[np.float64]) -> NDArray[np.float32]:
    """Bilinear BGR (N, 3) float32 at pixels (N, 2)."""
    x = np.clip(pixels[:, 0], 0, image.shape[1] - 1.001)
    y = np.clip(pixels[:, 1], 0, image.shape[0] - 1.001)
    ix, iy = x.astype(np.int64), y.astype(np.int64)
    fx, fy = (x - ix)[:, None].astype(np.float32), (y - iy)[:, None].astype(np.float32)
    above = image[iy, ix] * (1 - fx) + image[iy, ix + 1] * fx
    below = image[iy + 1, ix] * (1 - fx) + image[iy + 1, ix + 1] * fx
    return np.asarray(above * (1 - fy) + below * fy, np.float32)
