"""A normal map: the relief of a finer mesh, for a mesh that lacks it.

Convention: that of glTF 2.0 and OpenGL, and of AliceVision. Red is the part of the normal along u, green that along v
(upwards in the image), blue that along the surface's own normal; -1 to 1 is stored as 0 to 255. The normal is that of
the reference's nearest vertices, which holds for a relief that is low for its length. The frame at a texel is
MikkTSpace's in kind: the mesh's smooth normal, the face's direction of growing u made perpendicular to it, and their
cross product, turned round where the texture is mirrored (M. Mikkelsen, Simulation of wrinkled surfaces revisited,
2008). A renderer that is given positions, smooth normals and texture coordinates comes to the same frame by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from meshroom_tasks.cpu_engine.mesh import Faces, Vertices, vertex_normals
from meshroom_tasks.raster import interpolate, rasterise

LARGEST_SIDE = 2048
"""The reference has a few hundred thousand vertices at the most: more texels would show nothing more."""
TILE = 512
"""Texels across, of a tile: what is worked on at a time takes about 40 MB."""
_FLAT = (255, 128, 128)
_NEIGHBOURS = 3
_REACH = 4.0
"""Mean edges of the reference from which on it is no longer the same surface."""
_LEAST_COSINE = 0.1


def normal_map(
    vertices: Vertices,
    faces: Faces,
    texels: NDArray[np.float64],
    shape: tuple[int, int],
    reference: tuple[Vertices, Faces],
    padding: int,
    threads: int,
) -> NDArray[np.uint8]:
    """The picture (height, width, 3) in BGR of the reference's normals on a mesh.

    `texels` (F, 3, 2) says where the corners lie in a texture of `shape` (height, width), pixel centres at integers and
    row 0 at the top. The map has the texture's proportions and at most LARGEST_SIDE texels a side. Where the reference
    is far away or faces another way, and outside of all faces, the normal stands straight up; `padding` texels about
    the faces repeat the nearest one.
    """
    scale = min(1.0, LARGEST_SIDE / max(shape))
    height, width = (max(1, round(side * scale)) for side in shape)
    corners = (texels + 0.5) * scale - 0.5
    frames = _frames(vertices, faces, corners)
    tree, normals, reach = _reference(*reference)
    picture = np.full((height, width, 3), _FLAT, np.uint8)
    covered = np.zeros((height, width), np.uint8)
    for rows, columns, inside in _tiles(corners, height, width):
        local = corners[inside] - (columns.start, rows.start)
        flat = np.ones(local.shape[:2])
        face, _ = rasterise(local, flat, (rows.stop - rows.start, columns.stop - columns.start))
        there = face >= 0
        if not there.any():
            continue
        values = interpolate(face, local, flat, frames[inside])[there]
        picture[rows, columns][there] = _relief(values, tree, normals, reach, threads)
        covered[rows, columns][there] = 1
    return _padded(picture, covered, padding)


def _frames(vertices: Vertices, faces: Faces, corners: NDArray[np.float64]) -> NDArray[np.float32]:
    """At each corner (F, 3, 10): place, normal, direction of growing u, and -1 for a mirrored texture, else 1."""
    place = vertices[faces]
    edges = place[:, 1:] - place[:, :1]
    du = corners[:, 1:, 0] - corners[:, :1, 0]
    dv = corners[:, :1, 1] - corners[:, 1:, 1]
    determinant = du[:, 0] * dv[:, 1] - du[:, 1] * dv[:, 0]
    turn = np.where(determinant < 0, -1.0, 1.0)
    along_u = _unit((edges[:, 0] * dv[:, 1:] - edges[:, 1] * dv[:, :1]) * turn[:, None])
    return np.concatenate(
        [
            place,
            vertex_normals(vertices, faces)[faces],
            np.repeat(along_u[:, None], 3, axis=1),
            np.broadcast_to(turn[:, None, None], (len(faces), 3, 1)),
        ],
        axis=2,
    ).astype(np.float32)


def _reference(vertices: Vertices, faces: Faces) -> tuple[cKDTree, NDArray[np.float64], float]:
    """Its vertices for the search, their normals, and how far it reaches."""
    edge = np.linalg.norm(vertices[faces[:, 0]] - vertices[faces[:, 1]], axis=1)
    return cKDTree(vertices), vertex_normals(vertices, faces), _REACH * float(edge.mean())


def _tiles(corners: NDArray[np.float64], height: int, width: int) -> Iterator[tuple[slice, slice, NDArray[np.int64]]]:
    """Rows, columns and the faces in them, for each tile that has any."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    for top in range(0, height, TILE):
        bottom = min(top + TILE, height)
        in_rows = (high[:, 1] >= top) & (low[:, 1] < bottom)
        for left in range(0, width, TILE):
            right = min(left + TILE, width)
            inside = np.nonzero(in_rows & (high[:, 0] >= left) & (low[:, 0] < right))[0]
            if len(inside):
                yield slice(top, bottom), slice(left, right), inside


def _relief(
    values: NDArray[np.float32], tree: cKDTree, normals: NDArray[np.float64], reach: float, threads: int
) -> NDArray[np.uint8]:
    """BGR (N, 3) of the reference's normals near the texels' places, in the texels' frames."""
    count = min(_NEIGHBOURS, tree.n)
    distance, near = tree.query(values[:, :3], k=count, workers=threads)
    distance, near = distance.reshape(-1, count), near.reshape(-1, count)
    weight = 1.0 / np.maximum(distance, 1e-9 * reach)
    found = _unit(np.einsum("nk,nkc->nc", weight, normals[near]))
    up = _unit(values[:, 3:6].astype(np.float64))
    along_u = values[:, 6:9] - up * np.einsum("nc,nc->n", up, values[:, 6:9])[:, None]
    along_u = _unit(along_u)
    along_v = np.cross(up, along_u) * values[:, 9:]
    local = np.stack([np.einsum("nc,nc->n", found, axis) for axis in (up, along_v, along_u)], axis=1)
    unlike = (distance[:, 0] > reach) | (local[:, 0] < _LEAST_COSINE)
    local[unlike] = (1.0, 0.0, 0.0)
    return np.asarray(np.clip(np.rint(local * 127.0 + 128.0), 0, 255), np.uint8)


def _padded(picture: NDArray[np.uint8], covered: NDArray[np.uint8], padding: int) -> NDArray[np.uint8]:
    if padding == 0 or not covered.any():
        return picture
    distance, label = cv2.distanceTransformWithLabels(1 - covered, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros((int(label.max()) + 1, 3), np.uint8)
    inside = covered > 0
    table[label[inside]] = picture[inside]
    rim = (distance > 0) & (distance <= padding)
    picture[rim] = table[label[rim]]
    return picture


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: NDArray[np.float64] = vectors / np.where(length > 0, length, 1.0)
    return unit
