"""Operations on triangle meshes: vertices (V, 3) float64 and faces (F, 3) int64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

Vertices = NDArray[np.float64]
Faces = NDArray[np.int64]


def face_normals(vertices: Vertices, faces: Faces) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit normals (F, 3), counter-clockwise outwards, and areas (F,). Faces without area have a zero normal."""
    cross = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    length = np.linalg.norm(cross, axis=1)
    return cross / np.maximum(length, 1e-300)[:, None], length / 2.0


def vertex_normals(vertices: Vertices, faces: Faces) -> NDArray[np.float64]:
    """Unit normals (V, 3), the mean of the faces' weighted by their areas; zero for a vertex without faces."""
    cross = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    total = np.zeros((len(vertices), 3))
    for axis in range(3):
        total[:, axis] = np.bincount(faces.ravel(), np.repeat(cross[:, axis], 3), len(vertices))
    normals: NDArray[np.float64] = total / np.maximum(np.linalg.norm(total, axis=1), 1e-300)[:, None]
    return normals


def compact(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """The mesh without the vertices that no face uses."""
    used, index = np.unique(faces, return_inverse=True)
    return vertices[used], index.reshape(faces.shape).astype(np.int64)


def without_degenerate(vertices: Vertices, faces: Faces) -> Faces:
    """The faces whose three corners differ and that have an area."""
    a, b, c = faces.T
    distinct = (a != b) & (b != c) & (c != a)
    kept = faces[distinct]
    solid: Faces = kept[face_normals(vertices, kept)[1] > 0]
    return solid


def adjacent_faces(faces: Faces) -> NDArray[np.int64]:
    """Pairs (E, 2) of faces that share an edge. An edge with more than two faces gives the pairs in sequence."""
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    key = edges[:, 0] * (faces.max(initial=0) + 1) + edges[:, 1]
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    return np.column_stack([order[:-1][same], order[1:][same]]) // 3


def components(faces: Faces, pairs: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Label (F,) of the connected part that each face belongs to, by the given pairs, else by shared edges."""
    joined = adjacent_faces(faces) if pairs is None else pairs
    graph = coo_array((np.ones(len(joined), np.int8), (joined[:, 0], joined[:, 1])), (len(faces), len(faces)))
    _, labels = connected_components(graph, directed=False)
    return np.asarray(labels, np.int64)


def large_components(faces: Faces, share: float) -> NDArray[np.bool_]:
    """Mask (F,) of the faces in connected parts with at least `share` of the faces of the largest (1.0: only that)."""
    labels = components(faces)
    sizes = np.bincount(labels)
    kept = sizes >= max(share * sizes.max(initial=0), 1)
    if share >= 1.0 and len(sizes):
        kept = np.arange(len(sizes)) == sizes.argmax()
    return np.asarray(kept[labels], np.bool_)


def longest_edges(vertices: Vertices, faces: Faces) -> NDArray[np.float64]:
    """Length (F,) of each face's longest edge."""
    corners = vertices[faces]
    lengths: NDArray[np.float64] = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    return lengths


def taubin(vertices: Vertices, faces: Faces, iterations: int, shrink: float, pass_band: float = 0.1) -> Vertices:
    """Vertices smoothed without shrinking (Taubin, "A signal processing approach to fair surface design", 1995).

    Each iteration is a step of `shrink` (lambda, 0..1) towards the mean of the neighbours and one of mu back, where
    1/lambda + 1/mu is the pass band. A vertex on the border moves along the border only.
    """
    if iterations == 0 or shrink == 0.0 or len(faces) == 0:
        return vertices
    grow = 1.0 / (pass_band - 1.0 / shrink)
    mean = _neighbour_mean(len(vertices), faces)
    for _ in range(iterations):
        for step in (shrink, grow):
            vertices = vertices + step * (mean @ vertices - vertices)
    return vertices


def _neighbour_mean(count: int, faces: Faces) -> csr_array:
    """(V, V) matrix that takes the mean of the neighbours; border vertices know only border neighbours."""
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, uses = np.unique(edges, axis=0, return_counts=True) if len(edges) else (edges, np.zeros(0))
    border = np.zeros(count, bool)
    border[unique[uses == 1].ravel()] = True
    heads = np.concatenate([unique[:, 0], unique[:, 1]])
    tails = np.concatenate([unique[:, 1], unique[:, 0]])
    on_border = np.concatenate([uses == 1, uses == 1])
    kept = ~border[heads] | on_border
    heads, tails = heads[kept], tails[kept]
    degree = np.maximum(np.bincount(heads, minlength=count), 1)
    alone = np.setdiff1d(np.arange(count), heads)
    values = np.concatenate([1.0 / degree[heads], np.ones(len(alone))])
    return coo_array((values, (np.concatenate([heads, alone]), np.concatenate([tails, alone]))), (count, count)).tocsr()
