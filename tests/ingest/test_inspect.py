from __future__ import annotations

import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from meshroom_tasks.errors import ImageTooLarge, ImageTypeUnsupported, PhotoError
from meshroom_tasks.ingest import PhotoFacts, inspect_photo
from tests.ingest.conftest import encoded, picture, png_chunk, png_claiming

MAX_PIXELS = 200_000_000


def inspect(folder: Path, data: bytes, *, max_pixels: int = MAX_PIXELS) -> PhotoFacts:
    path = folder / "photo.part"
    path.write_bytes(data)
    facts = inspect_photo(path, max_pixels=max_pixels)
    assert path.read_bytes() == data
    return facts


@pytest.mark.parametrize(
    ("kind", "options", "media_type", "extension"),
    [
        ("JPEG", {}, "image/jpeg", "jpg"),
        ("JPEG", {"progressive": True}, "image/jpeg", "jpg"),
        ("PNG", {}, "image/png", "png"),
        ("TIFF", {}, "image/tiff", "tif"),
        ("TIFF", {"compression": "tiff_lzw"}, "image/tiff", "tif"),
        ("WEBP", {}, "image/webp", "webp"),
        ("WEBP", {"lossless": True}, "image/webp", "webp"),
        ("MPO", {"save_all": True, "append_images": [picture(2)]}, "image/jpeg", "jpg"),
    ],
)
def test_good_photos(tmp_path: Path, kind: str, options: dict[str, object], media_type: str, extension: str) -> None:
    facts = inspect(tmp_path, encoded(picture(1), kind, **options))
    assert facts == PhotoFacts(media_type, extension, 64, 48)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_modes(tmp_path: Path, mode: str) -> None:
    assert inspect(tmp_path, encoded(picture(1).convert(mode))).width == 64


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_png_modes(tmp_path: Path, mode: str) -> None:
    image = Image.new("I;16", (64, 48)) if mode == "I;16" else picture(1).convert(mode)
    assert inspect(tmp_path, encoded(image, "PNG")).height == 48


def test_sizes_are_those_stored_whatever_the_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert inspect(tmp_path, encoded(picture(1), exif=exif)) == PhotoFacts("image/jpeg", "jpg", 64, 48)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>Sign in</title>", "HTML page"),
        (b"\xef\xbb\xbf \n<HTML><body>", "HTML page"),
        (b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>", "HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b'{"error": "not found"}', "JSON"),
        (b"GIF89a" + b"\0" * 50, "GIF"),
        (b"%PDF-1.7", "PDF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "HEIC"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00", "video"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"hello", "no kind of photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "no kind of photo"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "no kind of photo"),
    ],
)
def test_other_types_are_named(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(ImageTypeUnsupported, match=said):
        inspect(tmp_path, data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_truncated_photos(tmp_path: Path, kind: str, kept: float) -> None:
    data = encoded(picture(1, 200, 150), kind)
    with pytest.raises(PhotoError) as caught:
        inspect(tmp_path, data[: int(len(data) * kept)])
    assert caught.value.code == "image_invalid"


def test_a_large_jpeg_that_lacks_its_last_rows(tmp_path: Path) -> None:
    data = encoded(picture(1, 1600, 1200), quality=80)
    with pytest.raises(PhotoError):
        inspect(tmp_path, data[:-2000])


@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (20_000, 10_001), (200_000_001, 1)])
def test_bombs_are_refused_undecoded(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge, match="pixels"):
        inspect(tmp_path, png_claiming(*size))


def test_the_limit_itself_is_allowed(tmp_path: Path) -> None:
    data = encoded(picture(1), "PNG")
    assert inspect(tmp_path, data, max_pixels=64 * 48).width == 64
    with pytest.raises(ImageTooLarge, match="64 x 48"):
        inspect(tmp_path, data, max_pixels=64 * 48 - 1)


def test_a_text_bomb_in_a_png(tmp_path: Path) -> None:
    data = encoded(picture(1), "PNG")
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 200_000_000))
    with pytest.raises(PhotoError):
        inspect(tmp_path, data[:33] + bomb + data[33:])


def test_huge_metadata_is_harmless(tmp_path: Path) -> None:
    data = encoded(picture(1))
    segment = b"\xff\xe1\xff\xff" + b"Exif\0\0" + b"\xff" * (0xFFFF - 8)
    assert inspect(tmp_path, data[:2] + segment * 60 + data[2:]).width == 64


@pytest.mark.parametrize("tags", [{254: 1}, {50706: b"\x01\x04\x00\x00"}])
def test_raw_files_are_not_taken_for_their_preview(tmp_path: Path, tags: dict[int, object]) -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    with pytest.raises(ImageTypeUnsupported, match="raw"):
        inspect(tmp_path, encoded(picture(1), "TIFF", tiffinfo=directory))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from([encoded(picture(3, 24, 16), kind) for kind in ("JPEG", "PNG", "TIFF", "WEBP")]),
    at=st.integers(0, 400),
    noise=st.binary(min_size=1, max_size=40),
)
def test_damage_gives_a_photo_error_and_nothing_else(tmp_path: Path, start: bytes, at: int, noise: bytes) -> None:
    with suppress(PhotoError):
        inspect(tmp_path, start[:at] + noise + start[at + len(noise) :])
