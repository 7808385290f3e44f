"""The dense nodes one after another on a small scene, each reading only what the one before it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from meshroom_tasks.cpu_engine.attributes import Attribute, Group
from meshroom_tasks.cpu_engine.mesh_files import read_mesh_file, write_mesh_file
from meshroom_tasks.cpu_engine.node import NodeChunk, NodeError
from meshroom_tasks.cpu_engine.nodes.depth_map import working_divisor
from meshroom_tasks.cpu_engine.registry import node_of_type
from meshroom_tasks.cpu_engine.scene import Landmarks, Scene, read_scene, write_scene
from tests.cpu_engine import dense_scenes as scenes


def defaults(attributes: tuple[Attribute, ...]) -> dict[str, Any]:
    return {a.name: defaults(a.members) if isinstance(a, Group) else a.default for a in attributes}


def run(node_type: str, folder: Path, index: int = 0, **inputs: Any) -> Path:
    """One chunk of a node with its defaults; `group__member` stands for a grouped attribute."""
    node = node_of_type(node_type)
    values = defaults(node.attributes)
    for name, value in inputs.items():
        *groups, last = name.split("__")
        place = values
        for group in groups:
            place = place[group]
        assert last in place
        place[last] = str(value) if isinstance(value, Path) else value
    folder.mkdir(exist_ok=True)
    block = node.block_size or 1
    node.process(NodeChunk(values, folder, index, range(index * block, (index + 1) * block), threads=2))
    return folder


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dense")
    scenes.write_dense_scene(folder)
    return folder


@pytest.fixture(scope="module")
def filtered(given: Path) -> Path:
    depth = run("DepthMap", given / "DepthMap", input=given / "sfm", imagesFolder=given / "images")
    assert len(list(depth.iterdir())) == 5
    return run("DepthMapFilter", given / "DepthMapFilter", input=given / "sfm", depthMapsFolder=depth)


@pytest.fixture(scope="module")
def meshed(given: Path, filtered: Path) -> Path:
    return run("Meshing", given / "Meshing", input=given / "sfm", depthMapsFolder=filtered, maxPoints=3000)


def test_the_surface_comes_back_textured(given: Path, meshed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smooth = run("MeshFiltering", given / "MeshFiltering", inputMesh=meshed / "mesh.ply")
    vertices, faces = read_mesh_file(smooth / "mesh.ply")
    assert len(faces) > 1000
    truth = 0.2 * vertices[:, 0] + 0.08 * np.sin(5 * vertices[:, 0]) * np.cos(4 * vertices[:, 1])
    assert np.median(np.abs(vertices[:, 2] - truth)) < 0.01
    assert read_scene(meshed).view_count == 5
    out = run(
        "Texturing",
        given / "Texturing",
        input=meshed / "densePointCloud.ply",
        imagesFolder=given / "images",
        inputMesh=smooth / "mesh.ply",
    )
    assert {p.name for p in out.iterdir()} == {"texturedMesh.obj", "texturedMesh.mtl", "texture_1001.png", "stats.json"}
    stats = json.loads((out / "stats.json").read_text())
    assert stats["textured_faces_fraction"] > 0.95
    assert stats["faces"] == len(faces)
    texture = cv2.imread(str(out / "texture_1001.png"))
    assert max(texture.shape[:2]) == stats["texture_side"]
    assert "map_Kd texture_1001.png" in (out / "texturedMesh.mtl").read_text()
    assert "faces textured from photos" in capsys.readouterr().out


def test_texture_file_types_and_meshes_without_a_texture(given: Path, meshed: Path) -> None:
    inputs = {"input": meshed, "imagesFolder": given / "images", "inputMesh": meshed / "mesh.ply"}
    jpg = run("Texturing", given / "Jpg", colorMapping__colorMappingFileType="jpg", **inputs)
    assert (jpg / "texture_1001.jpg").read_bytes()[:2] == b"\xff\xd8"
    bare = run("Texturing", given / "Bare", colorMapping__enable=False, **inputs)
    assert [p.name for p in bare.iterdir()] == ["texturedMesh.obj"]


def test_a_reference_mesh_gives_a_normal_map(given: Path, meshed: Path) -> None:
    mesh = meshed / "mesh.ply"
    inputs = {"input": meshed, "imagesFolder": given / "images", "inputMesh": mesh, "inputRefMesh": mesh}
    out = run("Texturing", given / "Relief", **inputs)
    picture = cv2.imread(str(out / "Normal_1001.png"))
    assert picture.shape == cv2.imread(str(out / "texture_1001.png")).shape
    assert "map_bump Normal_1001.png" in (out / "texturedMesh.mtl").read_text()
    straight_up = np.abs(picture.astype(int) - (255, 128, 128)).max(axis=2) <= 12
    assert straight_up.mean() > 0.9, "the same mesh has no relief of its own"
    off = run("Texturing", given / "NoRelief", bumpMapping__enable=False, **inputs)
    assert not (off / "Normal_1001.png").exists()


@pytest.mark.parametrize(
    ("node_type", "attribute", "value", "reason"),
    [
        ("Texturing", "colorMapping.colorMappingFileType", "exr", "8-bit photos"),
        ("Texturing", "outputMeshFileType", "fbx", "made from the OBJ"),
        ("Texturing", "bumpMapping.bumpType", "Height", "normal maps alone"),
        ("Texturing", "bumpMapping.normalFileType", "exr", "8 bits"),
        ("Texturing", "displacementMapping.enable", True, "colour textures and normal maps"),
        ("Texturing", "unwrapMethod", "LSCM", "Basic"),
        ("DepthMap", "downscale", 0, "allowed: 1 to 16"),
        ("DepthMap", "sgm.sgmFilteringAxes", "Z", "YX"),
        ("Meshing", "outputMeshFileType", "abc", "ply, obj"),
    ],
)
def test_what_is_not_honoured_is_refused_with_a_reason(node_type: str, attribute: str, value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        node_of_type(node_type).flat_attributes()[attribute].check(value)


def test_defaults_are_values_that_the_attributes_allow() -> None:
    for node_type in ("DepthMap", "DepthMapFilter", "Meshing", "MeshFiltering", "Texturing"):
        for attribute in node_of_type(node_type).flat_attributes().values():
            assert attribute.check(attribute.default) == attribute.default


def test_chunks_share_out_the_registered_photos(given: Path, tmp_path: Path) -> None:
    inputs = {"input": given / "sfm", "imagesFolder": given / "images"}
    assert list(run("DepthMap", tmp_path / "second", index=1, **inputs).iterdir()) == []


@pytest.mark.parametrize(
    ("width", "height", "small", "divisor"),
    [(800, 600, True, 1), (800, 600, False, 2), (1024, 1024, True, 1), (1025, 600, True, 2)],
)
def test_small_photos_are_used_at_full_size(width: int, height: int, small: bool, divisor: int) -> None:
    values = {"downscale": 2, "tiling": {"autoAdjustSmallImage": small}}
    assert working_divisor(width, height, values) == divisor


def test_failures_say_what_alicevision_says(given: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(NodeError, match=r"Depth map fusion gives an empty result\."):
        run("Meshing", tmp_path / "mesh", input=given / "sfm", depthMapsFolder=tmp_path / "nothing")
    write_mesh_file(tmp_path / "empty.ply", np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    with pytest.raises(NodeError, match="Error: empty mesh from the file"):
        run("MeshFiltering", tmp_path / "filter", inputMesh=tmp_path / "empty.ply")
    with pytest.raises(NodeError, match="Error: empty mesh from the file"):
        run(
            "Texturing",
            tmp_path / "texture",
            input=given / "sfm",
            imagesFolder=given / "images",
            inputMesh=tmp_path / "empty.ply",
        )
    none = Landmarks(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros(1, np.int64), np.zeros(0, np.int64))
    write_scene(tmp_path / "nothing", Scene((), none, 5))
    with pytest.raises(NodeError, match=r"Found 0 image dimension\(s\)"):
        run("DepthMap", tmp_path / "depth", input=tmp_path / "nothing", imagesFolder=given / "images")
    with pytest.raises(NodeError, match=r"Undistorted image of 000._photo\.jpg is missing"):
        run("DepthMap", tmp_path / "depth", input=given / "sfm", imagesFolder=tmp_path / "nothing")


def test_only_the_largest_part_stays_when_asked(tmp_path: Path) -> None:
    vertices, faces = scenes.surface(side=20)
    both = np.concatenate([vertices, vertices[:100] + 9])
    part = faces[(faces < 100).all(axis=1)] + len(vertices)
    write_mesh_file(tmp_path / "mesh.obj", both, np.concatenate([faces, part]))
    for largest, count in ((True, len(faces)), (False, len(faces) + len(part))):
        out = run(
            "MeshFiltering",
            tmp_path / "out",
            inputMesh=tmp_path / "mesh.obj",
            keepLargestMeshOnly=largest,
            outputMeshFileType="obj",
        )
        assert len(read_mesh_file(out / "mesh.obj")[1]) == count
