"""Triangle meshes on disk, PLY or OBJ by the file's suffix."""

from __future__ import annotations

from pathlib import Path

from meshroom_tasks.cpu_engine.mesh import Faces, Vertices
from meshroom_tasks.cpu_engine.obj import read_obj, write_obj
from meshroom_tasks.cpu_engine.ply import read_ply, write_mesh


def read_mesh_file(path: Path) -> tuple[Vertices, Faces]:
    """Vertices (V, 3) and triangles (F, 3). Raises ValueError for another suffix or a damaged file."""
    match path.suffix:
        case ".ply":
            return read_ply(path)
        case ".obj":
            return read_obj(path)
    raise ValueError(f"{path.name} is neither a .ply nor an .obj file")


def write_mesh_file(path: Path, vertices: Vertices, faces: Faces) -> None:
    """Write the mesh without texture. Raises ValueError for another suffix."""
    match path.suffix:
        case ".ply":
            write_mesh(path, vertices, faces)
        case ".obj":
            write_obj(path, vertices, faces)
        case _:
            raise ValueError(f"{path.name} is neither a .ply nor an .obj file")
