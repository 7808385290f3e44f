"""Reading a textured mesh from Wavefront OBJ and MTL files.

Format: "Object Files (.obj)", appendix B1 of the Wavefront Advanced Visualizer manual. A file of a million lines is
read in about a second: lines are told apart and gathered as arrays of bytes, and numpy parses the numbers.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.errors import HandoffIncomplete, NoSurface

_NEWLINE, _SLASH, _SPACE = ord("\n"), ord("/"), ord(" ")


@dataclass(frozen=True)
class TexturedMesh:
    """Triangles with texture coordinates and materials.

    `vertices` (V, 3) and `uvs` (T, 2; origin at the lower left) are float64; `faces` (F, 3) and `face_uvs` (F, 3) are
    int64 indices into them, -1 in `face_uvs` where a corner has none; `face_material` (F,) points into `materials`.
    """

    vertices: NDArray[np.float64]
    uvs: NDArray[np.float64]
    faces: NDArray[np.int64]
    face_uvs: NDArray[np.int64]
    face_material: NDArray[np.int64]
    materials: tuple[str, ...]


@dataclass(frozen=True)
class Material:
    """`texture` is the file name of the base colour, `normals` that of a normal map in the surface's own frame;
    `files` are the names of all files that the material uses."""

    name: str
    texture: str | None
    files: tuple[str, ...]
    normals: str | None = None


def read_obj(path: Path) -> TexturedMesh:
    """`NoSurface` when there are no faces, `HandoffIncomplete` when the file is missing or is no such mesh.

    Faces with more than three corners become fans of triangles; normals, lines and points are passed over.
    """
    if not path.is_file():
        raise HandoffIncomplete(f"the stage left no {path.name}", file=path.name)
    try:
        return parse_obj(path.read_bytes())
    except ValueError as error:
        raise HandoffIncomplete(f"{path.name} cannot be read as a mesh: {error}", file=path.name) from error


def parse_obj(content: bytes) -> TexturedMesh:
    """See `read_obj`; ValueError for what is no OBJ."""
    lines = _Lines(_plain(content))
    is_vertex, is_uv = lines.begin("v "), lines.begin("vt")
    vertices = lines.table(is_vertex, at_least=3)[:, :3]
    uvs = lines.table(is_uv, at_least=2)[:, :2]
    corners, corner_uvs, of_line = _faces(lines, np.cumsum(is_vertex), np.cumsum(is_uv))
    if not len(corners):
        raise NoSurface("the reconstruction has no surface: the textured mesh holds no faces")
    if corners.min() < 0 or corners.max() >= len(vertices) or corner_uvs.max() >= len(uvs):
        raise ValueError("a face names a vertex that is not there")
    if not np.isfinite(vertices).all() or not np.isfinite(uvs).all():
        raise ValueError("a coordinate is not finite")
    face_material, materials = _materials(lines, of_line)
    return TexturedMesh(vertices, uvs, corners, corner_uvs, face_material, materials)


def read_mtl(path: Path) -> dict[str, Material]:
    """The materials by name; empty where there is no such file.

    AliceVision writes a normal map as `map_bump Normal_1001.png`, where others mean a map of heights; what is called
    `norm` is always a normal map.
    """
    if not path.is_file():
        return {}
    found: dict[str, Material] = {}
    name, texture, normals = "", None, None
    files: list[str] = []
    for line in path.read_text(errors="replace").splitlines():
        words = line.split()
        if len(words) < 2:
            continue
        keyword = words[0].lower()
        if keyword == "newmtl":
            name, texture, normals, files = " ".join(words[1:]), None, None, []
        elif keyword.startswith(("map_", "bump", "disp", "norm", "decal", "refl")):
            file = PurePosixPath(words[-1].replace("\\", "/")).name
            files.append(file)
            texture = file if keyword == "map_kd" else texture
            if keyword == "norm" or (keyword in ("bump", "map_bump") and "normal" in file.lower()):
                normals = file
        else:
            continue
        found[name] = Material(name, texture, tuple(dict.fromkeys(files)), normals)
    return found


class _Lines:
    """The lines of a text as arrays of their places, so that lines of a kind can be handled at once."""

    def __init__(self, text: bytes) -> None:
        self.text = np.frombuffer(text + b"\n\n", np.uint8)
        self.ends = np.flatnonzero(self.text[:-1] == _NEWLINE)
        self.starts = np.concatenate([[0], self.ends[:-1] + 1])

    def begin(self, prefix: str) -> NDArray[np.bool_]:
        """(L,) whether each line begins with these two characters."""
        first, second = self.text[self.starts], self.text[self.starts + 1]
        begins: NDArray[np.bool_] = (first == ord(prefix[0])) & (second == ord(prefix[1]))
        return begins

    def gather(self, chosen: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The bytes of these lines, each without its first two characters and with its newline."""
        inside = np.zeros(len(self.text) + 1, np.int8)
        inside[self.starts[chosen] + 2] += 1
        inside[self.ends[chosen] + 1] -= 1
        gathered: NDArray[np.uint8] = self.text[np.cumsum(inside[:-1], dtype=np.int8).view(np.bool_)]
        return gathered

    def table(self, kind: NDArray[np.bool_], *, at_least: int) -> NDArray[np.float64]:
        """The numbers of all lines of a kind, one row a line."""
        count = int(kind.sum())
        if count == 0:
            return np.zeros((0, at_least))
        numbers = _numbers(self.gather(np.flatnonzero(kind)), np.float64)
        columns = len(numbers) // count
        if columns < at_least or len(numbers) != count * columns:
            raise ValueError("coordinates are missing")
        return numbers.reshape(count, columns)

    def words(self, line: int) -> str:
        return bytes(self.text[self.starts[line] : self.ends[line]]).decode(errors="replace").partition(" ")[2].strip()


