"""PLY, opened again by plyfile, which shares no code with the trimesh that wrote it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from plyfile import PlyData

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.results.ply import vertex_colours, write_ply
from meshroom_tasks.results.wavefront import Material, parse_obj, read_mtl, read_obj
from tests.results.conftest import BLUE, ORANGE, write_texturing

SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"


def _columns(element: np.ndarray, *names: str) -> np.ndarray:
    return np.stack([element[name] for name in names], axis=-1)


@pytest.mark.parametrize(("jpeg", "udim"), [(False, False), (True, True)])
def test_another_reader_finds_the_faces_and_their_colours(tmp_path: Path, jpeg: bool, udim: bool) -> None:
    texturing = write_texturing(tmp_path / "t", jpeg=jpeg, udim=udim)
    mesh = read_obj(texturing / "texturedMesh.obj")
    write_ply(mesh, read_mtl(texturing / "texturedMesh.mtl"), texturing, tmp_path / "m.ply")
    found = PlyData.read(tmp_path / "m.ply")
    assert (found.text, found.byte_order) == (False, "<")
    vertex = found["vertex"].data
    points = _columns(vertex, "x", "y", "z")
    assert np.allclose(points, mesh.vertices, atol=1e-6)
    assert np.vstack(found["face"]["vertex_indices"]).tolist() == mesh.faces.tolist()
    in_use = np.unique(mesh.faces)
    outward = (_columns(vertex, "nx", "ny", "nz") * points).sum(axis=1)[in_use]
    assert np.quantile(outward, 0.1) > 0.99, "all but those of the flat faces at the pole"
    colours = _columns(vertex, "red", "green", "blue").astype(int)
    height = points[:, 1]
    upper, lower = (height > 0.05) & (height < 0.9), (height < -0.05) & (height > -0.99)
    assert np.abs(colours[upper] - ORANGE).max() <= 8
    assert np.abs(colours[lower] - BLUE).max() <= 8
    white = (height > 0.96) & (height < 0.99) & (points[:, 2] < -0.05)
    assert white.any()
    assert colours[white].min() > 245


def test_corners_that_meet_are_averaged(tmp_path: Path) -> None:
    """At a seam of the atlas a vertex has two places in the texture."""
    cv2.imwrite(str(tmp_path / "t.png"), np.repeat([[[0, 0, 200]], [[100, 0, 0]]], 2, axis=1).astype(np.uint8))
    mesh = parse_obj(SQUARE + b"usemtl a\nf 1/4 2/4 3/4\nf 1/1 3/1 4/1\n")
    colours = vertex_colours(mesh, {"a": Material("a", "t.png", ("t.png",))}, tmp_path)
    assert colours.tolist() == [[100, 0, 50], [200, 0, 0], [100, 0, 50], [0, 0, 100]]


def test_a_fine_texture_is_averaged_over_what_a_vertex_stands_for(tmp_path: Path) -> None:
    checks = np.indices((512, 512)).sum(axis=0) % 2 * 255
    cv2.imwrite(str(tmp_path / "t.png"), np.repeat(checks[..., None], 3, axis=2).astype(np.uint8))
    mesh = parse_obj(SQUARE + b"usemtl a\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n")
    colours = vertex_colours(mesh, {"a": Material("a", "t.png", ("t.png",))}, tmp_path)
    assert np.abs(colours.astype(int) - 128).max() <= 1


def test_faces_without_texture_are_grey(tmp_path: Path) -> None:
    mesh = parse_obj(SQUARE + b"f 1 2 3\nusemtl a\nf 1/1 3/3 4/4\n")
    assert vertex_colours(mesh, {}, tmp_path).tolist() == [[176, 176, 176]] * 4


def test_a_missing_texture(tmp_path: Path, texturing: Path) -> None:
    (texturing / "texture_1001.png").unlink()
    mesh, materials = read_obj(texturing / "texturedMesh.obj"), read_mtl(texturing / "texturedMesh.mtl")
    with pytest.raises(HandoffIncomplete, match="texture_1001"):
        write_ply(mesh, materials, texturing, tmp_path / "m.ply")
