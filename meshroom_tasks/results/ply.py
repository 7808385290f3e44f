"""Writing a textured mesh as binary PLY, in one file: its texture becomes the colours of its vertices.

PLY knows no textures; what MeshLab writes in its stead is read by few others, while colours of vertices are read by
all. Format: Turk, "The PLY polygon file format" (1994).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.results.glb import vertex_normals
from meshroom_tasks.results.textures import UNTEXTURED, at_resolution, read_texture, sample, tile_uvs
from meshroom_tasks.results.wavefront import Material, TexturedMesh


def write_ply(mesh: TexturedMesh, materials: Mapping[str, Material], textures: Path, target: Path) -> None:
    """Write `target`: vertices (float32, in the order of the OBJ) with smooth normals and colours, and triangles.

    `textures` is the folder that the materials' texture names refer to. `HandoffIncomplete` when one is missing.
    """
    import trimesh  # Here, since a worker that computes stages has no use for it.

    coloured = trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        vertex_normals=vertex_normals(mesh),
        vertex_colors=vertex_colours(mesh, materials, textures),
        process=False,
        validate=False,
    )
    target.write_bytes(coloured.export(file_type="ply", encoding="binary", vertex_normal=True))


def vertex_colours(mesh: TexturedMesh, materials: Mapping[str, Material], textures: Path) -> NDArray[np.uint8]:
    """(V, 3) red, green, blue: the mean of the texture at all corners of faces that meet there; grey without any.

    Textures are reduced to about a texel for each corner beforehand, so that a colour stands for the surface around
    its vertex and not for one grain of it.
    """
    total, count = np.zeros((len(mesh.vertices), 3)), np.zeros(len(mesh.vertices))
    for number, name in enumerate(mesh.materials):
        material = materials.get(name)
        if material is None or material.texture is None:
            continue
        faces = np.flatnonzero((mesh.face_material == number) & (mesh.face_uvs >= 0).all(axis=1))
        if not len(faces):
            continue
        uvs = tile_uvs(mesh, faces)
        corners = mesh.faces[faces].ravel()
        # A vertex stands for the area of two triangles.
        texture = at_resolution(read_texture(textures / material.texture), uvs, len(faces) / 2)
        colours = sample(texture, uvs.reshape(-1, 2).astype(np.float32))
        for channel in range(3):
            total[:, channel] += np.bincount(corners, colours[:, 2 - channel], len(total))
        count += np.bincount(corners, minlength=len(total))
    mean = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], UNTEXTURED)
    return np.asarray(mean + 0.5, np.uint8)
