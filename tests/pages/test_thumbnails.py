"""Thumbnails of what strangers sent: a JPEG of ours, or nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from meshroom_tasks.storage import LocalStorage
from tests.ingest.conftest import encoded, picture, png_claiming
from web.pages.thumbnails import Thumbnails

HTML = b"<!doctype html><script>alert(1)</script>"


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def thumbnail(storage: LocalStorage, data: bytes) -> bytes | None:
    storage.put_bytes("inputs/x", data)
    return Thumbnails(48).of(storage, "inputs/x", "x")


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "TIFF", "WEBP"])
def test_the_kinds_that_jobs_take(storage: LocalStorage, kind: str) -> None:
    made = thumbnail(storage, encoded(picture(1, 160, 120), kind))
    assert made is not None
    with Image.open(io.BytesIO(made)) as small:
        assert (small.format, small.size) == ("JPEG", (48, 36))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "ICO", "PPM", "TGA", "PCX", "SGI", "DDS", "EPS", "PDF", "JPEG2000"])
def test_no_other_decoder_is_started(storage: LocalStorage, kind: str) -> None:
    assert thumbnail(storage, encoded(picture(1), kind)) is None


@pytest.mark.parametrize(
    "data", [b"", HTML, b"GIF89a" + encoded(picture(1)), png_claiming(50_000, 50_000), encoded(picture(1))[:300]]
)
def test_what_is_no_picture_is_not_shown(storage: LocalStorage, data: bytes) -> None:
    assert thumbnail(storage, data) is None


def test_nothing_that_is_hidden_in_a_photo_is_passed_on(storage: LocalStorage) -> None:
    """A photo that is a page or an archive as well: the thumbnail is made anew, of its pixels only."""
    photo = encoded(picture(1), comment=HTML, exif=b"Exif\0\0" + HTML)
    made = thumbnail(storage, photo + HTML + b"PK\x03\x04")
    assert made is not None
    assert made.startswith(b"\xff\xd8\xff")
    assert b"<script>" in photo
    assert b"<script>" not in made
    assert b"PK\x03\x04" not in made


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0" + b"\xff" * 60_000,
        b"Exif\0\0II*\0" + b"\xff" * 8,
        b"Exif\0\0II*\0\x08\0\0\0" + b"\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff\xff\xff\xff\xff" * 4000,
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\xff\xff\0\0\x08\0\0\0",
    ],
)
def test_metadata_that_is_nonsense_does_no_harm(storage: LocalStorage, exif: bytes) -> None:
    made = thumbnail(storage, encoded(picture(1), exif=exif))
    assert made is None or made.startswith(b"\xff\xd8\xff")
