"""A glTF 2.0 scene of one mesh and its one buffer, written as GLB (Khronos specification, sections 3 and 4)."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = tuple[str, bytes, str]
"""The name of a picture, its bytes and their media type."""

_FLOAT, _UINT32 = 5126, 5125
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963
_CLAMP, _REPEAT, _LINEAR, _LINEAR_MIPMAP = 33071, 10497, 9729, 9987
_TYPES = {2: "VEC2", 3: "VEC3"}
_DRACO = "KHR_draco_mesh_compression"


class GltfScene:
    """The parts of a glTF document and of its buffer, as they are added."""

    def __init__(self) -> None:
        self._blobs: list[bytes] = []
        self._size = 0
        self._primitives: list[dict[str, Any]] = []
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._textures: list[dict[str, Any]] = []
        self._materials: list[dict[str, Any]] = []
        self._samplers: list[dict[str, Any]] = []
        self._extensions: list[str] = []

    def primitive(
        self, attributes: Mapping[str, NDArray[np.float32]], triangles: NDArray[np.uint32], material: int
    ) -> None:
        """Triangles (F, 3) of vertices whose `attributes` (N, 2 or 3) are named as glTF names them."""
        self._primitives.append(
            {
                "attributes": {
                    name: self._accessor(values, self._view(values.tobytes(), _ARRAY_BUFFER))
                    for name, values in attributes.items()
                },
                "indices": self._indices(triangles.size, self._view(triangles.tobytes(), _ELEMENT_BUFFER)),
                "material": material,
            }
        )

    def draco_primitive(
        self,
        content: bytes,
        ids: Mapping[str, int],
        attributes: Mapping[str, NDArray[np.float32]],
        triangles: int,
        material: int,
    ) -> None:
        """The same as Draco holds it in `content`, each attribute under its id; `attributes` are as decoded.

        KHR_draco_mesh_compression: accessors tell the sizes and hold nothing.
        """
        self._extensions = [_DRACO]
        self._primitives.append(
            {
                "attributes": {name: self._accessor(values) for name, values in attributes.items()},
                "indices": self._indices(3 * triangles),
                "material": material,
                "extensions": {_DRACO: {"bufferView": self._view(content), "attributes": dict(ids)}},
            }
        )

    def material(self, name: str, colour: Image | None, normals: Image | None, *, repeats: bool) -> int:
        """Matt and two-sided, with a texture of its colours and one of its normals."""
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
        entry: dict[str, Any] = {"name": name or "material", "pbrMetallicRoughness": surface, "doubleSided": True}
        if colour is not None:
            surface["baseColorTexture"] = {"index": self._texture(colour, repeats)}
        if normals is not None:
            entry["normalTexture"] = {"index": self._texture(normals, repeats)}
        self._materials.append(entry)
        return len(self._materials) - 1

    def write(self, target: Path) -> None:
        document = {
            "asset": {"version": "2.0", "generator": "meshroom-tasks"},
            "extensionsUsed": self._extensions,
            "extensionsRequired": self._extensions,
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, "name": "model"}],
            "meshes": [{"primitives": self._primitives}],
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

    def _accessor(self, values: NDArray[np.float32], view: int | None = None) -> int:
        # The bounds are needed of positions; of the others nobody asks for them.
        bounds = {"min": values.min(0).tolist(), "max": values.max(0).tolist()} if values.shape[1] == 3 else {}
        return self._add_accessor(_FLOAT, len(values), _TYPES[values.shape[1]], view, bounds)

    def _indices(self, count: int, view: int | None = None) -> int:
        return self._add_accessor(_UINT32, count, "SCALAR", view, {})

    def _add_accessor(self, component: int, count: int, kind: str, view: int | None, more: Mapping[str, Any]) -> int:
        place = {} if view is None else {"bufferView": view}
        self._accessors.append({**place, "componentType": component, "count": count, "type": kind, **more})
        return len(self._accessors) - 1

    def _texture(self, image: Image, repeats: bool) -> int:
        name, content, media_type = image
        wrap = _REPEAT if repeats else _CLAMP
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
