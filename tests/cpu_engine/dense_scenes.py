"""Small scenes for the dense half of the engine: a wavy, patterned surface seen by cameras that are known exactly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.scene import Camera, Landmarks, Scene, write_scene
from meshroom_tasks.raster import interpolate, rasterise

WIDTH, HEIGHT, FOCAL = 160, 120, 170.0
TEXTURE_SIDE = 512


def camera_at(centre: tuple[float, float, float], at: tuple[float, float, float] = (0, 0, 0), view: int = 0) -> Camera:
    """A camera that looks at a point; the world's y points down in its image."""
    position, target = np.array(centre, float), np.array(at, float)
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    K = np.array([[FOCAL, 0, WIDTH / 2 - 0.5], [0, FOCAL, HEIGHT / 2 - 0.5], [0, 0, 1]])
    return Camera(100 + view, f"{view:04d}_photo.jpg", WIDTH, HEIGHT, K, rotation, -rotation @ position)


def cameras(count: int) -> tuple[Camera, ...]:
    """Cameras side by side at z = -3, a few degrees apart."""
    return tuple(
        camera_at((x, 0.25 * (-1) ** k, -3.0), view=k) for k, x in enumerate(np.linspace(-0.9, 0.9, count).tolist())
    )


def surface(slope: float = 0.3, waves: float = 0.0, side: int = 60) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A square sheet about the origin, slanted in x, facing the cameras."""
    x, y = np.meshgrid(np.linspace(-1.2, 1.2, side), np.linspace(-0.9, 0.9, side))
    z = slope * x + waves * np.sin(5 * x) * np.cos(4 * y)
    i = np.arange(side - 1)[:, None] * side + np.arange(side - 1)
    faces = np.concatenate(
        [
            np.stack([i, i + side, i + 1], axis=-1).reshape(-1, 3),
            np.stack([i + 1, i + side, i + side + 1], axis=-1).reshape(-1, 3),
        ]
    )
    return np.stack([x, y, z], axis=-1).reshape(-1, 3), faces.astype(np.int64)


def pattern(seed: int = 0) -> NDArray[np.float32]:
    """(TEXTURE_SIDE, TEXTURE_SIDE, 3) noise at several scales, 0..255."""
    rng = np.random.default_rng(seed)
    total = np.zeros((TEXTURE_SIDE, TEXTURE_SIDE, 3), np.float32)
    for cells in (16, 48, 128):
        layer = rng.uniform(-1, 1, (cells, cells, 3)).astype(np.float32)
        total += cv2.resize(layer, (TEXTURE_SIDE, TEXTURE_SIDE), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 60 * total, 5, 250)


def photograph(
    camera: Camera, vertices: NDArray[np.float64], faces: NDArray[np.int64], colours: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The BGR image and the depth (0: nothing) of a sheet that wears `colours` by its x and y."""
    pixels, depth = camera.project(vertices)
    face, z = rasterise(pixels[faces], depth[faces], (camera.height, camera.width))
    places = interpolate(face, pixels[faces], depth[faces], vertices[faces])
    u = (places[..., 0] / 2.4 + 0.5) * (TEXTURE_SIDE - 1)
    v = (places[..., 1] / 1.8 + 0.5) * (TEXTURE_SIDE - 1)
    image = cv2.remap(colours, u, v, cv2.INTER_LINEAR)
    image[face < 0] = 0
    return np.rint(image).astype(np.uint8), np.where(face >= 0, z, 0).astype(np.float32)


def landmarks_of(vertices: NDArray[np.float64], views: tuple[Camera, ...], count: int = 300) -> Landmarks:
    """Vertices of the sheet as landmarks, each seen by every camera that has it in its image."""
    rng = np.random.default_rng(1)
    xyz = vertices[rng.choice(len(vertices), count, replace=False)]
    tracks: list[list[int]] = [[] for _ in xyz]
    for index, camera in enumerate(views):
        pixels, _ = camera.project(xyz)
        for p in np.nonzero(((pixels > 0) & (pixels < (WIDTH, HEIGHT))).all(axis=1))[0]:
            tracks[p].append(index)
    start = np.cumsum([0, *map(len, tracks)])
    flat = np.array([view for track in tracks for view in track], np.int64)
    return Landmarks(xyz, np.full((count, 3), 128, np.uint8), start.astype(np.int64), flat)


def write_dense_scene(folder: Path, count: int = 5) -> Scene:
    """`sfm/` and `images/` of a wavy sheet, as StructureFromMotion and PrepareDenseScene leave them."""
    vertices, faces = surface(0.2, 0.08)
    views, colours = cameras(count), pattern()
    scene = Scene(views, landmarks_of(vertices, views), count)
    (folder / "sfm").mkdir(parents=True)
    (folder / "images").mkdir()
    write_scene(folder / "sfm", scene)
    for camera in views:
        image, _ = photograph(camera, vertices, faces, colours)
        assert cv2.imwrite(str(folder / "images" / f"{camera.view_id}.png"), image)
    return scene
