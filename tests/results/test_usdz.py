"""USDZ, opened again by tinyusdz, which shares no code with Pixar's USD that wrote it, and by Python's zipfile."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tinyusdz
from pxr import Usd, UsdValidation

from meshroom_tasks.errors import ConversionFailed, HandoffIncomplete
from meshroom_tasks.results import usdz
from meshroom_tasks.results.textures import tile_uvs
from meshroom_tasks.results.usdz import write_usdz
from meshroom_tasks.results.wavefront import TexturedMesh, parse_obj, read_mtl, read_obj
from tests.results.conftest import BLUE, ORANGE, write_texturing
from tests.small_disk import small_disk


def _write(texturing: Path, target: Path) -> TexturedMesh:
    mesh = read_obj(texturing / "texturedMesh.obj")
    write_usdz(mesh, read_mtl(texturing / "texturedMesh.mtl"), texturing, target)
    return mesh


def _pictures(path: Path) -> dict[str, np.ndarray]:
    """Red, green, blue by name."""
    with zipfile.ZipFile(path) as package:
        content = {name: package.read(name) for name in package.namelist() if not name.endswith(".usdc")}
    return {
        name: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for name, data in content.items()
    }


@pytest.mark.parametrize(("jpeg", "udim"), [(False, False), (True, True)])
def test_another_reader_finds_the_faces_and_their_colours(tmp_path: Path, jpeg: bool, udim: bool) -> None:
    mesh = _write(write_texturing(tmp_path / "t", jpeg=jpeg, udim=udim), tmp_path / "model.usdz")
    stage = tinyusdz.load(str(tmp_path / "model.usdz"))
    assert [stage.get_metadata(name) for name in ("upAxis", "metersPerUnit", "defaultPrim")] == ["Y", 1.0, "model"]
    scene = tinyusdz.tydra.convert_to_render_scene(stage)
    pictures = _pictures(tmp_path / "model.usdz")
    assert len(scene.meshes()) == len(scene.materials()) == len(pictures) == 2
    for number, (part, colour) in enumerate(zip(scene.meshes(), (ORANGE, BLUE), strict=True)):
        faces = np.flatnonzero(mesh.face_material == number)
        corners = np.asarray(part.face_vertex_indices).reshape(-1, 3)
        points, uvs = np.asarray(part.points)[corners], np.asarray(part.texcoord())[corners]
        assert np.allclose(points, mesh.vertices[mesh.faces[faces]], atol=1e-6)
        assert np.allclose(uvs, tile_uvs(mesh, faces), atol=1e-6), "origin at the lower left, as in an OBJ"
        outward = (np.asarray(part.normals)[corners] * points).sum(axis=2)
        assert np.quantile(outward, 0.1) > 0.99, "all but those of the flat faces at the pole"
        assert part.is_double_sided
        surface = scene.materials()[part.material_id].preview_surface
        assert (surface["roughness"]["value"], surface["metallic"]["value"]) == (1.0, 0.0)
        texture = scene.textures()[surface["diffuse_color"]["texture_id"]]
        assert (texture.varname_uv, texture.wrap_s, texture.wrap_t) == ("st", "clamp_to_edge", "clamp_to_edge")
        image = scene.images()[texture.texture_image_id]
        assert image.color_space == "srgb"
        found = _colours(pictures[image.asset_identifier], uvs.mean(axis=1))
        # White is the texture's upper left: the pole of the upper half, where z is negative.
        white = (uvs.mean(axis=1)[:, 1] > 0.89) & (uvs.mean(axis=1)[:, 0] < 0.49)
        assert (points.mean(axis=1)[white, 2] < 0).all()
        assert white.any() == (number == 0)
        assert np.abs(found[white] - 255).max(initial=0) <= 10
        plain = (uvs[..., 1].max(axis=1) < 0.86) & (uvs[..., 1].min(axis=1) > 0.02)
        assert np.abs(found[plain] - colour).max() <= 6


def _colours(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    rows, columns = picture.shape[:2]
    return picture[((1 - uv[:, 1]) * rows).astype(int), (uv[:, 0] * columns).astype(int)].astype(int)


def test_the_package_is_what_phones_take(tmp_path: Path, texturing: Path) -> None:
    """Stored, aligned to 64 bytes, the layer first; and USD's own validators, those of packages among them."""
    _write(texturing, tmp_path / "model.usdz")
    with zipfile.ZipFile(tmp_path / "model.usdz") as package:
        parts = package.infolist()
        content = (tmp_path / "model.usdz").read_bytes()
        assert package.testzip() is None
    assert [part.filename for part in parts] == ["model.usdc", "0_colour.png", "1_colour.png"]
    for part in parts:
        assert part.compress_type == zipfile.ZIP_STORED
        start = part.header_offset
        lengths = content[start + 26 : start + 30]
        name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
        assert (start + 30 + name + extra) % 64 == 0
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    stage = Usd.Stage.Open(str(tmp_path / "model.usdz"))
    assert [error.GetMessage() for error in UsdValidation.ValidationContext(validators).Validate(stage)] == []


