"""The file of a FeatureMatching chunk: the verified pairs with their matches, views named by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from meshroom_tasks.cpu_engine.colmap import TwoViews

SUFFIX = ".matches.npz"


def write_matches(path: Path, found: Sequence[TwoViews], view_ids: Sequence[int]) -> None:
    pairs = [[view_ids[index] for index in two.pair] for two in found]
    np.savez(
        path,
        pairs=np.array(pairs, np.int64).reshape(-1, 2),
        configurations=np.array([two.configuration for two in found], np.int64),
        matrices=np.array([two.matrices for two in found], np.float64).reshape(-1, 3, 3, 3),
        counts=np.array([len(two.matches) for two in found], np.int64),
        matches=np.concatenate([np.empty((0, 2), np.uint32), *(two.matches for two in found)]),
    )


def read_matches(folders: Iterable[str], view_ids: Sequence[int], chunks: int) -> list[TwoViews]:
    """The pairs of all chunks in the folders, in order. Raises FileNotFoundError when a chunk's file is not there."""
    paths = sorted(path for folder in folders for path in Path(folder).glob(f"*{SUFFIX}"))
    if missing := {f"{chunk}{SUFFIX}" for chunk in range(chunks)} - {path.name for path in paths}:
        raise FileNotFoundError(", ".join(sorted(missing)))
    index_of = {view_id: index for index, view_id in enumerate(view_ids)}
    found = []
    for path in paths:
        with np.load(path) as arrays:
            ends = np.cumsum(arrays["counts"])
            split = np.split(arrays["matches"], ends[:-1])
            for pair, configuration, matrices, matches in zip(
                arrays["pairs"], arrays["configurations"], arrays["matrices"], split, strict=False
            ):
                indices = (index_of[int(pair[0])], index_of[int(pair[1])])
                found.append(TwoViews(indices, int(configuration), matches, matrices))
    return sorted(found, key=lambda two: two.pair)
