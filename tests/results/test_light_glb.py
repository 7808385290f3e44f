"""The light copy of a model, read again as the extension says and compared with the whole one."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import cv2
import DracoPy
import numpy as np
import pytest
import trimesh
from PIL import Image

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.results.glb import write_glb
from meshroom_tasks.results.light_glb import TEXELS, write_light_glb
from meshroom_tasks.results.wavefront import read_mtl, read_obj
from tests.results.conftest import write_texturing

_NAMES = {"POSITION": 3, "NORMAL": 3, "TEXCOORD_0": 2}


def _write(texturing: Path, folder: Path) -> Path:
    """The light copy, and the whole one as `whole.glb`."""
    mesh, materials = read_obj(texturing / "texturedMesh.obj"), read_mtl(texturing / "texturedMesh.mtl")
    write_glb(mesh, materials, texturing, folder / "whole.glb")
    write_light_glb(mesh, materials, texturing, folder / "light.glb")
    return folder / "light.glb"


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    magic, version, total, length, _ = struct.unpack("<IIIII", data[:20])
    assert (magic, version, total) == (0x46546C67, 2, len(data))
    document: dict[str, Any] = json.loads(data[20 : 20 + length])
    return document, data[28 + length :]


def _view(document: dict[str, Any], buffer: bytes, index: int) -> bytes:
    view = document["bufferViews"][index]
    return buffer[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]


@pytest.mark.parametrize("udim", [False, True])
def test_it_is_the_same_surface(tmp_path: Path, udim: bool) -> None:
    document, buffer = _read(_write(write_texturing(tmp_path / "t", udim=udim), tmp_path))
    assert document["extensionsUsed"] == document["extensionsRequired"] == ["KHR_draco_mesh_compression"]
    whole = trimesh.load(tmp_path / "whole.glb", process=False)
    primitives = document["meshes"][0]["primitives"]
    assert len(primitives) == len(whole.geometry) == 2
    for primitive, part in zip(primitives, whole.geometry.values(), strict=True):
        packed = primitive["extensions"]["KHR_draco_mesh_compression"]
        decoded = DracoPy.decode(_view(document, buffer, packed["bufferView"]))
        accessors = document["accessors"]
        assert accessors[primitive["indices"]]["count"] == 3 * len(decoded.faces)
        found = {
            name: decoded.get_attribute_by_unique_id(packed["attributes"][name])["data"].reshape(-1, width)
            for name, width in _NAMES.items()
        }
        for name, values in found.items():
            assert accessors[primitive["attributes"][name]]["count"] == len(values)
        corners = np.concatenate([found["POSITION"], found["TEXCOORD_0"], found["NORMAL"]], axis=1)[decoded.faces]
        uv = part.visual.uv * [1, -1] + [0, 1]
        wanted = np.concatenate([part.vertices, uv, part.vertex_normals], axis=1)[part.faces]
        # Faces without area, here at the poles, are nothing to see and may be dropped.
        wanted, corners = wanted[_has_area(wanted)], corners[_has_area(corners)]
        assert len(corners) == len(wanted) == 24 * 48 - 48
        nearest = _nearest(wanted.mean(1)[:, :5], corners.mean(1)[:, :5])
        assert sorted(nearest) == list(range(len(nearest)))
        assert np.allclose(corners[nearest].mean(1)[:, :5], wanted.mean(1)[:, :5], atol=1e-3)
        # Smooth normals of a ball are its positions.
        assert np.allclose(found["NORMAL"], found["POSITION"], atol=0.1)


def _has_area(corners: np.ndarray) -> np.ndarray:
    a, b, c = (corners[:, index, :3] for index in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-7


def _nearest(points: np.ndarray, others: np.ndarray) -> list[int]:
    return [int(np.argmin(np.linalg.norm(others - point, axis=1))) for point in points]


def test_large_textures_share_what_there_is(tmp_path: Path) -> None:
    texturing = write_texturing(tmp_path / "t")
    noise = np.random.default_rng(1).integers(0, 255, (4096, 4096, 3), np.uint8)
    cv2.imwrite(str(texturing / "texture_1001.png"), noise)
    document, buffer = _read(_write(texturing, tmp_path))
    sizes = [Image.open(io.BytesIO(_view(document, buffer, image["bufferView"]))).size for image in document["images"]]
    assert sizes == [(1024, 1024), (256, 256)]
    assert sum(width * height for width, height in sizes) <= TEXELS


def test_without_a_texture(tmp_path: Path) -> None:
    texturing = write_texturing(tmp_path / "t")
    (texturing / "texturedMesh.mtl").write_text("newmtl material_1001\nKd 1 1 1\n")
    document, buffer = _read(_write(texturing, tmp_path))
    for primitive in document["meshes"][0]["primitives"]:
        packed = primitive["extensions"]["KHR_draco_mesh_compression"]
        assert set(packed["attributes"]) == set(primitive["attributes"]) == {"POSITION", "NORMAL"}
        decoded = DracoPy.decode(_view(document, buffer, packed["bufferView"]))
        assert _has_area(decoded.points[decoded.faces]).sum() == 24 * 48 - 48
    assert "images" not in document


def test_a_missing_texture_is_named(tmp_path: Path) -> None:
    texturing = write_texturing(tmp_path / "t")
    mesh, materials = read_obj(texturing / "texturedMesh.obj"), read_mtl(texturing / "texturedMesh.mtl")
    (texturing / "texture_1002.png").unlink()
    with pytest.raises(HandoffIncomplete, match=r"texture_1002\.png"):
        write_light_glb(mesh, materials, texturing, tmp_path / "light.glb")
