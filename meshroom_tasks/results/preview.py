"""A picture of the textured mesh, rendered in software from where one of the photos was taken.

The camera is the one that sees most of the surface; its picture is cropped to the mesh, which keeps the perspective
of the photo. Rendered at twice the size and averaged; textures are reduced beforehand where their texels are smaller
than those samples (Williams, "Pyramidal parametrics", 1983).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.raster import NONE, interpolate, rasterise
from meshroom_tasks.results.cameras import RegisteredCamera
from meshroom_tasks.results.textures import UNTEXTURED, areas, at_resolution, read_texture, sample, tile_uvs
from meshroom_tasks.results.wavefront import Material, TexturedMesh

SIZE = (800, 600)

_SAMPLES = 2
_MOST_CAMERAS = 60
_FRAME_CAMERAS = 3
_MOST_FACES = 20_000
_PROBE = 240
_MARGIN = 0.06
_STRAY = 0.002
_LARGEST_ZOOM = 8.0
_BACKGROUND_TOP, _BACKGROUND_BOTTOM = 242.0, 212.0

# Meshroom writes meshes in the frame of computer graphics (y up, z backwards) and cameras in that of computer vision.
_FRAMES = (np.diag([1.0, 1.0, 1.0]), np.diag([1.0, -1.0, -1.0]))


@dataclass(frozen=True, eq=False)
class _View:
    """A pinhole with its own window: `offset` is the pixel of the photo's frame at the window's upper left."""

    camera: RegisteredCamera
    scale: float
    offset: NDArray[np.float64]
    shape: tuple[int, int]

    def project(self, vertices: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        pixels, depth = self.camera.project(vertices)
        return (pixels + 0.5 - self.offset) * self.scale - 0.5, depth


def render_preview(
    mesh: TexturedMesh,
    materials: Mapping[str, Material],
    textures: Path,
    cameras: Sequence[RegisteredCamera],
    size: tuple[int, int] = SIZE,
) -> NDArray[np.uint8]:
    """The picture (height, width, 3) in the order blue, green, red; `size` is its width and height.

    `textures` is the folder that the materials' texture names refer to. `HandoffIncomplete` when there are no
    cameras or a texture is missing.
    """
    if not cameras:
        raise HandoffIncomplete("the scene has no registered camera to look through")
    mesh = replace(mesh, vertices=mesh.vertices @ _FRAMES[is_turned(mesh, cameras)].T)
    view = _framed(mesh, _best_camera(mesh, cameras), (size[1] * _SAMPLES, size[0] * _SAMPLES))
    picture = _shade(mesh, materials, textures, view)
    averaged = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(averaged + 0.5, 0, 255), np.uint8)


def is_turned(mesh: TexturedMesh, cameras: Sequence[RegisteredCamera]) -> bool:
    """Whether the mesh is in the frame of computer graphics: half a turn about x from the world of its cameras.

    The mesh was made from what these cameras saw, so in its own place they see it from outside, and much of it.
    """
    few = _evenly(cameras, _FRAME_CAMERAS)
    return max((False, True), key=lambda turned: sum(_outside_seen(mesh, camera, _FRAMES[turned]) for camera in few))


def _outside_seen(mesh: TexturedMesh, camera: RegisteredCamera, frame: NDArray[np.float64]) -> float:
    """By how much more of the camera's picture the mesh shows its outer side than its inner one, in pixels."""
    probe = _probe(camera)
    vertex_pixels, vertex_depth = probe.project(mesh.vertices @ frame.T)
    pixels = vertex_pixels[mesh.faces]
    face = rasterise(pixels, vertex_depth[mesh.faces], probe.shape)[0]
    inside = _shows_inside(pixels[face[face != NONE]])
    # Which side is the outer one depends on the winding, which some programs turn round for all faces alike.
    return float(abs(len(inside) - 2 * inside.sum()))


