from __future__ import annotations

from pathlib import Path

import cv2  # noqa: F401  before pycolmap
import numpy as np
import pytest
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine import mesh
from meshroom_tasks.cpu_engine.fusion import Cloud
from meshroom_tasks.cpu_engine.mesh_files import read_mesh_file, write_mesh_file
from meshroom_tasks.cpu_engine.ply import read_ply, write_cloud
from meshroom_tasks.cpu_engine.surface import (
    inside_box,
    octree_depth,
    point_spacing,
    poisson_surface,
    simplified,
    supported,
)

CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
CUBE_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip


def grid(side: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A flat square sheet of side 1 in z = 0."""
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    i = np.arange(side - 1)[:, None] * side + np.arange(side - 1)
    faces = np.concatenate(
        [
            np.stack([i, i + 1, i + side], -1).reshape(-1, 3),
            np.stack([i + 1, i + side + 1, i + side], -1).reshape(-1, 3),
        ]
    )
    return np.stack([x, y, 0 * x], -1).reshape(-1, 3), faces


def sphere(count: int) -> Cloud:
    k = np.arange(count) + 0.5
    height, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - height**2)
    points = np.column_stack([ring * np.cos(turn), ring * np.sin(turn), height])
    return Cloud(points, points, np.full(count, 3, np.int32))


def test_normals_of_a_cube_point_outwards() -> None:
    normals, areas = mesh.face_normals(CUBE, CUBE_FACES)
    outwards = CUBE[CUBE_FACES].mean(axis=1) - 0.5
    assert (np.einsum("ij,ij->i", normals, outwards) > 0).all()
    assert areas == pytest.approx(np.full(12, 0.5))
    corners = mesh.vertex_normals(CUBE, CUBE_FACES)
    assert (np.sign(corners) == np.sign(CUBE - 0.5)).all()


def test_faces_of_a_closed_solid_have_three_neighbours() -> None:
    pairs = mesh.adjacent_faces(CUBE_FACES)
    assert len(pairs) == 18
    assert (np.bincount(pairs.ravel()) == 3).all()
    assert mesh.adjacent_faces(CUBE_FACES[:0]).shape == (0, 2)


def test_parts_are_told_apart_and_small_ones_dropped() -> None:
    sheet, faces = grid(6)
    vertices = np.concatenate([CUBE, sheet + 5])
    both = np.concatenate([CUBE_FACES, faces + 8])
    labels = mesh.components(both)
    assert len(set(labels)) == 2
    assert len(set(labels[:12])) == 1
    assert mesh.large_components(both, 0.1).all()
    assert mesh.large_components(both, 0.5).tolist() == [False] * 12 + [True] * 50
    assert mesh.large_components(both, 1.0).sum() == 50
    kept, index = mesh.compact(vertices, both[12:])
    assert len(kept) == 36
    np.testing.assert_array_equal(kept[index], vertices[both[12:]])


def test_faces_without_area_are_dropped() -> None:
    faces = np.array([[0, 1, 3], [0, 0, 1], [2, 2, 2]])
    np.testing.assert_array_equal(mesh.without_degenerate(CUBE, faces), faces[:1])
    line = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], float)
    assert len(mesh.without_degenerate(line, np.array([[0, 1, 2]]))) == 0
    assert mesh.longest_edges(CUBE, CUBE_FACES) == pytest.approx(np.full(12, 2**0.5))


def test_smoothing_takes_noise_away_without_shrinking() -> None:
    rng = np.random.default_rng(0)
    vertices, faces = grid(30)
    noisy = vertices + rng.normal(0, 0.004, vertices.shape) * (0, 0, 1)
    smooth = mesh.taubin(noisy, faces, iterations=10, shrink=0.5)
    assert smooth[:, 2].std() < 0.5 * noisy[:, 2].std()
    assert np.ptp(smooth[:, 0]) == pytest.approx(1.0, abs=0.01)
    ball = poisson_surface(sphere(3000), 1000)
    rounder = mesh.taubin(*ball, iterations=20, shrink=0.5)
    assert np.linalg.norm(rounder, axis=1).mean() == pytest.approx(np.linalg.norm(ball[0], axis=1).mean(), rel=0.01)
    np.testing.assert_array_equal(mesh.taubin(noisy, faces, 0, 0.5), noisy)


def test_the_surface_of_a_sphere_is_found_and_simplified() -> None:
    vertices, faces = poisson_surface(sphere(8000), 4000)
    radius = np.linalg.norm(vertices, axis=1)
    assert np.abs(radius - 1).max() < 0.03
    normals, areas = mesh.face_normals(vertices, faces)
    assert areas.sum() == pytest.approx(4 * np.pi, rel=0.03)
    assert (np.einsum("ij,ij->i", normals, vertices[faces].mean(axis=1)) > 0).mean() > 0.99
    fewer, fewer_faces = simplified(vertices, faces, 1000, threads=1)
    assert 800 < len(fewer) < 1150
    assert np.abs(np.linalg.norm(fewer, axis=1) - 1).max() < 0.05
    assert fewer_faces.max() == len(fewer) - 1
    assert simplified(vertices, faces, 10**6, threads=1)[1] is faces


def test_an_empty_cloud_is_refused_before_the_native_code() -> None:
    with pytest.raises(ValueError, match="empty cloud"):
        poisson_surface(sphere(10).select(np.zeros(10, bool)), 1000)


def test_the_octree_follows_the_points_and_the_vertices_asked_for() -> None:
    assert octree_depth(size=1.0, spacing=1 / 100, points=10_000, max_vertices=10**6) == 6
    assert octree_depth(size=1.0, spacing=1 / 1000, points=10**6, max_vertices=10**6) == 9
    assert octree_depth(size=1.0, spacing=1 / 1000, points=10**6, max_vertices=10_000) == 7
    assert octree_depth(size=0.0, spacing=0.0, points=1, max_vertices=100) == 5
    sheet, _ = grid(80)
    assert point_spacing(sheet) == pytest.approx(1 / 79, rel=0.25)
    assert point_spacing(sheet[:1]) == 0.0


def test_small_holes_stay_closed_and_what_hangs_over_the_rim_goes() -> None:
    vertices, faces = grid(41)
    inner = inside_box(vertices, (np.array([0.1, 0.1, -1]), np.array([0.9, 0.9, 1])))
    near = np.hypot(vertices[:, 0] - 0.3, vertices[:, 1] - 0.3) < 0.07
    far = np.hypot(vertices[:, 0] - 0.65, vertices[:, 1] - 0.65) < 0.2
    points = vertices[inner & ~near & ~far]
    kept, kept_faces = supported(vertices, faces, points, reach=0.01, bridge=0.1)
    assert kept[:, :2].min() == pytest.approx(0.1)
    assert kept[:, :2].max() == pytest.approx(0.9)
    assert (np.hypot(*(kept[:, :2] - 0.3).T) < 0.04).any()
    assert not (np.hypot(*(kept[:, :2] - 0.65).T) < 0.15).any()
    assert len(np.unique(kept_faces)) == len(kept)


@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_meshes_come_back_from_disk(tmp_path: Path, suffix: str) -> None:
    write_mesh_file(tmp_path / f"mesh{suffix}", CUBE / 3, CUBE_FACES)
    vertices, faces = read_mesh_file(tmp_path / f"mesh{suffix}")
    np.testing.assert_allclose(vertices, CUBE / 3, atol=1e-6)
    np.testing.assert_array_equal(faces, CUBE_FACES)
    with pytest.raises(ValueError, match=r"neither"):
        write_mesh_file(tmp_path / "mesh.stl", vertices, faces)
    with pytest.raises(ValueError, match=r"neither"):
        read_mesh_file(tmp_path / "mesh.stl")


def test_damaged_ply_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mesh.ply"
    write_mesh_file(path, CUBE, CUBE_FACES)
    whole = path.read_bytes()
    for damaged, message in (
        (whole[:-5], "middle of its face list"),
        (whole[:40], "middle of its header"),
        (b"solid\n" + whole, "not a PLY"),
        (whole.replace(b"binary_little_endian", b"ascii"), "format ascii"),
        (whole[:-13] + b"\x04" + whole[-12:], "not triangles"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            read_ply(path)
    write_cloud(path, CUBE, CUBE)
    points, faces = read_ply(path)
    assert (len(points), len(faces)) == (8, 0)
