"""Is this file a photo that the engines can read? It comes from a stranger: nothing it says of itself is believed.

The type is what the first bytes say, never a suffix or a Content-Type. The pixels are decoded once, to find files cut
short, and thrown away; the file itself is never changed, so its EXIF stays.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

from meshroom_tasks.errors import ImageTooLarge, ImageTypeUnsupported, PhotoError

_HEAD_BYTES = 1024
_LARGE_PIXELS = 24_000_000
_LARGE_BYTES = 32_000_000
"""Pillow holds metadata several times over, and a file can be nothing else."""
_one_large_image_at_a_time = threading.RLock()
_MOST_EXIF_SEGMENTS = 64
_MOST_JUNK = 1_000_000
"""Cameras write one segment of EXIF, of 64 kB, and no byte between segments. Pillow joins the former in quadratic time,
and passes the latter one by one: a file of 100 MB would take it a minute."""


@dataclass(frozen=True)
class PhotoFacts:
    """`extension` without a dot; width and height in pixels as stored, before any EXIF orientation."""

    media_type: str
    extension: str
    width: int
    height: int


@dataclass(frozen=True)
class _Kind:
    format: str
    media_type: str
    extension: str


_JPEG = _Kind("JPEG", "image/jpeg", "jpg")
_PNG = _Kind("PNG", "image/png", "png")
_TIFF = _Kind("TIFF", "image/tiff", "tif")
_WEBP = _Kind("WEBP", "image/webp", "webp")

_MAGIC = (
    (b"\xff\xd8\xff", _JPEG),
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"II*\x00", _TIFF),
    (b"MM\x00*", _TIFF),
)

# What people send by mistake, by its first bytes (text: lower case, without leading white space).
_MISTAKEN_TEXT = (
    ((b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<!--"), "an HTML page"),
    ((b"<?xml", b"<error"), "an XML document, such as a storage service's error message"),
    ((b"<svg",), "an SVG drawing"),
    ((b"{", b"["), "JSON"),
)
_MISTAKEN_MAGIC = (
    (0, (b"GIF8",), "a GIF"),
    (0, (b"BM",), "a BMP"),
    (0, (b"%PDF",), "a PDF"),
    (0, (b"PK\x03\x04",), "a ZIP archive"),
    (0, (b"\x1f\x8b",), "a gzip archive"),
    (4, (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"), "a HEIC photo"),
    (4, (b"ftypavif",), "an AVIF picture"),
    (4, (b"ftyp",), "a video"),
)

_APP1, _START_OF_SCAN, _EXIF = b"\xe1", b"\xda", b"Exif\0\0"
_WITHOUT_LENGTH = frozenset(bytes([code]) for code in (0x00, 0x01, *range(0xD0, 0xDA)))

_NEW_SUBFILE_TYPE = 254
_REDUCED_RESOLUTION = 1
_DNG_VERSION = 50706


def inspect_photo(path: Path, *, max_pixels: int) -> PhotoFacts:
    """Check one file and tell what it is.

    Raises ImageTypeUnsupported, ImageTooLarge (more than `max_pixels`; found without decoding) or PhotoError (damaged).
    Large files are decoded one at a time in a process, so that many threads together do not exhaust its memory.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        kind = _kind_of(head)
        if kind is None:
            raise ImageTypeUnsupported(f"{_looks_like(head)}; send JPEG, PNG, TIFF or WebP")
        if kind is _JPEG and _is_endless(file):
            raise PhotoError("it has far more beside the picture than a camera writes; save it without its EXIF")
    # Pillow's own bomb check would refuse more than twice this while it opens; the exact limit is ours, below.
    Image.MAX_IMAGE_PIXELS = max(max_pixels, 1)
    try:
        with _in_turn(path.stat().st_size > _LARGE_BYTES), Image.open(path, formats=(kind.format,)) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise _too_large(f"it has {width} x {height} pixels", max_pixels)
            if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_raw(image):
                raise ImageTypeUnsupported("it looks like a camera's raw file; send JPEG, PNG, TIFF or WebP")
            _decode(image, kind)
    except PhotoError:
        raise
    except Image.DecompressionBombError:
        raise _too_large("it has far too many pixels", max_pixels) from None
    except Exception as error:  # decoders raise nearly anything on hostile input
        raise PhotoError("it is damaged or cut short and cannot be decoded; send the whole file again") from error
    return PhotoFacts(kind.media_type, kind.extension, width, height)


def _kind_of(head: bytes) -> _Kind | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _WEBP
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def _looks_like(head: bytes) -> str:
    if not head:
        return "it is empty"
    for offset, magics, name in _MISTAKEN_MAGIC:
        if head[offset:].startswith(magics):
            return f"it looks like {name}, not a photo"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<html" in text:
        return "it looks like an HTML page, not a photo"
    for beginnings, name in _MISTAKEN_TEXT:
        if text.startswith(beginnings):
            return f"it looks like {name}, not a photo"
    return "it is no kind of photo that is known here"


def _is_raw(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Raw formats are TIFFs whose first picture is a small preview, which must not be taken for the photo."""
    tags = image.tag_v2
    return bool(int(tags.get(_NEW_SUBFILE_TYPE, 0)) & _REDUCED_RESOLUTION) or _DNG_VERSION in tags


def _decode(image: Image.Image, kind: _Kind) -> None:
    """Read all of the file's picture data. `verify()` would accept a JPEG that is cut short."""
    width, height = image.size
    if kind is _JPEG:
        image.draft(None, (max(1, width // 8), max(1, height // 8)))
    with _in_turn(width * height > _LARGE_PIXELS):
        image.load()


def _in_turn(large: bool) -> AbstractContextManager[object]:
    return _one_large_image_at_a_time if large else nullcontext()


def _is_endless(file: BinaryIO) -> bool:
    """Whether what a JPEG has before its picture is more than any camera writes.

    Between segments whatever is no marker is passed over, byte by byte, as decoders do.
    """
    exif, junk = 0, 0
    file.seek(2)
    while exif <= _MOST_EXIF_SEGMENTS and junk <= _MOST_JUNK:
        byte = marker = file.read(1)
        while marker == b"\xff":
            junk, marker = junk + 1, file.read(1)
            if junk > _MOST_JUNK:
                break
        if byte != b"\xff" or marker in _WITHOUT_LENGTH:
            junk += 1
        elif marker == _START_OF_SCAN:
            return False
        else:
            length = int.from_bytes(file.read(2), "big") - 2
            begin = file.read(min(len(_EXIF), max(0, length)))
            exif += marker == _APP1 and begin == _EXIF
            file.seek(max(0, length - len(begin)), 1)
        if not byte or not marker:
            return False
    return True


def _too_large(what: str, max_pixels: int) -> ImageTooLarge:
    return ImageTooLarge(f"{what}, more than the {max_pixels:,} allowed; send it smaller", max_pixels=max_pixels)
