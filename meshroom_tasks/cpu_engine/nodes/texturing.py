"""Texturing: the photos on the mesh."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from meshroom_tasks.cpu_engine.attributes import BoolParam, ChoiceParam, File, FloatParam, Group, IntParam
from meshroom_tasks.cpu_engine.node import Node, NodeChunk, NodeError

if TYPE_CHECKING:
    from meshroom_tasks.cpu_engine.face_views import Image
    from meshroom_tasks.cpu_engine.masks import Mask

PHOTOS_A_FACE = 8
"""Photos that a face can be coloured from, and that vote on its colour."""
PATCH_SMOOTHNESS = 0.5
"""What a seam between two faces costs, where the best photo costs 0 and a useless one 1."""
_NO_HDR = "the texture is made of 8-bit photos, which PNG keeps without loss"


@dataclass(frozen=True)
class Off(BoolParam):
    """A switch of Meshroom's for what this engine does not do."""

    def check(self, value: Any) -> bool:
        if super().check(value):
            raise ValueError("true is not supported: this engine makes colour textures and normal maps; allowed: false")
        return False

    @property
    def allowed(self) -> str:
        return "false"


class Texturing(Node):
    """A textured OBJ: each face gets the photo that shows it best, in large patches, levelled at their seams.

    Photos that disagree with the others about a face's colour are left out there. Transparent pixels colour nothing.
    A patch's texture coordinates are its place in the photo, so the texture holds the photo's own pixels; it is never
    finer than they are. Sources: see labelling.py, seam_levelling.py, charts.py.
    """

    node_type = "Texturing"
    version = "1.1"
    sized_by_views = False
    attributes = (
        File("input", "Scene with the cameras, beside Meshing's cloud."),
        File("imagesFolder", "Undistorted images from PrepareDenseScene."),
        File("inputMesh", "Mesh to texture."),
        File("inputRefMesh", "Mesh that the normal map shows the relief of; without it there is none."),
        ChoiceParam(
            "textureSide", "Greatest width and height of the texture.", 4096, values=(512, 1024, 2048, 4096, 8192)
        ),
        ChoiceParam("downscale", "Texture at 1/downscale of the photos' resolution.", 1, values=(1, 2, 4, 8)),
        ChoiceParam(
            "outputMeshFileType",
            "File type of the mesh.",
            "obj",
            values=("obj",),
            refused=dict.fromkeys(("gltf", "fbx", "stl"), "the model is made from the OBJ"),
        ),
        Group(
            "colorMapping",
            "The colour texture.",
            members=(
                BoolParam("enable", "Make the texture; without it the mesh has none.", True),
                ChoiceParam(
                    "colorMappingFileType",
                    "File type of the texture.",
                    "png",
                    values=("png", "jpg"),
                    refused={"exr": _NO_HDR, "tif": _NO_HDR},
                ),
            ),
        ),
        Group(
            "bumpMapping",
            "Relief as a texture: Normal_1001, the normals of inputRefMesh (see normal_map.py).",
            members=(
                BoolParam("enable", "Make the normal map, if there is an inputRefMesh.", True),
                ChoiceParam(
                    "bumpType",
                    "Kind of relief.",
                    "Normal",
                    values=("Normal",),
                    refused={"Height": "viewers know normal maps alone"},
                ),
                ChoiceParam(
                    "normalFileType",
                    "File type of the normal map.",
                    "png",
                    values=("png", "jpg"),
                    refused=dict.fromkeys(("exr", "tiff"), "a normal map has 8 bits a channel"),
                ),
                ChoiceParam("heightFileType", "File type of heights.", "exr", values=("exr",)),
            ),
        ),
        Group(
            "displacementMapping",
            "Displacement as a texture; not made by this engine.",
            members=(
                Off("enable", "Must be off."),
                ChoiceParam("displacementMappingFileType", "File type of heights.", "exr", values=("exr",)),
            ),
        ),
        ChoiceParam("unwrapMethod", "Basic: patches lie as in the photos.", "Basic", values=("Basic",)),
        IntParam("padding", "Texels of colour about each patch.", 5, low=0, high=100),
        BoolParam("fillHoles", "Colour unseen faces from those about them, else grey.", True),
        BoolParam("correctEV", "Level different exposures of the photos.", True),
        FloatParam(
            "angleHardThreshold", "Greatest angle in degrees at which a photo shows a face.", 82.0, low=10, high=90
        ),
    )
    outputs: ClassVar[Mapping[str, str]] = {
        "output": "",
        "outputMesh": "texturedMesh.{outputMeshFileTypeValue}",
        "outputMaterial": "texturedMesh.mtl",
        "outputTextures": "texture_*.{colorMapping.colorMappingFileTypeValue}",
    }

    def process(self, chunk: NodeChunk) -> None:
        import cv2
        import numpy as np

        from meshroom_tasks.cpu_engine.masks import read_mask
        from meshroom_tasks.cpu_engine.mesh_files import read_mesh_file, write_mesh_file
        from meshroom_tasks.cpu_engine.normal_map import normal_map
        from meshroom_tasks.cpu_engine.obj import write_obj
        from meshroom_tasks.cpu_engine.scene import read_scene
        from meshroom_tasks.cpu_engine.texture import TextureOptions, texture_mesh

        values = chunk.attributes
        scene = read_scene(chunk.folder_of("input"))
        if not scene.cameras:
            raise NodeError("Found 0 image dimension(s): no photo was registered")
        vertices, faces = read_mesh_file(chunk.path("inputMesh"))
        if len(faces) == 0:
            raise NodeError("Error: empty mesh from the file " + chunk.path("inputMesh").name)
        cv2.setNumThreads(chunk.threads)
        mesh_path = chunk.folder / "texturedMesh.obj"
        if not values["colorMapping"]["enable"]:
            write_mesh_file(mesh_path, vertices, faces)
            return
        images = chunk.path("imagesFolder")

        def missing(view: int) -> NodeError:
            camera = scene.cameras[view]
            return NodeError(f"Undistorted image of {camera.photo} is missing: {camera.view_id}.png")

        def path_of(view: int) -> Path:
            return images / f"{scene.cameras[view].view_id}.png"

        def load(view: int) -> Image:
            image = cv2.imread(str(path_of(view)), cv2.IMREAD_COLOR)
            if image is None:
                raise missing(view)
            return np.asarray(image, np.uint8)

        def load_mask(view: int) -> Mask | None:
            try:
                return read_mask(path_of(view))
            except ValueError as error:
                raise missing(view) from error

        options = TextureOptions(
            max_side=values["textureSide"],
            density=1.0 / values["downscale"],
            padding=values["padding"],
            max_angle=values["angleHardThreshold"],
            photos_a_face=PHOTOS_A_FACE,
            smoothness=PATCH_SMOOTHNESS,
            level_exposure=values["correctEV"],
            fill_unseen=values["fillHoles"],
        )
        result = texture_mesh(vertices, faces, scene.cameras, load, options, chunk.progress, load_mask)
        name = f"texture_1001.{values['colorMapping']['colorMappingFileType']}"
        # Level 3 of PNG: a tenth larger than the default, three times as fast.
        quality = [cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_JPEG_QUALITY, 95]
        if not cv2.imwrite(str(chunk.folder / name), result.image, quality):
            raise NodeError(f"The texture could not be written: {name}")
        normals = ""
        if values["bumpMapping"]["enable"] and values["inputRefMesh"]:
            normals = f"Normal_1001.{values['bumpMapping']['normalFileType']}"
            shape = (result.image.shape[0], result.image.shape[1])
            reference = read_mesh_file(chunk.path("inputRefMesh"))
            relief = normal_map(vertices, faces, result.texels, shape, reference, values["padding"], chunk.threads)
            if not cv2.imwrite(str(chunk.folder / normals), relief, quality):
                raise NodeError(f"The normal map could not be written: {normals}")
            chunk.log(f"normal map of {relief.shape[1]} x {relief.shape[0]} from a mesh of {len(reference[1])} faces")
        write_obj(mesh_path, vertices, faces, result.texels, name, result.image.shape[:2], normals)
        figures = {
            "faces": len(faces),
            "vertices": len(vertices),
            "textured_faces_fraction": round(result.seen, 4),
            "texture_side": int(max(result.image.shape[:2])),
            "texture_density": round(result.density, 3),
            "charts": result.charts,
            "textures": 1,
        }
        (chunk.folder / "stats.json").write_text(json.dumps(figures, indent=1))
        chunk.log(f"{result.seen:.1%} of {len(faces)} faces textured from photos, {result.charts} charts")
