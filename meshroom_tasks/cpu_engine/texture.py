"""The whole way from a mesh and its photos to a texture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.atlas import plan_layout
from meshroom_tasks.cpu_engine.baking import Texture, bake
from meshroom_tasks.cpu_engine.charts import make_charts
from meshroom_tasks.cpu_engine.face_views import UNSEEN, LoadImage, LoadMask, face_views
from meshroom_tasks.cpu_engine.labelling import consistent_views, exposure_gains, label_faces
from meshroom_tasks.cpu_engine.mesh import Faces, Vertices, adjacent_faces
from meshroom_tasks.cpu_engine.scene import Camera
from meshroom_tasks.cpu_engine.seam_levelling import seam_corrections, spread_colours

GREY = 128.0


@dataclass(frozen=True)
class TextureOptions:
    max_side: int
    density: float
    """Texels per photo pixel, at the most."""
    padding: int
    max_angle: float
    """Degrees between a face's normal and the direction to a camera."""
    photos_a_face: int
    smoothness: float
    level_exposure: bool
    fill_unseen: bool


@dataclass(frozen=True)
class TexturedMesh:
    image: Texture
    """(height, width, 3) BGR."""
    texels: NDArray[np.float64]
    """(F, 3, 2) each corner's place in the image, pixel centres at integers."""
    seen: float
    """Share of the faces that a photo coloured."""
    charts: int
    density: float
    """Texels per photo pixel in the end."""


def texture_mesh(
    vertices: Vertices,
    faces: Faces,
    cameras: tuple[Camera, ...],
    load: LoadImage,
    options: TextureOptions,
    progress: Callable[[int, int, str], None],
    load_mask: LoadMask = lambda view: None,
) -> TexturedMesh:
    """Choose a photo for each face, level the seams, lay out the charts and bake them."""
    total = 2 * len(cameras) + 2
    views = face_views(
        cameras,
        load,
        vertices,
        faces,
        options.photos_a_face,
        options.max_angle,
        lambda view: progress(view + 1, total, "photo projected"),
        load_mask,
    )
    gains = np.ones((len(cameras), 3), np.float32)
    if options.level_exposure:
        gains = exposure_gains(views, len(cameras))
    views = views.select(consistent_views(views, gains))
    pairs = adjacent_faces(faces)
    labels = label_faces(views, pairs, options.smoothness)
    progress(len(cameras) + 1, total, "photos assigned to faces")
    shift, colours = seam_corrections(vertices, faces, labels, cameras, load, gains)
    hidden = labels == UNSEEN
    shift[hidden] = spread_colours(colours, faces)[faces[hidden]] if options.fill_unseen else GREY
    progress(len(cameras) + 2, total, "seams levelled")
    charts = make_charts(vertices, faces, pairs, labels, cameras, 1.0)
    low, high = charts.bounds()
    layout = plan_layout(high - low, options.padding, options.max_side, options.density)
    if layout.density != 1.0:
        charts = make_charts(vertices, faces, pairs, labels, cameras, layout.density)
    image, texels = bake(
        charts,
        shift,
        cameras,
        load,
        layout,
        options.padding,
        lambda view: progress(len(cameras) + 3 + view, total, "photo baked"),
    )
    return TexturedMesh(image, texels, float((~hidden).mean()), len(charts.view), layout.density)
