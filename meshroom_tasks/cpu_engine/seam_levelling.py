"""Colour corrections that make the patches of different photos meet without a step.

Global seam levelling after Waechter et al. (2014), section 4.3, which extends Lempitsky and Ivanov, "Seamless mosaicing
of image-based texture maps" (2007): each vertex has one correction for each photo that colours a face about it; the
corrections close the gap between photos at the seams and are smooth inside a patch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import splu

from meshroom_tasks.cpu_engine.face_views import UNSEEN, LoadImage, blurred, sample
from meshroom_tasks.cpu_engine.mesh import Faces, Vertices
from meshroom_tasks.cpu_engine.scene import Camera

_SMOOTHNESS = 3.0
"""Weight of equal corrections along an edge inside a patch, against 1 for a closed seam."""
_ANCHOR = 1e-3
"""Weight of no correction at all: fixes the overall brightness."""


def seam_corrections(
    vertices: Vertices,
    faces: Faces,
    labels: NDArray[np.int32],
    cameras: tuple[Camera, ...],
    load: LoadImage,
    gains: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What to add to the photos' BGR at each face's corners (F, 3, 3), and the levelled colour of each vertex (V, 3).

    Corrections of faces without a photo are zero, colours of vertices without one NaN. `gains` (cameras, 3) is where
    the search starts: a photo's colour times its gain.
    """
    seen = labels != UNSEEN
    key = faces[seen] * len(cameras) + labels[seen, None]
    nodes, node_of = np.unique(key, return_inverse=True)
    node_of = node_of.reshape(-1, 3)
    vertex, view = nodes // len(cameras), nodes % len(cameras)
    raw = np.zeros((len(nodes), 3), np.float32)
    for index, camera in enumerate(cameras):
        here = view == index
        if here.any():
            raw[here] = sample(blurred(load(index)), camera.project(vertices[vertex[here]])[0])
    start = raw * gains[view] - raw
    seams = _seam_matrix(vertex)
    edges = _edge_matrix(node_of, len(nodes))
    normal = seams.T @ seams + _SMOOTHNESS * (edges.T @ edges) + _ANCHOR * diags_array(np.ones(len(nodes)))
    # Symmetric and positive definite: ordered for that, and factored once for all three channels.
    factors = splu(normal.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    correction = factors.solve(_ANCHOR * start - seams.T @ (seams @ raw)).astype(np.float32)
    corners = np.zeros((len(faces), 3, 3), np.float32)
    corners[seen] = correction[node_of]
    uses = np.bincount(vertex, minlength=len(vertices)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        colours = np.column_stack(
            [np.bincount(vertex, (raw + correction)[:, c], len(vertices)) / uses for c in range(3)]
        )
    return corners, colours.astype(np.float32)


def spread_colours(colours: NDArray[np.float32], faces: Faces, smoothing: int = 50) -> NDArray[np.float32]:
    """Vertex colours (V, 3) with the NaN ones taken over from their neighbours, ring after ring, then smoothed.

    Vertices that no coloured one is connected to get the mean of all; mid-grey where there is no colour at all.
    """
    known = np.asarray(np.isfinite(colours).all(axis=1), np.bool_)
    if not known.any():
        return np.full(colours.shape, 128.0, np.float32)
    filled = np.where(known[:, None], colours, colours[known].mean(axis=0)).astype(np.float64)
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    heads, tails = np.concatenate([edges, edges[:, ::-1]]).T
    graph = coo_array((np.ones(len(heads)), (heads, tails)), (len(colours), len(colours))).tocsr()
    free, reached = ~known, known
    while True:
        weight = graph @ reached.astype(np.float64)
        ring = ~reached & (weight > 0)
        if not ring.any():
            break
        filled[ring] = (graph[ring] @ (filled * reached[:, None])) / weight[ring, None]
        reached = reached | ring
    inner = graph[free]
    degree = np.maximum(inner.sum(axis=1), 1.0)[:, None]
    for _ in range(smoothing):
        filled[free & reached] = ((inner @ filled) / degree)[reached[free]]
    return filled.astype(np.float32)


def _seam_matrix(vertex: NDArray[np.int64]) -> csr_array:
    """A row for each two nodes of one vertex (nodes are sorted by vertex; three photos at a vertex give two rows)."""
    first = np.nonzero(vertex[1:] == vertex[:-1])[0]
    return _difference_matrix(first, first + 1, len(vertex))


def _edge_matrix(node_of: NDArray[np.int64], count: int) -> csr_array:
    """A row for each edge between nodes of one photo."""
    edges = np.unique(np.sort(node_of[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    return _difference_matrix(edges[:, 0], edges[:, 1], count)


def _difference_matrix(a: NDArray[np.int64], b: NDArray[np.int64], columns: int) -> csr_array:
    rows = np.arange(len(a))
    values = np.concatenate([np.ones(len(a)), -np.ones(len(a))])
    return coo_array((values, (np.concatenate([rows, rows]), np.concatenate([a, b]))), (len(a), columns)).tocsr()