def _best_camera(mesh: TexturedMesh, cameras: Sequence[RegisteredCamera]) -> RegisteredCamera:
    """The camera that sees most of the surface, head-on and large."""
    step = max(1, len(mesh.faces) // _MOST_FACES)
    corners = mesh.vertices[mesh.faces[::step]]
    centres = corners.mean(axis=1)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2 * step
    return max(_evenly(cameras, _MOST_CAMERAS), key=lambda camera: _worth(camera, centres, normals))


def _worth(camera: RegisteredCamera, centres: NDArray[np.float64], normals: NDArray[np.float64]) -> float:
    """Area seen, times the root of its share of the picture, of faces with these centres and area normals (F, 3)."""
    pixels, depth = camera.project(centres)
    inside = (depth > 0) & (pixels >= 0).all(axis=1) & (pixels < [camera.width, camera.height]).all(axis=1)
    rays = camera.centre - centres[inside]
    squared = np.maximum((rays * rays).sum(axis=1), 1e-12)
    seen = np.maximum((normals[inside] * rays).sum(axis=1) / np.sqrt(squared), 0.0)
    share = (seen / squared).sum() * camera.focal**2 / (camera.width * camera.height)
    return float(seen.sum() * np.sqrt(min(share, 1.0)))


def _evenly(cameras: Sequence[RegisteredCamera], count: int) -> list[RegisteredCamera]:
    return [cameras[index] for index in np.unique(np.linspace(0, len(cameras) - 1, count).astype(int))]


def _probe(camera: RegisteredCamera) -> _View:
    """The camera's whole picture, small."""
    scale = _PROBE / max(camera.width, camera.height)
    return _View(camera, scale, np.zeros(2), (round(camera.height * scale), round(camera.width * scale)))


def _framed(mesh: TexturedMesh, camera: RegisteredCamera, shape: tuple[int, int]) -> _View:
    """The part of the camera's picture that the mesh fills, grown to the proportions of `shape` (height, width)."""
    probe = _probe(camera)
    pixels, depth = probe.project(mesh.vertices)
    covered = rasterise(pixels[mesh.faces], depth[mesh.faces], probe.shape)[0] != NONE
    middle, extent = np.array([camera.width, camera.height]) / 2, np.array([camera.width, camera.height], float)
    if covered.any():
        rows, columns = np.nonzero(covered)
        # A few stray faces must not decide: a little of the covered pixels at each end stays out.
        low = np.array([np.quantile(columns, _STRAY), np.quantile(rows, _STRAY)]) / probe.scale
        high = (np.array([np.quantile(columns, 1 - _STRAY), np.quantile(rows, 1 - _STRAY)]) + 1) / probe.scale
        middle = (low + high) / 2
        extent = np.maximum((high - low) * (1 + 2 * _MARGIN), extent / _LARGEST_ZOOM)
    height, width = shape
    zoom = min(width / extent[0], height / extent[1])
    return _View(camera, zoom, middle - np.array([width, height]) / zoom / 2, shape)


def _shade(mesh: TexturedMesh, materials: Mapping[str, Material], textures: Path, view: _View) -> NDArray[np.float32]:
    """(height, width, 3) colours of what the view sees, on the background."""
    vertex_pixels, vertex_depth = view.project(mesh.vertices)
    face, _ = rasterise(vertex_pixels[mesh.faces], vertex_depth[mesh.faces], view.shape)
    covered = face != NONE
    mesh, face = _only_seen(mesh, face, covered)
    pixels, depth = vertex_pixels[mesh.faces], vertex_depth[mesh.faces]
    picture = _background(view.shape)
    of_pixel = np.where(covered, mesh.face_material[face], NONE)
    for number, name in enumerate(mesh.materials):
        mask = of_pixel == number
        if not mask.any():
            continue
        picture[mask] = UNTEXTURED
        material = materials.get(name)
        if material is None or material.texture is None:
            continue
        faces = np.flatnonzero(mesh.face_material == number)
        uvs = np.zeros((len(mesh.faces), 3, 2))
        uvs[faces] = tile_uvs(mesh, faces)
        visible = np.unique(face[mask])
        texture = at_resolution(
            read_texture(textures / material.texture), uvs[visible], float(areas(pixels[visible]).sum())
        )
        textured = mask & (mesh.face_uvs[face] >= 0).all(axis=2)
        picture[textured] = sample(texture, interpolate(face, pixels, depth, uvs)[textured])
    inside = covered & _shows_inside(pixels)[face]
    if 2 * inside.sum() > covered.sum():
        inside = covered & ~inside
    picture[inside] = 0.15 * picture[inside] + 0.85 * 0.75 * UNTEXTURED
    return picture


def _only_seen(
    mesh: TexturedMesh, face: NDArray[np.int32], covered: NDArray[np.bool_]
) -> tuple[TexturedMesh, NDArray[np.int32]]:
    """The mesh with the faces of this map alone, which are a small part of them, and the map of their new numbers."""
    seen = np.zeros(len(mesh.faces), bool)
    seen[face[covered]] = True
    renumbered = np.full_like(face, NONE)
    renumbered[covered] = (np.cumsum(seen) - 1)[face[covered]]
    few = replace(mesh, faces=mesh.faces[seen], face_uvs=mesh.face_uvs[seen], face_material=mesh.face_material[seen])
    return few, renumbered


def _shows_inside(pixels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(F,) which faces show their inner side; they are counter-clockwise seen from outside."""
    edge1, edge2 = pixels[:, 1] - pixels[:, 0], pixels[:, 2] - pixels[:, 0]
    clockwise: NDArray[np.bool_] = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0] > 0
    return clockwise


def _background(shape: tuple[int, int]) -> NDArray[np.float32]:
    height, width = shape
    column = np.linspace(_BACKGROUND_TOP, _BACKGROUND_BOTTOM, height, dtype=np.float32)
    return np.broadcast_to(column[:, None, None], (height, width, 3)).copy()
