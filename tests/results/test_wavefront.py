from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from meshroom_tasks.errors import HandoffIncomplete, NoSurface
from meshroom_tasks.results.wavefront import Material, parse_obj, read_mtl, read_obj

SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvn 0 0 1\n"


@pytest.mark.parametrize(
    ("face", "faces", "uvs"),
    [
        (b"f 1 2 3", [[0, 1, 2]], [[-1, -1, -1]]),
        (b"f 1/1 2/2 3/3", [[0, 1, 2]], [[0, 1, 2]]),
        (b"f 1/1/1 2/2/1 3/3/1", [[0, 1, 2]], [[0, 1, 2]]),
        (b"f 1//1 2//1 3//1", [[0, 1, 2]], [[-1, -1, -1]]),
        (b"f 2/3 3/1 4/2", [[1, 2, 3]], [[2, 0, 1]]),
        (b"f -4/-3 -3/-2 -2/-1", [[0, 1, 2]], [[0, 1, 2]]),
        (b"f 1 2 3 4", [[0, 1, 2], [0, 2, 3]], [[-1, -1, -1]] * 2),
        (b"f  1/1   2/2\t3/3  ", [[0, 1, 2]], [[0, 1, 2]]),
        (b"  f 1 2 3\r\nf 2 3 4\r", [[0, 1, 2], [1, 2, 3]], [[-1, -1, -1]] * 2),
        (b"f 1 2 \\\n3", [[0, 1, 2]], [[-1, -1, -1]]),
        (b"f 1 2 3\nf 2/1 3/2 4/3\nf 3 4 1", [[0, 1, 2], [1, 2, 3], [2, 3, 0]], [[-1] * 3, [0, 1, 2], [-1] * 3]),
    ],
)
def test_faces(face: bytes, faces: list[list[int]], uvs: list[list[int]]) -> None:
    mesh = parse_obj(SQUARE + face)
    assert mesh.faces.tolist() == faces
    assert mesh.face_uvs.tolist() == uvs


def test_negative_indices_count_back_from_their_line() -> None:
    mesh = parse_obj(b"v 0 0 0\nv 1 0 0\nv 1 1 0\nf -3 -2 -1\nv 5 0 0\nv 6 0 0\nv 7 7 0\nf -3 -2 -1\n")
    assert mesh.faces.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_numbers_and_extra_columns() -> None:
    mesh = parse_obj(b"v 1e-3 -2.5 +3 0.1 0.2 0.3\nv 0 0 0 1 1 1\nv 4 5 6 0 0 0\nvt 0.25 0.75 0\nf 1/1 2/1 3/1")
    assert mesh.vertices.tolist() == [[0.001, -2.5, 3], [0, 0, 0], [4, 5, 6]]
    assert mesh.uvs.tolist() == [[0.25, 0.75]]


def test_materials() -> None:
    text = b"f 1 2 3\nusemtl b one\nf 2 3 4\nusemtl unused\nusemtl a\nf 3 4 1\nf 3 4 2\nusemtl b one\nf 1 2 4\n"
    mesh = parse_obj(SQUARE + text)
    assert [mesh.materials[index] for index in mesh.face_material] == ["", "b one", "a", "a", "b one"]


@pytest.mark.parametrize("text", [b"", b"# nothing\n", SQUARE])
def test_no_surface(text: bytes) -> None:
    with pytest.raises(NoSurface):
        parse_obj(text)


@pytest.mark.parametrize(
    "text",
    [
        SQUARE + b"f 1 2 5",
        SQUARE + b"f 1 2 0",
        SQUARE + b"f 1 2 -5",
        SQUARE + b"f 1/4 2/1 3/1",
        SQUARE + b"f 1 2",
        SQUARE + b"f 1/1 2 3",
        SQUARE + b"f a b c",
        b"v 1 2\nv 1 2\nv 1 2\nf 1 2 3",
        b"v 1 2 x\nv 1 2 3\nv 1 2 3\nf 1 2 3",
        b"v 1 2 nan\nv 1 2 3\nv 1 2 3\nf 1 2 3",
        b"v 1 2 3\nv 1 2 3 4\nv 1 2 3\nf 1 2 3",
    ],
)
def test_broken_files(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "texturedMesh.obj").write_bytes(text)
    with pytest.raises(HandoffIncomplete, match="texturedMesh"):
        read_obj(tmp_path / "texturedMesh.obj")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(HandoffIncomplete, match="left no texturedMesh"):
        read_obj(tmp_path / "texturedMesh.obj")


def test_mtl(tmp_path: Path) -> None:
    (tmp_path / "m.mtl").write_text(
        "# c\nnewmtl a\nKd 1 1 1\nmap_Kd -s 1 1 1 texture_1001.png\nmap_Bump sub/normal.png\nnewmtl b\nKd 0 0 0\n"
    )
    assert read_mtl(tmp_path / "m.mtl") == {
        "a": Material("a", "texture_1001.png", ("texture_1001.png", "normal.png"), "normal.png"),
        "b": Material("b", None, ()),
    }
    assert read_mtl(tmp_path / "none.mtl") == {}


def test_a_large_file_takes_seconds_at_most(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    count = 100_000
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in random.normal(size=(count, 3))]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in random.random((count, 2))]
    corners = random.integers(1, count + 1, (2 * count, 3))
    lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in corners]
    (tmp_path / "m.obj").write_text("\n".join(lines))
    start = time.process_time()
    mesh = read_obj(tmp_path / "m.obj")
    assert time.process_time() - start < 10
    assert (mesh.faces == corners - 1).all()
