"""Pixels, size, mask and orientation of a photo agree, however the camera was held and whatever the file's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from meshroom_tasks.cpu_engine.masks import read_mask
from meshroom_tasks.cpu_engine.photos import read_header
from meshroom_tasks.cpu_engine.pixels import read_colour, read_grey


@pytest.fixture
def stored() -> NDArray[np.uint8]:
    """(40, 60, 4), with a transparent corner."""
    pixels = np.random.default_rng(7).integers(0, 255, (40, 60, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:10, :20, 3] = 0
    return pixels


def saved(path: Path, pixels: NDArray[np.uint8], orientation: int) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_every_orientation(tmp_path: Path, stored: NDArray[np.uint8], suffix: str, orientation: int) -> None:
    photo = saved(tmp_path / f"photo{suffix}", stored, orientation)
    shown = upright(stored, orientation) if suffix == ".tiff" else stored
    header = read_header(photo)
    assert (header.height, header.width) == shown.shape[:2]
    assert header.metadata.get("Orientation", "1") == ("1" if suffix == ".tiff" else str(orientation))
    colour = saved(tmp_path / f"opaque{suffix}", stored[..., :3].copy(), orientation)
    assert np.array_equal(read_colour(colour), shown[..., 2::-1])
    assert read_grey(photo).shape == shown.shape[:2]
    mask = read_mask(photo)
    assert mask is not None
    assert np.array_equal(mask, shown[..., 3] == 255)


def test_what_is_no_photo(tmp_path: Path) -> None:
    for name in ("a.png", "a.tiff"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ValueError, match=f"cannot read {name}"):
            read_colour(tmp_path / name)
