"""A jar on a table, both patterned: of photos that show the jar alone, the table being transparent, only it is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from demo import scene, shapes
from meshroom_tasks.cpu_engine.masks import Mask, read_mask
from meshroom_tasks.cpu_engine.obj import read_obj
from meshroom_tasks.cpu_engine.scene import Camera, read_scene
from meshroom_tasks.raster import interpolate, rasterise
from tests.cpu_engine.conftest import PROJECT, Run
from tests.cpu_engine.test_sparse_run import folder_of

WIDTH, HEIGHT = 400, 520
"""Of the middle of the demo's photos, which the jar fills."""
JAR, TABLE = (300, 540), (100, 360)
"""Rows and columns of the shapes."""
VIEWS = 10
NEAR = 6
"""Pixels by which a vertex may miss a mask: the surface lies a fraction of an octree's cell off its points."""


def noise(grid: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Colours for each vertex of a grid, with detail of several sizes."""
    random = np.random.default_rng(seed)
    total = np.full((*grid, 3), 128, np.float32)
    for cells in (8, 30, 90, 180):
        layer = random.uniform(-60, 60, (cells // 2, cells, 1)) + random.uniform(-20, 20, (cells // 2, cells, 3))
        total += cv2.resize(layer.astype(np.float32), grid[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(total, 0, 255).reshape(-1, 3)


def render(folder: Path, *, cut_out: bool) -> None:
    """Ten photos from one side; `cut_out`: what is not the jar is transparent, and in the file as before."""
    folder.mkdir(parents=True)
    jar, table = shapes.jar(*JAR), shapes.table(*TABLE)
    vertices, faces = scene.joined(jar, table)
    colours = np.concatenate([noise(JAR, 1), noise(TABLE, 2)])
    random = np.random.default_rng(3)
    exif = Image.Exif()
    exif[0x0110] = "Pinhole"
    exif.get_ifd(0x8769)[0xA405] = round(scene.FOCAL / float(np.hypot(WIDTH, HEIGHT)) * float(np.hypot(36, 24)))
    for index, shot in enumerate(scene.shots()[:VIEWS]):
        pixels, depth = shot.project(vertices)
        corners = pixels[faces] - (np.array([scene.WIDTH, scene.HEIGHT]) - (WIDTH, HEIGHT)) / 2
        face, _ = rasterise(corners, depth[faces], (HEIGHT, WIDTH))
        picture = interpolate(face, corners, depth[faces], colours[faces])
        picture[face < 0] = random.uniform(0, 255, (int((face < 0).sum()), 3))
        if cut_out:
            is_jar = (face >= 0) & (face < len(jar.faces))
            picture = np.dstack([picture, np.where(is_jar, 255, 0)])
        Image.fromarray(np.rint(picture).astype(np.uint8)).save(folder / f"{index}.png", exif=exif)


def outside_of_masks(cache: Path, masks: Callable[[Camera], Mask | None]) -> NDArray[np.float64]:
    """How far each vertex of the textured mesh is from what counts, in pixels of the photo where it is farthest.

    Nothing stands before the jar, so that each photo's mask bounds it.
    """
    vertices, _ = read_obj(folder_of(cache, "Texturing") / "texturedMesh.obj")
    worst = np.zeros(len(vertices))
    for camera in read_scene(folder_of(cache, "StructureFromMotion")).cameras:
        mask = masks(camera)
        assert mask is not None
        distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
        margin = (np.array(mask.shape[::-1]) - (camera.width, camera.height)) / 2  # Undistorted photos are cut.
        x, y = np.rint(camera.project(vertices)[0] + margin).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
        worst[inside] = np.maximum(worst[inside], distance[y[inside], x[inside]])
    return worst


@pytest.mark.slow
def test_only_what_counts_is_reconstructed(engine: Run, tmp_path: Path) -> None:
    """Of the same photos without transparency, the table too."""
    caches = {}
    for name, cut_out, pipeline in (("jar", True, "default"), ("both", False, "draft")):
        folder = tmp_path / name
        render(folder / "photos", cut_out=cut_out)
        arguments = ["--input", folder / "photos", "--pipeline", PROJECT / "pipelines" / f"{pipeline}.mg"]
        arguments += ["--save", folder / "p.mg", "--paramOverrides", "Texturing:textureSide=1024"]
        done = engine("meshroom_batch", *arguments)
        assert done.returncode == 0, done.stdout
        caches[name] = folder / "MeshroomCache"
        assert len(read_scene(folder_of(caches[name], "StructureFromMotion")).cameras) == VIEWS
    straight = folder_of(caches["jar"], "PrepareDenseScene")
    jar = outside_of_masks(caches["jar"], lambda camera: read_mask(straight / f"{camera.view_id}.png"))
    both = outside_of_masks(caches["both"], lambda camera: read_mask(tmp_path / "jar" / "photos" / camera.photo))
    assert len(jar) > 5000
    assert jar.max() <= NEAR
    assert (both > 10 * NEAR).mean() > 0.2
