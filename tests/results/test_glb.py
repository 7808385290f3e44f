from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.results.glb import vertex_normals, write_glb
from meshroom_tasks.results.textures import embeddable, read_texture, texture_size
from meshroom_tasks.results.wavefront import parse_obj, read_mtl, read_obj
from tests.results.conftest import BLUE, ORANGE, write_texturing


def _write(texturing: Path, target: Path) -> Path:
    write_glb(read_obj(texturing / "texturedMesh.obj"), read_mtl(texturing / "texturedMesh.mtl"), texturing, target)
    return target


def _colour(part: trimesh.Trimesh, point: np.ndarray) -> np.ndarray:
    """Red, green, blue of the texture at the vertex that is nearest to the point; trimesh has v upwards."""
    nearest = int(np.argmin(np.linalg.norm(part.vertices - point, axis=1)))
    u, v = part.visual.uv[nearest]
    image = np.asarray(part.visual.material.baseColorTexture.convert("RGB"))
    rows, columns = image.shape[:2]
    return image[min(int((1 - v) * rows), rows - 1), min(int(u * columns), columns - 1)].astype(int)


@pytest.mark.parametrize(("jpeg", "udim"), [(False, False), (True, False), (False, True)])
def test_another_reader_finds_the_surface_and_its_colours(tmp_path: Path, jpeg: bool, udim: bool) -> None:
    texturing = write_texturing(tmp_path / "t", jpeg=jpeg, udim=udim)
    scene = trimesh.load(_write(texturing, tmp_path / "model.glb"), process=False)
    upper, lower = sorted(scene.geometry.values(), key=lambda part: -part.vertices[:, 1].mean())
    assert len(upper.faces) == len(lower.faces) == 24 * 48
    assert np.allclose(scene.bounds, [[-1, -1, -1], [1, 1, 1]], atol=0.01)
    for part, colour in ((upper, ORANGE), (lower, BLUE)):
        assert part.visual.material.roughnessFactor == 1.0
        assert part.visual.material.metallicFactor == 0.0
        assert np.abs(_colour(part, np.array([-1.0, 0.1 * part.vertices[:, 1].mean(), 0])) - colour).max() <= 6
        outward = (part.vertex_normals * part.vertices).sum(axis=1)
        assert np.quantile(outward, 0.1) > 0.99, "all but those of the flat faces at the pole"
    # The texture's white corner lies near the pole where z is negative: neither u nor v may be turned round.
    assert _colour(upper, np.array([0.1, 1.0, -0.1])).min() >= 245
    assert np.abs(_colour(upper, np.array([0.1, 1.0, 0.1])) - ORANGE).max() <= 6


def test_jpeg_and_small_png_go_in_as_they_are(tmp_path: Path) -> None:
    for jpeg in (False, True):
        texturing = write_texturing(tmp_path / str(jpeg), jpeg=jpeg)
        content = _write(texturing, tmp_path / "m.glb").read_bytes()
        for texture in texturing.glob("texture_*"):
            assert texture.read_bytes() in content


def test_a_large_png_becomes_jpeg(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1400, 1400, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.0)
    cv2.imwrite(str(tmp_path / "t.png"), smooth)
    assert (tmp_path / "t.png").stat().st_size > 4 << 20
    content, media_type = embeddable(tmp_path / "t.png")
    assert media_type == "image/jpeg"
    assert len(content) < (tmp_path / "t.png").stat().st_size / 2
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - smooth).mean() < 3


def test_the_container_keeps_to_the_specification(tmp_path: Path, texturing: Path) -> None:
    content = _write(texturing, tmp_path / "m.glb").read_bytes()
    magic, version, length = struct.unpack("<4sII", content[:12])
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack("<I4s", content[12:20])
    assert kind == b"JSON"
    assert size % 4 == 0
    document = json.loads(content[20 : 20 + size])
    binary, kind = struct.unpack("<I4s", content[20 + size : 28 + size])
    assert kind == b"BIN\0"
    assert binary == document["buffers"][0]["byteLength"] == len(content) - size - 28
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= binary
    for primitive in document["meshes"][0]["primitives"]:
        position = document["accessors"][primitive["attributes"]["POSITION"]]
        assert len(position["min"]) == len(position["max"]) == 3
        indices = document["accessors"][primitive["indices"]]
        view = document["bufferViews"][indices["bufferView"]]
        start = 28 + size + view["byteOffset"]
        values = np.frombuffer(content[start : start + view["byteLength"]], np.uint32)
        assert len(values) == indices["count"]
        assert values.max() == position["count"] - 1


