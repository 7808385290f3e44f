"""PLY files: triangle meshes and clouds, binary little endian (and whatever scalar types a reader meets)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "<i2"),
    **dict.fromkeys(("ushort", "uint16"), "<u2"),
    **dict.fromkeys(("int", "int32"), "<i4"),
    **dict.fromkeys(("uint", "uint32"), "<u4"),
    **dict.fromkeys(("float", "float32"), "<f4"),
    **dict.fromkeys(("double", "float64"), "<f8"),
}


def read_ply(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (V, 3) and triangles (F, 3) of a binary little-endian PLY; (0, 3) triangles for a cloud.

    Raises ValueError where the file is another kind of PLY, cut short, or has polygons with other than three corners.
    """
    vertices, faces = np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    with path.open("rb") as stream:
        for name, count, properties in _header(path, stream):
            layout = np.dtype(properties)
            data = stream.read(count * layout.itemsize)
            if len(data) != count * layout.itemsize:
                raise ValueError(f"{path.name} ends in the middle of its {name} list")
            table = np.frombuffer(data, layout)
            if name == "vertex":
                vertices = np.column_stack([table[axis] for axis in "xyz"]).astype(np.float64)
            elif name == "face":
                if count and not (table["count"] == 3).all():
                    raise ValueError(f"{path.name} has faces that are not triangles")
                faces = table["corners"].astype(np.int64).reshape(-1, 3)
    return vertices, faces


def write_mesh(path: Path, vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> None:
    """Write a triangle mesh: vertices (V, 3) in single precision, faces (F, 3)."""
    table = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    table["count"] = 3
    table["corners"] = faces
    header = [f"element vertex {len(vertices)}", *(f"property float {axis}" for axis in "xyz")]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    _write(path, header, [np.ascontiguousarray(vertices, "<f4").tobytes(), table.tobytes()])


def write_cloud(path: Path, points: NDArray[np.float64], normals: NDArray[np.float64]) -> None:
    """Write points (N, 3) with their normals (N, 3) in single precision."""
    header = [
        f"element vertex {len(points)}",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
    ]
    _write(path, header, [np.ascontiguousarray(np.hstack([points, normals]), "<f4").tobytes()])


def _write(path: Path, elements: list[str], blocks: list[bytes]) -> None:
    lines = ["ply", "format binary_little_endian 1.0", *elements, "end_header", ""]
    with path.open("wb") as stream:
        stream.write("\n".join(lines).encode("ascii"))
        for block in blocks:
            stream.write(block)


def _header(path: Path, stream: BinaryIO) -> list[tuple[str, int, list[tuple[Any, ...]]]]:
    elements: list[tuple[str, int, list[tuple[Any, ...]]]] = []
    if stream.readline().strip() != b"ply":
        raise ValueError(f"{path.name} is not a PLY file")
    for raw in iter(stream.readline, b""):
        words = raw.decode("ascii").split()
        match words:
            case ["format", kind, _] if kind != "binary_little_endian":
                raise ValueError(f"{path.name} is a PLY of format {kind}; binary_little_endian is needed")
            case ["element", name, count]:
                elements.append((name, int(count), []))
            case ["property", "list", count_type, item_type, _]:
                elements[-1][2].extend([("count", _TYPES[count_type]), ("corners", _TYPES[item_type], 3)])
            case ["property", kind, name]:
                elements[-1][2].append((name, _TYPES[kind]))
            case ["end_header"]:
                return elements
    raise ValueError(f"{path.name} ends in the middle of its header")
