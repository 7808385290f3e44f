"""A small copy of a textured mesh, to look at before the whole one has come.

All faces that have an area stay; positions, normals and texture coordinates are rounded and packed by Draco (Rossignac
1999, "Edgebreaker"; glTF extension KHR_draco_mesh_compression), textures are made smaller. A simplified mesh would need
a new atlas, or show its seams.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import DracoPy
import numpy as np

from meshroom_tasks.results.glb import Part, parts
from meshroom_tasks.results.gltf import GltfScene, Image
from meshroom_tasks.results.textures import read_texture, repeats
from meshroom_tasks.results.wavefront import Material, TexturedMesh

TEXELS = 2048 * 2048
"""Of all textures of one copy together."""

_POSITION_BITS, _UV_BITS, _NORMAL_BITS = 14, 12, 8
_LEVEL = 7
_DRACO_NAMES = {0: "POSITION", 1: "NORMAL", 3: "TEXCOORD_0"}
"""Draco's kinds of attributes (`GeometryAttribute::Type`)."""
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_OPTIMIZE, 1]


def write_light_glb(mesh: TexturedMesh, materials: Mapping[str, Material], textures: Path, target: Path) -> None:
    """Write `target`, without normal maps. `HandoffIncomplete` when a texture is missing."""
    scene = GltfScene()
    textured = len({material.texture for material in materials.values() if material.texture is not None})
    for part in parts(mesh, materials):
        colour = _reduced(textures / part.material.texture, TEXELS // textured) if part.material.texture else None
        _pack(scene, part, scene.material(part.material.name, colour, None, repeats=repeats(part.uv)))
    scene.write(target)


def _pack(scene: GltfScene, part: Part, material: int) -> None:
    textured = "TEXCOORD_0" in part.attributes
    content = DracoPy.encode(
        part.position,
        part.triangles,
        quantization_bits=_POSITION_BITS,
        compression_level=_LEVEL,
        # It takes the type of the positions for that of all, which it makes 64 bits wide.
        normals=part.normal.astype(np.float64),
        normal_quantization_bits=_NORMAL_BITS,
        tex_coord=part.uv.astype(np.float64) if textured else None,
        tex_coord_quantization_bits=_UV_BITS if textured else None,
    )
    # Vertices are put together or lost in packing, and ids are given by their order in there: only a look tells.
    packed = DracoPy.decode(content)
    known = {_DRACO_NAMES[entry["attribute_type"]]: entry for entry in packed.attributes}
    values = {name: np.asarray(known[name]["data"], np.float32) for name in part.attributes}
    ids = {name: int(known[name]["unique_id"]) for name in part.attributes}
    scene.draco_primitive(content, ids, values, len(packed.faces), material)


def _reduced(path: Path, texels: int) -> Image:
    """The texture, halved until it has no more than so many texels."""
    pixels = read_texture(path)
    while pixels.shape[0] * pixels.shape[1] > texels:
        height, width = pixels.shape[:2]
        pixels = np.asarray(cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
    return path.stem, cv2.imencode(".jpg", pixels, _JPEG)[1].tobytes(), "image/jpeg"