def test_a_normal_map_goes_into_the_model(tmp_path: Path) -> None:
    """As AliceVision names it; where it knows of no surface, the normal stands straight up."""
    texturing = write_texturing(tmp_path / "t")
    text = (texturing / "texturedMesh.mtl").read_text()
    for number in (1001, 1002):
        line = f"map_Kd texture_{number}.png\n"
        text = text.replace(line, f"{line}bump Normal_{number}.png\nmap_bump Normal_{number}.png\n")
        slanted = np.full((64, 64, 3), (220, 128, 200), np.uint8)  # Blue, green, red.
        slanted[:32] = 127
        cv2.imwrite(str(texturing / f"Normal_{number}.png"), slanted)
    (texturing / "texturedMesh.mtl").write_text(text)
    assert read_mtl(texturing / "texturedMesh.mtl")["material_1001"].files == ("texture_1001.png", "Normal_1001.png")
    scene = trimesh.load(_write(texturing, tmp_path / "model.glb"), process=False)
    for part in scene.geometry.values():
        normals = np.asarray(part.visual.material.normalTexture.convert("RGB"))
        assert normals[0, 0].tolist() == [128, 128, 255]
        assert normals[-1, -1].tolist() == [200, 128, 220]
        assert part.visual.material.baseColorTexture.size == (256, 256)


def test_a_map_of_heights_is_no_normal_map(tmp_path: Path) -> None:
    (tmp_path / "a.mtl").write_text(
        "newmtl a\nmap_bump Bump_1001.exr\nnewmtl b\nnorm -bm 1 n.png\nnewmtl c\nKd 1 1 1\nmap_Kd t.png\n"
    )
    materials = read_mtl(tmp_path / "a.mtl")
    assert {name: material.normals for name, material in materials.items()} == {"a": None, "b": "n.png", "c": None}
    assert materials["a"].files == ("Bump_1001.exr",)


def test_faces_without_texture(tmp_path: Path) -> None:
    mesh = parse_obj(b"v 0 0 0\nv 1 0 0\nv 1 1 0\nf 1 2 3\n")
    write_glb(mesh, {}, tmp_path, tmp_path / "m.glb")
    scene = trimesh.load(io.BytesIO((tmp_path / "m.glb").read_bytes()), file_type="glb")
    assert [len(part.faces) for part in scene.geometry.values()] == [1]


@pytest.mark.parametrize("jpeg", [False, True])
def test_a_missing_texture(tmp_path: Path, jpeg: bool) -> None:
    texturing = write_texturing(tmp_path / "t", jpeg=jpeg)
    for texture in texturing.glob("texture_1002*"):
        texture.unlink()
    with pytest.raises(HandoffIncomplete, match="texture_1002"):
        _write(texturing, tmp_path / "m.glb")


def test_a_broken_texture(tmp_path: Path) -> None:
    (tmp_path / "t.png").write_bytes(b"no picture")
    with pytest.raises(HandoffIncomplete, match="cannot be read"):
        read_texture(tmp_path / "t.png")


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_sizes(tmp_path: Path, ending: str) -> None:
    cv2.imwrite(str(tmp_path / f"t.{ending}"), np.zeros((30, 50, 3), np.uint8))
    assert texture_size(tmp_path / f"t.{ending}") == (50, 30)


def test_normals_of_a_lone_vertex_are_unit_vectors() -> None:
    mesh = parse_obj(b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 9 9 9\nf 1 2 3\n")
    assert vertex_normals(mesh).tolist() == [[0, 0, 1]] * 3 + [[0, 1, 0]]