def test_a_normal_map_goes_into_the_package(tmp_path: Path) -> None:
    texturing = write_texturing(tmp_path / "t")
    text = (texturing / "texturedMesh.mtl").read_text()
    text = text.replace("map_Kd texture_1001.png\n", "map_Kd texture_1001.png\nmap_bump Normal_1001.png\n")
    (texturing / "texturedMesh.mtl").write_text(text)
    cv2.imwrite(str(texturing / "Normal_1001.png"), np.full((64, 64, 3), (220, 128, 200), np.uint8))
    _write(texturing, tmp_path / "model.usdz")
    stage = tinyusdz.load(str(tmp_path / "model.usdz"))
    scene = tinyusdz.tydra.convert_to_render_scene(stage)
    surface = scene.materials()[0].preview_surface
    texture = scene.textures()[surface["normal"]["texture_id"]]
    assert (texture.scale, texture.bias) == ((2, 2, 2, 1), (-1, -1, -1, 0))
    image = scene.images()[texture.texture_image_id]
    shader = stage.get_prim_at_path("/model/materials/material_0/normal")
    assert shader.get_attribute("inputs:sourceColorSpace").value.as_scalar() == "raw"
    assert _pictures(tmp_path / "model.usdz")[image.asset_identifier][0, 0].tolist() == [200, 128, 220]
    assert scene.materials()[1].preview_surface["normal"]["texture_id"] == -1


def test_names_that_usd_does_not_allow_and_faces_without_texture(tmp_path: Path) -> None:
    mesh = parse_obj(b"v 0 0 0\nv 1 0 0\nv 1 1 0\nusemtl 1 \xc3\xa4/..\nf 1 2 3\n")
    write_usdz(mesh, {}, tmp_path, tmp_path / "m.usdz")
    (part,) = tinyusdz.tydra.convert_to_render_scene(tinyusdz.load(str(tmp_path / "m.usdz"))).meshes()
    assert np.asarray(part.points).tolist() == mesh.vertices.tolist()
    assert zipfile.ZipFile(tmp_path / "m.usdz").namelist() == ["model.usdc"]


def test_written_twice(tmp_path: Path, texturing: Path) -> None:
    _write(texturing, tmp_path / "m.usdz")
    first = (tmp_path / "m.usdz").stat().st_size
    _write(texturing, tmp_path / "m.usdz")
    assert (tmp_path / "m.usdz").stat().st_size == first


def test_a_missing_texture(tmp_path: Path, texturing: Path) -> None:
    (texturing / "texture_1002.png").unlink()
    with pytest.raises(HandoffIncomplete, match="texture_1002"):
        _write(texturing, tmp_path / "m.usdz")
    assert not (tmp_path / "m.usdz").exists()


def test_what_usd_does_not_write(tmp_path: Path, texturing: Path) -> None:
    mesh, materials = read_obj(texturing / "texturedMesh.obj"), read_mtl(texturing / "texturedMesh.mtl")
    broken = replace(mesh, faces=mesh.faces + len(mesh.vertices))
    with pytest.raises(ConversionFailed, match="USD cannot write the model: IndexError") as failure:
        write_usdz(broken, materials, texturing, tmp_path / "m.usdz")
    assert failure.value.log_tail


def test_a_program_that_is_killed(tmp_path: Path, texturing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the kernel where memory runs out; and one that does not end."""
    monkeypatch.setattr(usdz, "PROGRAM", "tests.results.kills_itself")
    with pytest.raises(ConversionFailed, match="ended with -9"):
        _write(texturing, tmp_path / "m.usdz")
    monkeypatch.setattr(usdz, "PROGRAM", "tests.results.never_ends")
    monkeypatch.setattr(usdz, "_SECONDS", 0.5)
    with pytest.raises(ConversionFailed, match="within"):
        _write(texturing, tmp_path / "m.usdz")
    assert list(tmp_path.glob("m.*")) == []


@pytest.mark.parametrize("room", [0, 60_000], ids=["for nothing", "for the layer alone"])
def test_a_full_disk_is_told_as_such(tmp_path: Path, texturing: Path, room: int) -> None:
    mesh, materials = read_obj(texturing / "texturedMesh.obj"), read_mtl(texturing / "texturedMesh.mtl")
    with small_disk(tmp_path / "disk", 1) as disk:
        (disk / "filler").write_bytes(b"x" * ((1 << 20) - room - 20_000))
        with pytest.raises(OSError, match="No space left"):
            write_usdz(mesh, materials, texturing, disk / "m.usdz")
