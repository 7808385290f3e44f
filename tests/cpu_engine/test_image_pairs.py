from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshroom_tasks.cpu_engine.image_pairs import (
    all_pairs,
    neighbour_pairs,
    owned_pairs,
    read_pairs,
    signatures,
    similar_pairs,
    write_pairs,
)


def test_all_pairs() -> None:
    assert all_pairs(3) == {(0, 1), (0, 2), (1, 2)}
    assert len(all_pairs(23)) == 253


@pytest.mark.parametrize(("count", "reach", "expected"), [(4, 1, 3), (4, 2, 5), (4, 9, 6), (1, 3, 0), (0, 3, 0)])
def test_neighbour_pairs(count: int, reach: int, expected: int) -> None:
    pairs = neighbour_pairs(count, reach)
    assert len(pairs) == expected
    assert all(0 < second - first <= reach for first, second in pairs)


@pytest.mark.parametrize(("count", "block"), [(23, 20), (45, 20), (7, 20)])
def test_chunks_share_the_pairs_without_overlap(count: int, block: int) -> None:
    chunks = [
        owned_pairs(all_pairs(count), range(start, min(start + block, count))) for start in range(0, count, block)
    ]
    together = [pair for chunk in chunks for pair in chunk]
    assert len(together) == len(set(together))
    assert set(together) == all_pairs(count)


def test_shares_are_even() -> None:
    shares = [len(owned_pairs(all_pairs(60), range(start, start + 20))) for start in (0, 20, 40)]
    assert max(shares) - min(shares) < 0.05 * sum(shares)


def test_the_list_reads_back(tmp_path: Path) -> None:
    ids, pairs = [70, 5, 33, 9], {(0, 1), (0, 3), (1, 2)}
    write_pairs(tmp_path / "pairs.txt", pairs, ids)
    assert (tmp_path / "pairs.txt").read_text() == "70 5 9\n5 33\n"
    assert read_pairs(tmp_path / "pairs.txt", ids) == pairs


def test_alike_photos_are_paired() -> None:
    """Four scenes of six photos; a photo holds features of its scene, in its own selection and noise."""
    random = np.random.default_rng(0)
    descriptors = []
    for _ in range(4):
        scene = random.gamma(0.5, 30, (150, 128))
        for _ in range(6):
            chosen = scene[random.permutation(150)[:100]]
            descriptors.append(np.clip(chosen + random.normal(0, 5, chosen.shape), 0, 255).astype(np.uint8))
    found = signatures(descriptors)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    pairs = similar_pairs(found, 4)
    within = sum(first // 6 == second // 6 for first, second in pairs)
    assert within >= 0.95 * len(pairs)


def test_photos_without_features() -> None:
    empty = np.empty((0, 128), np.uint8)
    some = np.full((3, 128), 7, np.uint8)
    assert not signatures([empty, empty]).any()
    found = signatures([empty, some, some])
    assert not found[0].any()
    assert similar_pairs(found, 5) <= all_pairs(3)
