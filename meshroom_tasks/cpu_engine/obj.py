"""Textured meshes as Wavefront OBJ with its material file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.mesh import Faces, Vertices

MATERIAL = "material_1001"


def write_obj(
    path: Path,
    vertices: Vertices,
    faces: Faces,
    texels: NDArray[np.float64] | None = None,
    texture: str = "",
    shape: tuple[int, int] = (1, 1),
    normals: str = "",
) -> None:
    """Write a mesh, with texture coordinates when `texels` (F, 3, 2) says where the corners lie in a
    texture of `shape` (height, width).

    Texel centres are integers, with row 0 at the top; OBJ has (0, 0) at the lower left corner of the texture. Equal
    corners share a `vt` line. The material goes to the same name with `.mtl`.
    """
    with path.open("w", encoding="ascii") as stream:
        if texels is not None:
            material = path.with_suffix(".mtl")
            write_material(material, texture, normals)
            stream.write(f"mtllib {material.name}\n")
        stream.write(_lines("v %.6f %.6f %.6f\n", vertices))
        if texels is None:
            stream.write(_lines("f %d %d %d\n", faces + 1))
            return
        # The same vertex at the same texel is one corner; a thousandth of a texel is beyond any renderer.
        key = np.column_stack([faces.reshape(-1, 1), np.rint(texels.reshape(-1, 2) * 1000.0).astype(np.int64)])
        _, first, index = np.unique(key, axis=0, return_index=True, return_inverse=True)
        unique = texels.reshape(-1, 2)[first]
        coordinates = (unique + 0.5) / (shape[1], shape[0])
        coordinates[:, 1] = 1.0 - coordinates[:, 1]
        stream.write(_lines("vt %.7f %.7f\n", coordinates))
        stream.write(f"usemtl {MATERIAL}\n")
        corners = np.stack([faces + 1, index.reshape(-1, 3) + 1], axis=-1).reshape(-1, 6)
        stream.write(_lines("f %d/%d %d/%d %d/%d\n", corners))


def write_material(path: Path, texture: str, normals: str = "") -> None:
    """A material that is its texture: white under light, no gloss. A normal map is named as by AliceVision."""
    lines = [f"newmtl {MATERIAL}", "Ka 1 1 1", "Kd 1 1 1", "Ks 0 0 0", "illum 1", f"map_Kd {texture}"]
    lines += [f"bump {normals}", f"map_bump {normals}"] if normals else []
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def read_obj(path: Path) -> tuple[Vertices, Faces]:
    """Vertices and triangles of an OBJ; texture coordinates and normals are passed over."""
    vertices: list[list[float]] = []
    faces: list[list[int]] = []
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            words = line.split()
            if words[:1] == ["v"]:
                vertices.append([float(word) for word in words[1:4]])
            elif words[:1] == ["f"]:
                faces.append([int(word.split("/")[0]) - 1 for word in words[1:4]])
    return np.array(vertices, np.float64).reshape(-1, 3), np.array(faces, np.int64).reshape(-1, 3)


def _lines(form: str, table: NDArray[np.float64] | NDArray[np.int64]) -> str:
    return (form * len(table)) % tuple(table.ravel().tolist())
