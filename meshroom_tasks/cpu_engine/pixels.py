"""Reading a photo's pixels, in the orientation in which its header gives its size (see photos.py)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

_UPRIGHT = 1


def read_grey(path: Path) -> NDArray[np.uint8]:
    """A photo as grey values (height, width). Raises ValueError when it cannot be read."""
    return _read(path, cv2.IMREAD_GRAYSCALE, "L")


def read_colour(path: Path) -> NDArray[np.uint8]:
    """A photo as blue, green and red values (height, width, 3). Raises ValueError when it cannot be read."""
    return np.ascontiguousarray(_read(path, cv2.IMREAD_COLOR, "RGB"))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A photo by Pillow, which turns a TIFF upright as its size already is; but not one that it maps into memory, as it
    does where it is given a path."""
    with path.open("rb") as file, Image.open(file) as image:
        yield image


def _read(path: Path, flag: int, mode: str) -> NDArray[np.uint8]:
    if _is_turned_tiff(path):
        return _read_upright(path, mode)
    image = cv2.imread(str(path), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ValueError(f"cannot read {path.name}")
    return np.asarray(image, np.uint8)


def _is_turned_tiff(path: Path) -> bool:
    """OpenCV 5 cannot read one that lies on its side; Pillow gives the size and the mask of any as it is upright."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        with opened(path) as image:
            return bool(image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT) != _UPRIGHT)
    except (OSError, SyntaxError):
        return False


def _read_upright(path: Path, mode: str) -> NDArray[np.uint8]:
    try:
        with opened(path) as image:
            pixels = np.asarray(image.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"cannot read {path.name}") from error
    return pixels if mode == "L" else pixels[..., ::-1]
