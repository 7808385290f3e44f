"""A textured mesh as GLB, whole: one primitive a material, the textures embedded as they are.

Coordinates are those of the OBJ. Written here and not by a library because those decode every texture and encode it
anew: an atlas of 8192 pixels would cost 200 MB of memory and a loss of quality.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.results.gltf import GltfScene
from meshroom_tasks.results.textures import embeddable, embeddable_normals, repeats, tile_uvs
from meshroom_tasks.results.wavefront import Material, TexturedMesh


@dataclass(frozen=True)
class Part:
    """What one material covers: for each vertex its position (N, 3), unit normal (N, 3) and texture coordinates
    (N, 2; origin at the upper left, as glTF has it), and the triangles (F, 3) of these vertices."""

    material: Material
    position: NDArray[np.float32]
    normal: NDArray[np.float32]
    uv: NDArray[np.float32]
    triangles: NDArray[np.uint32]

    @property
    def attributes(self) -> dict[str, NDArray[np.float32]]:
        """By the names that glTF has for them; without texture, without its coordinates."""
        textured = {"TEXCOORD_0": self.uv} if self.material.texture is not None else {}
        return {"POSITION": self.position, "NORMAL": self.normal, **textured}


def write_glb(mesh: TexturedMesh, materials: Mapping[str, Material], textures: Path, target: Path) -> None:
    """Write `target`. `textures` is the folder that the materials' texture names refer to.

    Shading normals are smooth; materials are matt and two-sided. A normal map is taken as glTF has them: red along u,
    green along v upwards, blue outwards, which is how AliceVision writes them. `HandoffIncomplete` when a texture is
    missing.
    """
    scene = GltfScene()
    for part in parts(mesh, materials):
        colour = normals = None
        if part.material.texture is not None:
            path = textures / part.material.texture
            colour = (path.stem, *embeddable(path))
            if part.material.normals is not None:
                path = textures / part.material.normals
                normals = (path.stem, *embeddable_normals(path))
        material = scene.material(part.material.name, colour, normals, repeats=repeats(part.uv))
        scene.primitive(part.attributes, part.triangles, material)
    scene.write(target)


def parts(mesh: TexturedMesh, materials: Mapping[str, Material]) -> Iterator[Part]:
    """The mesh, one part a material."""
    normals = vertex_normals(mesh)
    for number, name in enumerate(mesh.materials):
        index, uv, triangles = _split_corners(mesh, np.flatnonzero(mesh.face_material == number))
        material = materials.get(name) or Material(name, None, ())
        yield Part(material, mesh.vertices[index].astype(np.float32), normals[index], uv, triangles)


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
