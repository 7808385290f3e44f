"""How close a reconstruction comes to the geometry that its photos were rendered from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from meshroom_tasks.cpu_engine.mesh import Faces, Vertices, face_normals
from meshroom_tasks.cpu_engine.obj import read_obj
from meshroom_tasks.cpu_engine.ply import read_ply
from meshroom_tasks.raster import rasterise

TOLERANCE = 0.01
"""Share of the object's height by which a point may be off."""
_MIN_PHOTOS = 3
_LEAST_COSINE = 0.15
_SAMPLES = 300_000


@dataclass(frozen=True)
class Accuracy:
    """Shares from 0 to 1; the tolerance is 1 % of the object's height. Only the object counts, not the table."""

    accurate: float
    """Of the mesh's surface: within the tolerance of the truth."""
    recovered: float
    """Of the true surface that at least three photos show: within the tolerance of the mesh."""
    median_error: float
    """Median distance of the mesh to the truth, as a share of the object's height."""
    cameras: int
    """Photos whose position was found."""
    photos: int

    def __str__(self) -> str:
        return (
            f"{self.accurate:.1%} of the mesh within {TOLERANCE:.0%} of the object's height"
            f" (median {self.median_error:.2%}), {self.recovered:.1%} of the visible surface recovered,"
            f" {self.cameras} of {self.photos} photos registered"
        )


def measure_results(results: Path, truth: Path) -> Accuracy:
    """The accuracy of `texturedMesh.obj` with the poses of `cameras.sfm`, both in `results`, against `truth`."""
    return measure(*read_obj(results / "texturedMesh.obj"), camera_centres(results / "cameras.sfm"), truth)


def measure(vertices: Vertices, faces: Faces, centres: Mapping[str, NDArray[np.float64]], truth: Path) -> Accuracy:
    """The accuracy of a mesh in any similar frame: `centres` (photo name -> position) tie it to the truth's.

    A photo is known by its name or by its number in the order of submission, `0007_1a2b3c4d.jpg`. `truth` is the folder
    that `demo.scene` wrote. Raises ValueError where fewer than three cameras are known.
    """
    scene = json.loads((truth / "cameras.json").read_text())
    cameras = scene["cameras"]
    names = {camera["photo"]: number for number, camera in enumerate(cameras)}
    found = {number: centre for name, centre in centres.items() if (number := _number(name, names)) < len(cameras)}
    if len(found) < 3:
        raise ValueError(f"{len(found)} cameras are known; three are needed to place the mesh")
    scale, rotation, shift = similarity(
        np.array(list(found.values())), np.array([cameras[number]["centre"] for number in found])
    )
    placed = scale * vertices @ rotation.T + shift
    true_vertices, true_faces = read_ply(truth / "truth.ply")
    height, radius = scene["object"]["height"], scene["object"]["radius"]
    rng = np.random.default_rng(0)
    everywhere = sample(placed, faces, _SAMPLES, rng)[0]
    mesh = _of_object(everywhere, height, radius)
    true_points, true_normals = sample(true_vertices, true_faces, 2 * _SAMPLES, rng)
    seen = times_seen(true_points, true_normals, true_vertices, true_faces, scene) >= _MIN_PHOTOS
    wanted = _of_object(true_points[seen], height, radius)
    if len(mesh) == 0:
        return Accuracy(0.0, 0.0, float("inf"), len(found), len(cameras))
    off, _ = cKDTree(true_points).query(mesh)
    missing, _ = cKDTree(everywhere).query(wanted, distance_upper_bound=2 * TOLERANCE * height)
    return Accuracy(
        float((off <= TOLERANCE * height).mean()),
        float((missing <= TOLERANCE * height).mean()),
        float(np.median(off) / height),
        len(found),
        len(cameras),
    )


def camera_centres(path: Path) -> dict[str, NDArray[np.float64]]:
    """Photo name -> position of the registered cameras of an AliceVision scene in JSON."""
    scene = json.loads(path.read_text())
    poses = {pose["poseId"]: pose["pose"]["transform"]["center"] for pose in scene.get("poses", [])}
    return {
        Path(view["path"]).name: np.array(poses[view["poseId"]], np.float64)
        for view in scene["views"]
        if view["poseId"] in poses
    }


def similarity(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Scale s, rotation R and shift t that bring points (N, 3) closest to others: s R x + t.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991).
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    u, stretch, vt = np.linalg.svd(b.T @ a)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * mirror) @ vt
    scale = float((stretch * mirror).sum() / (a**2).sum())
    return scale, rotation, target_mean - scale * rotation @ source_mean


def sample(
    vertices: Vertices, faces: Faces, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`count` points (N, 3) spread evenly over a mesh's area, and the normals (N, 3) there."""
    normals, areas = face_normals(vertices, faces)
    chosen = rng.choice(len(faces), count, p=areas / areas.sum())
    u, v = rng.random((2, count, 1))
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    a, b, c = (vertices[faces[chosen, corner]] for corner in range(3))
    return a + u * (b - a) + v * (c - a), normals[chosen]


def times_seen(
    points: NDArray[np.float64], normals: NDArray[np.float64], vertices: Vertices, faces: Faces, scene: Any
) -> NDArray[np.int64]:
    """How many photos show each point (N,) of the true surface, not hidden and not at a grazing angle."""
    counts = np.zeros(len(points), np.int64)
    width, height, focal = scene["width"], scene["height"], scene["focal"]
    middle = np.array([width / 2 - 0.5, height / 2 - 0.5])
    for camera in scene["cameras"]:
        rotation, shift, centre = (np.array(camera[key]) for key in ("R", "t", "centre"))
        local = vertices @ rotation.T + shift
        pixels = local[:, :2] / local[:, 2:] * focal + middle
        _, surface = rasterise(pixels[faces], local[faces, 2], (height, width))
        mine = points @ rotation.T + shift
        x, y = np.rint(mine[:, :2] / mine[:, 2:] * focal + middle).astype(np.int64).T
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        towards = centre - points
        cosine = np.einsum("ij,ij->i", towards, normals) / np.linalg.norm(towards, axis=1)
        shown = inside & (cosine > _LEAST_COSINE)
        shown[shown] = mine[shown, 2] <= surface[y[shown], x[shown]] * 1.01
        counts += shown
    return counts


def _of_object(points: NDArray[np.float64], height: float, radius: float) -> NDArray[np.float64]:
    """The points in the upright cylinder about the object, without its foot line on the table."""
    inside = (np.hypot(points[:, 0], points[:, 1]) < 1.1 * radius) & (points[:, 2] > 0.02 * height)
    return points[inside & (points[:, 2] < 1.1 * height)]


def _number(name: str, names: Mapping[str, int]) -> int:
    """A photo's number by its name, or by the digits that the service puts before it."""
    if name in names:
        return names[name]
    digits = name.partition("_")[0]
    return int(digits) if digits.isdigit() else len(names)
