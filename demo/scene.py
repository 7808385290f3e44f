"""A photo set of an object whose geometry is known: `python -m demo.scene FOLDER`.

Writes `photos/*.jpg` (with the focal length in EXIF), `truth.ply` (the jar and the table top) and `cameras.json`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo import materials, shapes
from demo.light import LAMP, light_on
from meshroom_tasks.cpu_engine.ply import write_mesh
from meshroom_tasks.raster import interpolate, rasterise

WIDTH, HEIGHT = 800, 600
FOCAL = 1.2 * WIDTH
"""Focal length in pixels."""
VIEWS = 20
_FULL_FRAME_DIAGONAL = 43.27
_SUPERSAMPLING = 2
_EXPOSURE = 1.28
_JAR_GRID, _TABLE_GRID = (360, 648), (200, 720)
"""Rows and columns: about as fine as the photos' pixels."""


@dataclass(frozen=True)
class Shot:
    """A pinhole camera: a world point X lies at R X + t, z forward; pixel centres at integers."""

    R: NDArray[np.float64]
    t: NDArray[np.float64]

    @property
    def centre(self) -> NDArray[np.float64]:
        return np.asarray(-self.R.T @ self.t, np.float64)

    def project(self, points: NDArray[np.float64], scale: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World points (N, 3) -> pixels (N, 2) of the picture `scale` times as large, and depths (N,)."""
        local = points @ self.R.T + self.t
        middle = np.array([WIDTH, HEIGHT]) * scale / 2.0 - 0.5
        return local[:, :2] / local[:, 2:] * (FOCAL * scale) + middle, local[:, 2]


@dataclass(frozen=True)
class Model:
    """The scene as one mesh, with what light and stone give each vertex."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    normals: NDArray[np.float64]
    radiance: NDArray[np.float32]
    """(V, 3) RGB, linear, without gloss."""
    gloss: NDArray[np.float32]
    """(V,) strength of the lamp's reflection."""


def shots(count: int = VIEWS) -> list[Shot]:
    """Cameras on a wavy ring about the jar, looking at its middle."""
    rng = np.random.default_rng(2)
    cameras = []
    for k in range(count):
        turn = 2.0 * np.pi * k / count + rng.normal(0, 0.02)
        rise = np.radians(31.0 + 11.0 * np.sin(2.5 * turn))
        distance = 4.45 + rng.normal(0, 0.05)
        ring = distance * np.cos(rise)
        centre = np.array([ring * np.cos(turn), ring * np.sin(turn), distance * np.sin(rise) + 0.5])
        target = np.array([0.0, 0.0, 0.70]) + rng.normal(0, 0.02, 3)
        forward = (target - centre) / np.linalg.norm(target - centre)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        cameras.append(Shot(rotation, -rotation @ centre))
    return cameras


def model() -> Model:
    """Jar and table top with their materials under the light."""
    jar, top = shapes.jar(*_JAR_GRID), shapes.table(*_TABLE_GRID)
    vertices, faces = joined(jar, top)
    normals = np.concatenate([shapes.normals(jar), shapes.normals(top)])
    # Light varies slowly: it is found on coarser grids, and its blockers are coarser still.
    lit_jar, lit_top = shapes.jar(150, 306), shapes.table(80, 240)
    light = light_on(
        joined(lit_jar, lit_top)[0],
        np.concatenate([shapes.normals(lit_jar), shapes.normals(lit_top)]),
        *joined(shapes.jar(100, 126), shapes.table(30, 60)),
    )
    parts = np.split(light, [len(lit_jar.vertices)])
    light = np.concatenate(
        [
            shapes.resample(parts[0], (150, 306), _JAR_GRID),
            shapes.resample(parts[1], (80, 240), _TABLE_GRID),
        ]
    )
    height = jar.vertices[:, 2:]
    banded = ((height < 0.145) | ((height > 1.335) & (height < 1.492)) | (height > 1.70)).astype(np.float32)
    stone, metal = materials.malachite(jar.vertices), materials.gold(jar.vertices)
    albedo = np.concatenate([stone + banded * (metal - stone), materials.terrazzo(top.vertices)])
    shine = np.concatenate([0.20 + 0.25 * banded[:, 0], np.full(len(top.vertices), 0.02)])
    return Model(vertices, faces, normals, albedo * light[:, :3], (shine * light[:, 3]).astype(np.float32))


def joined(*grids: shapes.Grid) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices and faces of several grids as one mesh."""
    starts = np.cumsum([0, *(len(grid.vertices) for grid in grids)])
    faces = [grid.faces + start for grid, start in zip(grids, starts[:-1], strict=True)]
    return np.concatenate([grid.vertices for grid in grids]), np.concatenate(faces)


def photograph(scene: Model, shot: Shot, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture (HEIGHT, WIDTH, 3) in sRGB that a camera takes of the scene, with a little grain."""
    scale = _SUPERSAMPLING
    shape = (HEIGHT * scale, WIDTH * scale)
    pixels, depth = shot.project(scene.vertices, scale)
    towards = shot.centre - scene.vertices
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    halfway = towards + LAMP
    halfway /= np.linalg.norm(halfway, axis=1, keepdims=True)
    mirrored = np.clip(np.einsum("ij,ij->i", scene.normals, halfway), 0, 1)
    gloss = scene.gloss * mirrored**48
    colour = scene.radiance + gloss[:, None]
    # Faces that look away from the camera are hidden: half the work.
    facing = np.einsum("ij,ij->i", scene.normals, towards) > -0.1
    faces = scene.faces[facing[scene.faces[:, 0]]]
    corners, distances = pixels[faces], depth[faces]
    face, _ = rasterise(corners, distances, shape)
    picture = interpolate(face, corners, distances, colour[faces])
    covered = cv2.resize((face >= 0).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    picture = np.asarray(cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.float32)
    picture += (1.0 - covered[..., None]) * _backdrop()
    picture = _to_srgb(picture * np.float32(_EXPOSURE * rng.uniform(0.97, 1.03)))
    picture += rng.standard_normal(picture.shape, np.float32) * np.float32(0.0045)
    return np.asarray(np.clip(np.rint(picture * 255.0), 0, 255), np.uint8)


def write_photo(path: Path, picture: NDArray[np.uint8]) -> None:
    """A JPEG that knows its focal length as 35 mm equivalent, by the diagonal."""
    equivalent = FOCAL / float(np.hypot(WIDTH, HEIGHT)) * _FULL_FRAME_DIAGONAL
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Synthetic", "Pinhole"
    details = exif.get_ifd(0x8769)
    details[0x920A] = round(equivalent, 2)
    details[0xA405] = round(equivalent)
    Image.fromarray(picture).save(path, quality=93, exif=exif)


def render_photos(photos: Path, truth: Path) -> list[str]:
    """Render the whole set: pictures into `photos`, the geometry and the cameras into `truth`; returns their names."""
    photos.mkdir(parents=True, exist_ok=True)
    truth.mkdir(parents=True, exist_ok=True)
    scene, rng = model(), np.random.default_rng(1)
    cameras = shots()
    names = [f"jar_{index:02d}.jpg" for index in range(len(cameras))]
    for name, shot in zip(names, cameras, strict=True):
        write_photo(photos / name, photograph(scene, shot, rng))
    write_mesh(truth / "truth.ply", *joined(shapes.jar(300, 420), shapes.table(90, 240)))
    description = {
        "width": WIDTH,
        "height": HEIGHT,
        "focal": FOCAL,
        "object": {"height": shapes.HEIGHT, "radius": shapes.RADIUS},
        "cameras": [
            {"photo": name, "R": shot.R.tolist(), "t": shot.t.tolist(), "centre": shot.centre.tolist()}
            for name, shot in zip(names, cameras, strict=True)
        ],
    }
    (truth / "cameras.json").write_text(json.dumps(description, indent=1))
    return names


@cache
def _backdrop() -> NDArray[np.float32]:
    """A studio wall: light behind the object, darker to the corners."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
    glow = np.exp(-(x**2 * 0.9 + (y + 0.25) ** 2 * 1.1))[..., None]
    return np.asarray(np.array([0.055, 0.062, 0.072]) + glow * np.array([0.21, 0.205, 0.20]), np.float32)


def _to_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """IEC 61966-2-1, with a shoulder that keeps highlights from clipping hard."""
    soft = np.where(linear < 0.7, linear, 0.7 + 0.3 * np.tanh((linear - 0.7) / 0.3))
    curve = np.where(soft <= 0.0031308, 12.92 * soft, 1.055 * np.maximum(soft, 1e-6) ** (1 / 2.4) - 0.055)
    return np.asarray(curve, np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Render the demo's photo set.")
    parser.add_argument("folder", type=Path)
    target = parser.parse_args().folder
    print(f"{len(render_photos(target / 'photos', target))} photos")
