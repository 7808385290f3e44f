"""Writing a textured mesh as binary glTF 2.0 (Khronos specification, sections 3 and 4).

One primitive a material, the textures embedded as they are; coordinates are those of the OBJ. Written here and not by
a library because those decode every texture and encode it anew: an atlas of 8192 pixels would cost 200 MB of memory
and a loss of quality.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.results.textures import embeddable, embeddable_normals, repeats, tile_uvs
from meshroom_tasks.results.wavefront import Material, TexturedMesh

_FLOAT, _UINT32 = 5126, 5125
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963
_CLAMP, _REPEAT, _LINEAR, _LINEAR_MIPMAP = 33071, 10497, 9729, 9987
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3"}


def write_glb(mesh: TexturedMesh, materials: Mapping[str, Material], textures: Path, target: Path) -> None:
    """Write `target`. `textures` is the folder that the materials' texture names refer to.

    Shading normals are smooth; materials are matt and two-sided. A normal map is taken as glTF has them: red along u,
    green along v upwards, blue outwards, which is how AliceVision writes them. `HandoffIncomplete` when a texture is
    missing.
    """
    normals = vertex_normals(mesh)
    scene = _Scene()
    primitives = []
    for number, name in enumerate(mesh.materials):
        faces = np.flatnonzero(mesh.face_material == number)
        material = materials.get(name) or Material(name, None, ())
        texture = material.texture
        position, uv, triangles = _split_corners(mesh, faces)
        attributes = {
            "POSITION": scene.accessor(mesh.vertices[position].astype(np.float32), _ARRAY_BUFFER, bounds=True),
            "NORMAL": scene.accessor(normals[position], _ARRAY_BUFFER),
        }
        if texture is not None:
            attributes["TEXCOORD_0"] = scene.accessor(uv, _ARRAY_BUFFER)
        primitives.append(
            {
                "attributes": attributes,
                "indices": scene.accessor(triangles, _ELEMENT_BUFFER),
                "material": scene.material(material, textures, uv),
            }
        )
    scene.write(target, primitives)


def vertex_normals(mesh: TexturedMesh) -> NDArray[np.float32]:
    """(V, 3) unit normals: the faces' normals summed by area (Gouraud 1971); zero becomes +y."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    of_faces = np.cross(b - a, c - a)
    total = np.zeros_like(mesh.vertices)
    for axis in range(3):
        for corner in range(3):
            total[:, axis] += np.bincount(mesh.faces[:, corner], of_faces[:, axis], len(total))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 0, total / np.where(length > 0, length, 1.0), [0.0, 1.0, 0.0]).astype(np.float32)


def _split_corners(
    mesh: TexturedMesh, faces: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.uint32]]:
    """The vertices of a primitive, one for each pair of position and texture coordinates.

    Returns the index of each one's position (N,), its texture coordinates (N, 2; origin at the upper left, as glTF
    has it) and the triangles (F, 3).
    """
    pairs = mesh.faces[faces] * (len(mesh.uvs) + 1) + mesh.face_uvs[faces] + 1
    distinct, first, triangles = np.unique(pairs, return_index=True, return_inverse=True)
    uv = tile_uvs(mesh, faces).reshape(-1, 2)[first]
    uv[:, 1] = 1.0 - uv[:, 1]
    return distinct // (len(mesh.uvs) + 1), uv.astype(np.float32), triangles.reshape(-1, 3).astype(np.uint32)


class _Scene:
    """The parts of a glTF document and of its one buffer, as they are added."""

    def __init__(self) -> None:
        self._blobs: list[bytes] = []
        self._size = 0
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._textures: list[dict[str, Any]] = []
        self._materials: list[dict[str, Any]] = []
        self._samplers: list[dict[str, Any]] = []

    def accessor(self, values: NDArray[Any], target: int, *, bounds: bool = False) -> int:
        view = self._view(np.ascontiguousarray(values).tobytes(), target)
        is_index = target == _ELEMENT_BUFFER
        accessor = {
            "bufferView": view,
            "componentType": _UINT32 if is_index else _FLOAT,
            "count": values.size if is_index else len(values),
            "type": _TYPES[1 if is_index else values.shape[1]],
        }
        if bounds:
            accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        self._accessors.append(accessor)
        return len(self._accessors) - 1

    def material(self, material: Material, folder: Path, uv: NDArray[np.float32]) -> int:
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
        entry: dict[str, Any] = {"name": material.name or "material", "pbrMetallicRoughness": surface}
        wrap = _REPEAT if repeats(uv) else _CLAMP
        if material.texture is not None:
            path = folder / material.texture
            surface["baseColorTexture"] = {"index": self._texture(path.stem, *embeddable(path), wrap)}
            if material.normals is not None:
                path = folder / material.normals
                entry["normalTexture"] = {"index": self._texture(path.stem, *embeddable_normals(path), wrap)}
        self._materials.append({**entry, "doubleSided": True})
        return len(self._materials) - 1

    def write(self, target: Path, primitives: list[dict[str, Any]]) -> None:
        document = {
            "asset": {"version": "2.0", "generator": "meshroom-tasks"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, "name": "model"}],
            "meshes": [{"primitives": primitives}],
            "materials": self._materials,
            "textures": self._textures,
            "images": self._images,
            "samplers": self._samplers,
            "accessors": self._accessors,
            "bufferViews": self._views,
            "buffers": [{"byteLength": self._size}],
        }
        text = json.dumps({key: value for key, value in document.items() if value != []}).encode()
        text += b" " * (-len(text) % 4)
        with target.open("wb") as file:
            file.write(struct.pack("<III", 0x46546C67, 2, 12 + 8 + len(text) + 8 + self._size))
            file.write(struct.pack("<II", len(text), 0x4E4F534A) + text)
            file.write(struct.pack("<II", self._size, 0x004E4942))
            file.writelines(self._blobs)

    def _texture(self, name: str, content: bytes, media_type: str, wrap: int) -> int:
        self._images.append({"bufferView": self._view(content), "mimeType": media_type, "name": name})
        self._samplers.append(
            {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP, "wrapS": wrap, "wrapT": wrap},
        )
        self._textures.append({"source": len(self._images) - 1, "sampler": len(self._samplers) - 1})
        return len(self._textures) - 1

    def _view(self, content: bytes, target: int | None = None) -> int:
        view = {"buffer": 0, "byteOffset": self._size, "byteLength": len(content)}
        if target is not None:
            view["target"] = target
        self._views.append(view)
        padded = content + b"\0" * (-len(content) % 4)
        self._blobs.append(padded)
        self._size += len(padded)
        return len(self._views) - 1
