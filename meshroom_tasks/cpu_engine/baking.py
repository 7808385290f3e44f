"""The texture itself: pieces of the photos, levelled at the seams, and the corners' places in it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.atlas import Layout, box_sizes, pack
from meshroom_tasks.cpu_engine.charts import Charts, scaled_cameras
from meshroom_tasks.cpu_engine.face_views import UNSEEN, LoadImage
from meshroom_tasks.cpu_engine.scene import Camera
from meshroom_tasks.raster import interpolate, rasterise

Texture = NDArray[np.uint8]


def bake(
    charts: Charts,
    shift: NDArray[np.float32],
    cameras: tuple[Camera, ...],
    load: LoadImage,
    layout: Layout,
    padding: int,
    on_view: Callable[[int], None] = lambda view: None,
) -> tuple[Texture, NDArray[np.float64]]:
    """The texture (height, width, 3) in BGR and each face corner's texel (F, 3, 2), pixel centres at integers.

    `shift` (F, 3, 3) is added to the photo's BGR at each corner, and is the colour itself in charts without a photo.
    Charts wider than high lie as in the photo, others turned by a quarter. Raises ValueError where they do not fit.
    """
    low, high = charts.bounds()
    sizes = box_sizes(low, high, padding)
    turned = sizes[:, 1] > sizes[:, 0]
    places = pack(np.where(turned[:, None], sizes[:, ::-1], sizes), layout.width, layout.height)
    if places is None:
        raise ValueError(f"the charts do not fit into {layout.width} x {layout.height} texels")
    origin = np.floor(low).astype(np.int64) - padding
    local = charts.corners - origin[charts.chart][:, None]
    order = np.argsort(charts.chart, kind="stable")
    first = np.searchsorted(charts.chart[order], np.arange(len(sizes) + 1))
    texture = np.zeros((layout.height, layout.width, 3), np.uint8)
    scaled = scaled_cameras(cameras, layout.density)
    for view in [UNSEEN, *range(len(cameras))]:
        members = np.nonzero(charts.view == view)[0]
        if len(members) == 0:
            continue
        photo = None if view == UNSEEN else _resized(load(view), scaled[view])
        for chart in members:
            width, height = sizes[chart]
            mine = order[first[chart] : first[chart + 1]]
            piece = _corrections(local[mine], shift[mine], (int(height), int(width)))
            if photo is not None:
                rows = np.clip(np.arange(origin[chart, 1], origin[chart, 1] + height), 0, photo.shape[0] - 1)
                columns = np.clip(np.arange(origin[chart, 0], origin[chart, 0] + width), 0, photo.shape[1] - 1)
                piece += photo[rows[:, None], columns]
            colours = np.clip(np.rint(piece), 0, 255).astype(np.uint8)
            if turned[chart]:
                colours = np.rot90(colours)
            x, y = places[chart]
            texture[y : y + colours.shape[0], x : x + colours.shape[1]] = colours
        on_view(view)
    flip = turned[charts.chart]
    widths = sizes[charts.chart, 0]
    local[flip] = np.stack([local[flip][..., 1], (widths[flip] - 1)[:, None] - local[flip][..., 0]], axis=-1)
    return texture, local + places[charts.chart][:, None]


def _corrections(
    corners: NDArray[np.float64], values: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Corner values (N, 3, 3) over a chart's box, continued outwards from the nearest texel inside."""
    flat = np.ones(corners.shape[:2])
    face, _ = rasterise(corners, flat, shape)
    covered = face >= 0
    if not covered.any():
        return np.broadcast_to(values.mean(axis=(0, 1)), (*shape, 3)).astype(np.float32)
    inside = interpolate(face, corners, flat, values)
    if covered.all():
        return inside
    _, nearest = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((int(nearest.max()) + 1, 3), np.float32)
    table[nearest[covered]] = inside[covered]
    return np.asarray(table[nearest], np.float32)


def _resized(image: NDArray[np.uint8], camera: Camera) -> NDArray[np.uint8]:
    if image.shape[:2] == (camera.height, camera.width):
        return image
    return np.asarray(cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA), np.uint8)