def _plain(content: bytes) -> bytes:
    """With Unix line ends, blanks for tabs, no continued lines and no indentation."""
    for old, new in ((b"\r\n", b"\n"), (b"\r", b"\n"), (b"\\\n", b" "), (b"\t", b" ")):
        if old in content:
            content = content.replace(old, new)
    return re.sub(rb"\n +", b"\n", content).lstrip() if b"\n " in content or content[:1] == b" " else content


def _numbers(text: NDArray[np.uint8], kind: type[np.float64] | type[np.int64]) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        # numpy only warns, deprecation-wise, where it meets something that is no number.
        warnings.simplefilter("error", DeprecationWarning)
        try:
            return np.fromstring(text.tobytes(), kind, sep=" ")
        except DeprecationWarning:
            raise ValueError("something stands where a number should") from None


def _faces(
    lines: _Lines, vertices_before: NDArray[np.int64], uvs_before: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Vertex and texture indices (F, 3) of all triangles, and the line (F,) that each comes from."""
    face_lines = np.flatnonzero(lines.begin("f "))
    if not len(face_lines):
        return np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    corner_count, slash_count = _shapes(lines.gather(face_lines))
    parts = []
    for corners, slashes in np.unique(np.stack([corner_count, slash_count], 1), axis=0):
        chosen = face_lines[(corner_count == corners) & (slash_count == slashes)]
        if corners < 3 or slashes % corners:
            raise ValueError("a face has fewer than three corners or mixes kinds of them")
        text = lines.gather(chosen)
        if slashes == 2 * corners:
            text = np.frombuffer(text.tobytes().replace(b"//", b"/0/"), np.uint8)
        values = _numbers(np.where(text == _SLASH, np.uint8(_SPACE), text), np.int64).astype(np.int64)
        values = values.reshape(len(chosen), corners, 1 + slashes // corners)
        vertex = _absolute(values[:, :, 0], vertices_before[chosen])
        uv = _absolute(values[:, :, 1], uvs_before[chosen]) if slashes else np.full_like(vertex, -1)
        fan = np.array([(0, k, k + 1) for k in range(1, corners - 1)])
        parts.append((vertex[:, fan].reshape(-1, 3), uv[:, fan].reshape(-1, 3), np.repeat(chosen, len(fan))))
    corners_of, uvs_of, of_line = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(of_line, kind="stable")
    return corners_of[order], uvs_of[order], of_line[order]


def _shapes(text: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many corners and how many slashes each of these lines has."""
    ends = np.flatnonzero(text == _NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    dark = text > _SPACE
    word_starts = dark.copy()
    word_starts[1:] &= ~dark[:-1]
    return (
        np.add.reduceat(word_starts, starts, dtype=np.int64),
        np.add.reduceat(text == _SLASH, starts, dtype=np.int64),
    )


def _absolute(index: NDArray[np.int64], before: NDArray[np.int64]) -> NDArray[np.int64]:
    """From 1-based indices, or negative ones that count back from the line, to 0-based ones; -1 for none."""
    return np.where(index < 0, index + before[:, None], index - 1)


def _materials(lines: _Lines, of_line: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Each face's index into the names of the materials that are in use."""
    changes = np.flatnonzero(lines.begin("us"))
    names = ["", *(lines.words(int(line)) for line in changes)]
    distinct = list(dict.fromkeys(names))
    number = np.array([distinct.index(name) for name in names])
    used, face_material = np.unique(number[np.searchsorted(changes, of_line)], return_inverse=True)
    return face_material.astype(np.int64), tuple(distinct[index] for index in used)
