"""From an oriented point cloud to a triangle mesh."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from meshroom_tasks.cpu_engine.fusion import Cloud
from meshroom_tasks.cpu_engine.mesh import Faces, Vertices, adjacent_faces, compact, components, without_degenerate
from meshroom_tasks.cpu_engine.ply import read_ply, write_cloud, write_mesh
from meshroom_tasks.cpu_engine.scene import Scene

COARSEST, FINEST = 5, 11
_SURPLUS = 3.0
_TRIM = 4.0


class Support(NamedTuple):
    """Octree cells from a point at which the surface is still supported, and at which it may close a hole."""

    reach: float
    bridge: float


DENSE = Support(1.5, 9.0)
SPARSE = Support(4.0, 16.0)
"""For landmarks, which lie as unevenly as a surface's texture."""


def space_of_interest(
    scene: Scene, min_observations: int, min_angle: float, margin: float = 0.15
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Opposite corners (3,), (3,) of the box that the photos look at, or None where too few landmarks are left.

    Landmarks count that at least `min_observations` photos see, two of them at `min_angle` degrees or more; the box
    holds them but for one in a hundred on each side, and is widened by `margin` of its size.
    """
    marks = scene.landmarks
    lengths = np.diff(marks.track_start)
    kept = np.nonzero(lengths >= min_observations)[0]
    centres = np.array([camera.centre for camera in scene.cameras]).reshape(-1, 3)
    wide = np.zeros(len(marks), bool)
    limit = math.cos(math.radians(min_angle))
    for p in kept:
        views = np.unique(marks.track_view[marks.track_start[p] : marks.track_start[p + 1]])
        rays = centres[views] - marks.xyz[p]
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        wide[p] = (rays @ rays.T).min() <= limit
    if wide.sum() < 20:
        return None
    low, high = np.percentile(marks.xyz[wide], (1.0, 99.0), axis=0)
    pad = margin * (high - low).max()
    return low - pad, high + pad


def inside_box(points: NDArray[np.float64], box: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Mask (N,) of the points in a box given by two opposite corners."""
    return np.asarray(((points >= box[0]) & (points <= box[1])).all(axis=1), np.bool_)


def point_spacing(points: NDArray[np.float64], neighbours: int = 16) -> float:
    """Side of the square of surface that belongs to one point: the median over a sample, from its k-th neighbour."""
    sample = points[:: max(len(points) // 4000, 1)]
    count = min(neighbours, len(points) - 1)
    if count < 1:
        return 0.0
    distance, _ = cKDTree(points).query(sample, k=count + 1)
    return float(np.median(distance[:, -1]) * math.sqrt(math.pi / count))


def poisson_surface(cloud: Cloud, max_vertices: int, support: Support = DENSE) -> tuple[Vertices, Faces]:
    """The watertight-where-seen surface of a cloud: screened Poisson reconstruction (Kazhdan and Hoppe, 2013).

    The octree is as deep as the points' spacing asks for, and no deeper than `max_vertices` can use. Parts that the
    cloud does not support are trimmed. The cloud must have points; the native code does not survive an empty one.
    """
    if len(cloud) == 0:
        raise ValueError("an empty cloud has no surface")
    import pycolmap

    size = 1.1 * float(np.ptp(cloud.points, axis=0).max())
    depth = octree_depth(size, point_spacing(cloud.points), len(cloud), max_vertices)
    options = pycolmap.PoissonMeshingOptions()
    options.depth, options.trim, options.color = depth, _TRIM, False
    # More threads burn several times the CPU time on this small problem.
    options.num_threads = 1
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "cloud.ply"), Path(folder, "mesh.ply")
        write_cloud(source, cloud.points, cloud.normals)
        pycolmap.poisson_meshing(source, target, options)
        vertices, faces = read_ply(target)
    cell = size / 2**depth
    return supported(vertices, faces, cloud.points, support.reach * cell, support.bridge * cell)


def octree_depth(size: float, spacing: float, points: int, max_vertices: int) -> int:
    """Levels of the octree over a cube of side `size`: its cells are no finer than the points' spacing, and the surface
    crosses no more than `_SURPLUS` times `max_vertices` of them (each gives about one vertex)."""
    cell = max(spacing, spacing * math.sqrt(points / (_SURPLUS * max_vertices)), size / 2**FINEST)
    return int(np.clip(math.floor(math.log2(size / cell)), COARSEST, FINEST)) if cell > 0 else COARSEST


def supported(
    vertices: Vertices, faces: Faces, points: NDArray[np.float64], reach: float, bridge: float
) -> tuple[Vertices, Faces]:
    """The faces whose three corners have a point of the cloud within `reach`, and the patches that close small holes.

    A connected patch of other faces stays when supported faces surround it and none of its corners is farther than
    `bridge` from the points. So the skirt goes that Poisson reconstruction draws around an open surface, and so does
    what spans a large gap.
    """
    distance, _ = cKDTree(points).query(vertices, distance_upper_bound=bridge)
    worst = distance[faces].max(axis=1)
    kept = worst <= reach
    bare = np.nonzero(~kept)[0]
    if len(bare):
        at_rim = np.bincount(adjacent_faces(faces).ravel(), minlength=len(faces)) < 3
        patch = components(faces[bare])
        spoilt = np.zeros(int(patch.max()) + 1, bool)
        spoilt[patch[at_rim[bare] | (worst[bare] > bridge)]] = True
        kept[bare] = ~spoilt[patch]
    return compact(vertices, without_degenerate(vertices, faces[kept]))


def simplified(vertices: Vertices, faces: Faces, max_vertices: int, threads: int) -> tuple[Vertices, Faces]:
    """The mesh with about `max_vertices` at the most: quadric error decimation (Garland and Heckbert, 1997)."""
    if len(vertices) <= max_vertices or len(faces) == 0:
        return vertices, faces
    import pycolmap

    options = pycolmap.MeshSimplificationOptions()
    options.target_face_ratio = max_vertices / len(vertices)
    options.num_threads = threads
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "mesh.ply"), Path(folder, "simplified.ply")
        write_mesh(source, vertices, faces)
        pycolmap.simplify_mesh(source, target, options)
        vertices, faces = read_ply(target)
    return compact(vertices, without_degenerate(vertices, faces))
