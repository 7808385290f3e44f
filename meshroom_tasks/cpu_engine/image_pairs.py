"""Which photos are worth comparing: the pairs, and the file that lists them.

A pair is two indices into CameraInit's views. The file has Meshroom's form: a line for each view that has partners,
`viewId partnerId partnerId ...`, each pair once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]


def all_pairs(count: int) -> set[Pair]:
    return {(i, j) for i in range(count) for j in range(i + 1, count)}


def neighbour_pairs(count: int, reach: int) -> set[Pair]:
    """Each view with the `reach` next ones in the order of the photos."""
    return {(i, j) for i in range(count) for j in range(i + 1, min(i + reach + 1, count))}


def similar_pairs(signatures: NDArray[np.float32], partners: int) -> set[Pair]:
    """Each view with the `partners` views whose signatures (N, D), of unit length, are most alike."""
    likeness = signatures @ signatures.T
    np.fill_diagonal(likeness, -np.inf)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : min(partners, len(signatures) - 1)]
    return {(min(i, int(j)), max(i, int(j))) for i, row in enumerate(nearest) for j in row}


def signatures(descriptors: Sequence[NDArray[np.uint8]], words: int = 64, seed: int = 0) -> NDArray[np.float32]:
    """A global descriptor (words * 128) of unit length for each photo, from the local ones (n, 128).

    VLAD (H. Jegou et al., Aggregating local descriptors into a compact image representation, CVPR 2010): the sums of
    the differences to the nearest visual word, square-rooted. The words come from the photos themselves, by k-means.
    """
    every = np.concatenate([found.astype(np.float32) for found in descriptors])
    if not len(every):
        return np.zeros((len(descriptors), words * 128), np.float32)
    centres = _k_means(every, min(words, len(every)), seed)
    result = np.zeros((len(descriptors), len(centres), 128), np.float32)
    for image, found in zip(result, descriptors, strict=True):
        if len(found):
            word = _nearest(found.astype(np.float32), centres)
            np.add.at(image, word, found - centres[word])
    flat = result.reshape(len(descriptors), -1)
    flat = np.sign(flat) * np.sqrt(np.abs(flat))
    unit: NDArray[np.float32] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    return unit


def _k_means(points: NDArray[np.float32], count: int, seed: int, rounds: int = 8) -> NDArray[np.float32]:
    """Lloyd's iteration on at most 50,000 of the points."""
    generator = np.random.default_rng(seed)
    sample = points[generator.permutation(len(points))[:50_000]]
    centres = sample[:count].copy()
    for _ in range(rounds):
        word = _nearest(sample, centres)
        members = np.bincount(word, minlength=count)
        sums = np.zeros_like(centres)
        np.add.at(sums, word, sample)
        centres = np.where(members[:, None] > 0, sums / np.maximum(members, 1)[:, None], centres)
    return centres


def _nearest(points: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray(np.argmin((centres**2).sum(axis=1) - 2 * points @ centres.T, axis=1), np.int64)


def owned_pairs(pairs: Iterable[Pair], views: range) -> list[Pair]:
    """The pairs that the chunk of these views matches: of a pair, each view is the owner as often as the other.

    The owner is the first where the sum of the indices is even, else the second; so chunks get even shares of work.
    """
    return sorted(pair for pair in pairs if pair[sum(pair) % 2] in views)


def write_pairs(path: Path, pairs: Iterable[Pair], view_ids: Sequence[int]) -> None:
    partners: dict[int, list[int]] = {}
    for first, second in sorted(pairs):
        partners.setdefault(first, []).append(second)
    lines = [" ".join(str(view_ids[index]) for index in (first, *others)) for first, others in partners.items()]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def read_pairs(path: Path, view_ids: Sequence[int]) -> set[Pair]:
    """Raises KeyError for a view that is none of `view_ids`."""
    index_of = {view_id: index for index, view_id in enumerate(view_ids)}
    pairs: set[Pair] = set()
    for line in path.read_text(encoding="ascii").splitlines():
        first, *others = (index_of[int(word)] for word in line.split())
        pairs |= {(min(first, other), max(first, other)) for other in others}
    return pairs
