"""One photo for each face: outliers rejected by colour, then a labelling that prefers large patches.

After Waechter, Moehrle and Goesele, "Let there be color! Large-scale texturing of 3D reconstructions" (2014),
sections 4.1 (view selection) and 4.2 (photo-consistency).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from meshroom_tasks.cpu_engine.face_views import UNSEEN, FaceViews
from meshroom_tasks.raster import compiled

_COLOUR_FLOOR = 14.0
"""Grey levels by which good photos of one spot differ all the same (light, gloss, registration)."""
_GAIN_SAMPLE = 20_000
"""Faces that the photos' exposures are compared on."""
_OUTLIER = 2.5
"""Standard deviations beyond which a photo shows something else: a leaf in front, a passer-by."""


def exposure_gains(views: FaceViews, cameras: int, iterations: int = 8) -> NDArray[np.float32]:
    """(cameras, 3) BGR factors that bring the photos to one exposure; their geometric mean is 1.

    Log colour is modelled as face + photo; both are found in turn, the photo's share as a median.
    """
    some = slice(None, None, max(len(views.view) // _GAIN_SAMPLE, 1))
    views = FaceViews(views.view[some], views.quality[some], views.colour[some])
    known = (views.view != UNSEEN) & (views.colour.min(axis=2) > 8) & (views.colour.max(axis=2) < 247)
    known &= (known.sum(axis=1) >= 2)[:, None]
    face, slot = np.nonzero(known)
    view = views.view[face, slot]
    logs = np.log(views.colour[face, slot])
    share = np.zeros((cameras, 3), np.float32)
    groups = [np.nonzero(view == k)[0] for k in range(cameras)]
    counts = np.maximum(np.bincount(face, minlength=len(views.view)), 1)
    for _ in range(iterations):
        rest = logs - share[view]
        mean = np.column_stack([np.bincount(face, rest[:, c], len(counts)) / counts for c in range(3)])
        for k, members in enumerate(groups):
            if len(members) >= 50:
                share[k] = np.median(logs[members] - mean[face[members]], axis=0)
        share -= share.mean(axis=0)
    return np.exp(-share)


def consistent_views(views: FaceViews, gains: NDArray[np.float32], iterations: int = 6) -> NDArray[np.bool_]:
    """Mask (F, K) of the photos that agree with most others about a face's colour.

    The mean is found by reweighting each photo by its distance to it; with fewer than three photos all stay.
    """
    known = views.view != UNSEEN
    colour = views.colour * gains[views.view]
    base = np.where(known, np.sqrt(views.quality), 0.0)
    weight = base
    # Start from the middle colour, not the mean: one very different photo would pull that too far.
    centre = _median(colour, known)
    distance = ((colour - centre) ** 2).sum(axis=2)
    spread = np.full(len(colour), _COLOUR_FLOOR**2)
    for _ in range(iterations):
        weight = base * np.exp(-0.5 * distance / spread[:, None])
        total = np.maximum(weight.sum(axis=1), 1e-9)
        centre = (colour * weight[..., None]).sum(axis=1, keepdims=True) / total[:, None, None]
        distance = ((colour - centre) ** 2).sum(axis=2)
        spread = np.maximum((distance * weight).sum(axis=1) / total, _COLOUR_FLOOR**2)
    agrees = known & (distance <= _OUTLIER**2 * spread[:, None])
    few = (known.sum(axis=1) < 3) | ~agrees.any(axis=1)
    agrees[few] = known[few]
    return np.asarray(agrees, np.bool_)


def _median(colour: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Median (F, 1, 3) of each face's known colours, channel by channel; anything where none is known."""
    ordered = np.sort(np.where(known[..., None], colour, np.float32(np.inf)), axis=1)
    middle = np.maximum(known.sum(axis=1) - 1, 0) // 2
    median = np.take_along_axis(ordered, middle[:, None, None], axis=1)
    return np.where(np.isfinite(median), median, np.float32(0))


def label_faces(views: FaceViews, pairs: NDArray[np.int64], smoothness: float, sweeps: int = 30) -> NDArray[np.int32]:
    """The photo (F,) of each face, `UNSEEN` where no photo sees it.

    Minimises the sum of the loss of quality, 1 - sqrt(quality / best), over the faces and `smoothness` for every pair
    (E, 2) of adjacent faces with different photos, by iterated conditional modes (Besag, "On the statistical analysis
    of dirty pictures", 1986). That finds the nearest minimum only, so it starts from the photos that are best in a
    neighbourhood rather than face by face.
    """
    count = len(views.view)
    heads, tails = np.concatenate([pairs, pairs[:, ::-1]]).T
    graph = coo_array((np.ones(len(heads), np.float32), (heads, tails)), (count, count)).tocsr()
    loss = (1.0 - np.sqrt(views.quality / np.maximum(views.quality[:, :1], 1e-12))).astype(np.float32)
    labels = np.ascontiguousarray(views.view[:, 0], np.int32)
    if smoothness > 0 and count:
        best = _neighbourhood_quality(views.view, 1.0 - loss, graph).argmax(axis=1)
        labels = np.ascontiguousarray(views.view[np.arange(count), best], np.int32)
    start, neighbours = graph.indptr.astype(np.int64), graph.indices.astype(np.int64)
    _settle(views.view, np.ascontiguousarray(loss), start, neighbours, smoothness, sweeps, labels)
    return labels


def _neighbourhood_quality(
    view: NDArray[np.int32], quality: NDArray[np.float32], graph: csr_array, rounds: int = 8, block: int = 64
) -> NDArray[np.float32]:
    """Quality (F, K) averaged over the faces within `rounds` steps; -1 where there is no photo."""
    weight = (1.0 / (1.0 + np.diff(graph.indptr))).astype(np.float32)[:, None]
    result = np.full(view.shape, -1.0, np.float32)
    # Photos are independent of each other: a few at a time bound the memory.
    for first in range(0, int(view.max(initial=-1)) + 1, block):
        face, slot = np.nonzero((view >= first) & (view < first + block))
        column = view[face, slot] - first
        spread = np.zeros((len(view), block), np.float32)
        spread[face, column] = quality[face, slot]
        for _ in range(rounds):
            spread = (spread + graph @ spread) * weight
        result[face, slot] = spread[face, column]
    return result


@compiled("void(int32[:,::1], float32[:,::1], int64[::1], int64[::1], float64, int64, int32[::1])")
def _settle(
    view: NDArray[np.int32],
    loss: NDArray[np.float32],
    start: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    smoothness: float,
    sweeps: int,
    labels: NDArray[np.int32],
) -> None:
    count, slots = view.shape
    for sweep in range(sweeps):
        changes = 0
        for step in range(count):
            f = step if sweep % 2 == 0 else count - 1 - step
            if view[f, 0] < 0:
                continue
            best, best_energy = labels[f], np.inf
            for k in range(slots):
                candidate = view[f, k]
                if candidate < 0:
                    break
                energy = float(loss[f, k])
                for n in range(start[f], start[f + 1]):
                    other = labels[neighbours[n]]
                    if other != candidate and other >= 0:
                        energy += smoothness
                if energy < best_energy - 1e-9:
                    best, best_energy = candidate, energy
            if best != labels[f]:
                labels[f] = best
                changes += 1
        if changes == 0:
            return
