"""Texture files: their sizes, their pixels, and a form of them that a GLB can hold."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.results.wavefront import TexturedMesh

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".exr": "image/x-exr",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}

UNTEXTURED = 176
"""The grey, in red, green and blue, of a surface without texture."""

_EMBEDDED_PNG_LIMIT = 4 << 20
_NO_NORMAL = 12
"""Steps of 128 by which the parts of a normal may differ from zero when it has no direction."""
_JPEG = [
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    cv2.IMWRITE_JPEG_OPTIMIZE,
    1,
]


def read_texture(path: Path) -> NDArray[np.uint8]:
    """(height, width, 3) sRGB pixels in the order blue, green, red. `HandoffIncomplete` when it cannot be read."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if path.is_file() else None
    if pixels is None:
        raise HandoffIncomplete(f"the texture {path.name} is missing or cannot be read", file=path.name)
    return np.asarray(pixels, np.uint8)


def texture_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels; of a PNG from its header alone."""
    with path.open("rb") as file:
        head = file.read(24)
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) == 24:
        width, height = struct.unpack(">II", head[16:])
        return int(width), int(height)
    rows, columns = read_texture(path).shape[:2]
    return columns, rows


def embeddable(path: Path) -> tuple[bytes, str]:
    """The texture's bytes for a GLB, and their media type.

    JPEG goes in as it is, and so does PNG as long as it is small; what is larger becomes JPEG of quality 95 without
    colour subsampling, at which an atlas of photos looks the same and takes a fifth to a tenth.
    """
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    small = path.is_file() and path.stat().st_size <= _EMBEDDED_PNG_LIMIT
    if media_type == "image/jpeg" or (media_type == "image/png" and small):
        if not path.is_file():
            raise HandoffIncomplete(f"the texture {path.name} is missing", file=path.name)
        return path.read_bytes(), media_type
    return cv2.imencode(".jpg", read_texture(path), _JPEG)[1].tobytes(), "image/jpeg"


def embeddable_normals(path: Path) -> tuple[bytes, str]:
    """The bytes of a normal map for a GLB, and their media type.

    Where AliceVision finds no surface it leaves a normal of no length, which viewers take for a slanted one: there it
    becomes one straight up.
    """
    pixels = read_texture(path)
    nothing = (np.abs(pixels.astype(np.int16) - 128) <= _NO_NORMAL).all(axis=2)
    pixels[nothing] = (255, 128, 128)
    content = cv2.imencode(".png", pixels)[1].tobytes()
    if len(content) <= _EMBEDDED_PNG_LIMIT:
        return content, "image/png"
    return cv2.imencode(".jpg", pixels, _JPEG)[1].tobytes(), "image/jpeg"


def tile_uvs(mesh: TexturedMesh, faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """Texture coordinates (F, 3, 2) of these faces of one material, moved from its UDIM tile to the unit square.

    Corners without any get zero. Coordinates that span more than a tile repeat the texture and stay as they are.
    """
    index = mesh.face_uvs[faces]
    if not len(mesh.uvs) or (index < 0).all():
        return np.zeros((len(faces), 3, 2))
    uvs = mesh.uvs[index]
    given = uvs[index >= 0]
    low, high = given.min(0), given.max(0)
    uvs = uvs - np.where(high - low <= 1.001, np.floor((low + high) / 2), 0.0)
    uvs[index < 0] = 0.0
    return np.asarray(uvs, np.float64)


def repeats(uv: NDArray[np.float32]) -> bool:
    """Whether texture coordinates leave the unit square, so that the texture is repeated."""
    return bool(uv.min() < -0.001 or uv.max() > 1.001)


def at_resolution(texture: NDArray[np.uint8], uvs: NDArray[np.float64], samples: float) -> NDArray[np.uint8]:
    """The texture, halved until faces with these corners (F, 3, 2) hold about as many texels as there are samples."""
    height, width = texture.shape[:2]
    ratio = np.sqrt(areas(uvs).sum() * height * width / max(samples, 1e-9))
    for _ in range(int(np.log2(max(ratio, 1.0)))):
        height, width = max(height // 2, 1), max(width // 2, 1)
    if (height, width) == texture.shape[:2]:
        return texture
    return np.asarray(cv2.resize(texture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def areas(triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of flat triangles (F, 3, 2)."""
    edge1, edge2 = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return np.asarray(np.abs(edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]) / 2, np.float64)


def sample(texture: NDArray[np.uint8], uv: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinear samples (N, 3) at texture coordinates (N, 2), repeating outside of the unit square only."""
    height, width = texture.shape[:2]
    outside = (uv < -0.001) | (uv > 1.001)
    uv = np.where(outside, uv - np.floor(uv), uv).astype(np.float64)
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1.0 - uv[:, 1]) * height - 0.5, 0, height - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    upper = texture[top, left] * (1 - fx) + texture[top, right] * fx
    lower = texture[below, left] * (1 - fx) + texture[below, right] * fx
    return np.asarray(upper * (1 - fy) + lower * fy, np.float32)
