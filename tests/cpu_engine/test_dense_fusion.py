from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshroom_tasks.cpu_engine.depth_filter import consistent_depth, without_specks
from meshroom_tasks.cpu_engine.depth_maps import DepthMap, read_depth_map, write_depth_map
from meshroom_tasks.cpu_engine.fusion import fuse, sampling_step, world_normals
from tests.cpu_engine import dense_scenes as scenes


@pytest.fixture(scope="module")
def maps() -> list[DepthMap]:
    """True depth maps of a slanted plane, z = 0.3 x."""
    vertices, faces = scenes.surface(0.3)
    colours = scenes.pattern()
    found = []
    for camera in scenes.cameras(4):
        _, depth = scenes.photograph(camera, vertices, faces, colours)
        found.append(DepthMap(camera, depth, np.ones_like(depth)))
    return found


def needed(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.full((scenes.HEIGHT, scenes.WIDTH), count, np.int32)


def test_true_depth_stays_and_wrong_depth_goes(maps: list[DepthMap]) -> None:
    wrong = maps[1].depth.copy()
    wrong[50:70, 60:90] *= 0.9
    reference = DepthMap(maps[1].camera, wrong, maps[1].score)
    kept = consistent_depth(reference, [maps[0], maps[2], maps[3]], needed(3), tolerance=1.5)
    assert (kept[52:68, 62:88] == 0).all()
    assert (kept[30:48, 60:90] > 0).mean() > 0.99
    known = kept > 0
    np.testing.assert_allclose(kept[known], maps[1].depth[known], rtol=0.01)


def test_more_photos_must_agree_where_more_are_asked_for(maps: list[DepthMap]) -> None:
    others = [maps[0], maps[2]]
    assert (consistent_depth(maps[1], others, needed(3), 1.5) > 0).any()
    assert not (consistent_depth(maps[1], others, needed(4), 1.5) > 0).any()


def test_specks_go_and_a_jump_in_depth_parts_patches() -> None:
    depth = np.full((40, 40), 2.0, np.float32)
    depth[10:14, 10:14] = 3.0
    depth[:, 30] = 0
    cleaned = without_specks(depth, smallest=100)
    assert (cleaned[11:13, 11:13] == 0).all()
    assert (cleaned[20:30, 2:28] == 2.0).all()
    assert (cleaned[:, 30] == 0).all()


def test_normals_of_a_plane_face_the_camera(maps: list[DepthMap]) -> None:
    normals = world_normals(maps[1])
    known = np.linalg.norm(normals, axis=2) > 0
    assert known.mean() > 0.5
    expected = np.array([0.3, 0.0, -1.0]) / np.linalg.norm([0.3, 0.0, -1.0])
    np.testing.assert_allclose(np.median(normals[known], axis=0), expected, atol=0.02)
    assert not known[0].any()


def test_fused_points_lie_on_the_plane_and_each_patch_is_taken_once(maps: list[DepthMap]) -> None:
    partners = [[j for j in range(4) if j != i] for i in range(4)]
    cloud = fuse(maps, partners, step=2, min_support=3)
    assert np.abs(cloud.points[:, 2] - 0.3 * cloud.points[:, 0]).max() < 0.02
    assert (cloud.normals[:, 2] < -0.8).all()
    assert cloud.support.min() >= 3
    single = (maps[1].depth > 0).sum() / 4
    assert 0.5 * single < len(cloud) < 1.6 * single
    assert len(fuse(maps, partners, step=4, min_support=3)) < 0.4 * len(cloud)
    assert len(fuse([], [], step=2, min_support=2)) == 0


def test_the_step_grows_until_the_depths_are_few_enough(maps: list[DepthMap]) -> None:
    known = sum(int((m.depth > 0).sum()) for m in maps)
    assert sampling_step(maps, 2, known) == 2
    assert sampling_step(maps, 1, known // 16) == 4 or sampling_step(maps, 1, known // 16) == 5


def test_maps_come_back_from_disk_with_their_camera(tmp_path: Path, maps: list[DepthMap]) -> None:
    half = maps[0].camera.scaled(80, 60)
    small = DepthMap(half, np.ascontiguousarray(maps[0].depth[::2, ::2]), maps[0].score[::2, ::2] * 0.5)
    assert write_depth_map(tmp_path, small).name == "100_depthMap.npz"
    found = read_depth_map(tmp_path, maps[0].camera)
    assert found is not None
    np.testing.assert_array_equal(found.depth, small.depth)
    np.testing.assert_allclose(found.score, 0.5)
    np.testing.assert_allclose(found.camera.K, half.K)
    assert read_depth_map(tmp_path, maps[1].camera) is None
