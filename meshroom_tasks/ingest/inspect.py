"""Is this file a photo that the engines can read? It comes from a stranger: nothing it says of itself is believed.

The type is what the first bytes say, never a suffix or a Content-Type. The pixels are decoded once, to find files cut
short, and thrown away; the file itself is never changed, so its EXIF stays.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, TiffImagePlugin

from meshroom_tasks.errors import ImageTooLarge, ImageTypeUnsupported, PhotoError

_HEAD_BYTES = 1024
_LARGE_PIXELS = 24_000_000
_one_large_image_at_a_time = threading.Lock()


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

_NEW_SUBFILE_TYPE = 254
_REDUCED_RESOLUTION = 1
_DNG_VERSION = 50706


def inspect_photo(path: Path, *, max_pixels: int) -> PhotoFacts:
    """Check one file and tell what it is.

    Raises ImageTypeUnsupported, ImageTooLarge (more than `max_pixels`; found without decoding) or PhotoError (damaged).
    Large pictures are decoded one at a time in a process, so that many threads together do not exhaust its memory.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    kind = _kind_of(head)
    if kind is None:
        raise ImageTypeUnsupported(f"{_looks_like(head)}; send JPEG, PNG, TIFF or WebP")
    # Pillow's own bomb check would refuse more than twice this while it opens; the exact limit is ours, below.
    Image.MAX_IMAGE_PIXELS = max(max_pixels, 1)
    try:
        with Image.open(path, formats=(kind.format,)) as image:
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
    with _one_large_image_at_a_time if width * height > _LARGE_PIXELS else nullcontext():
        image.load()


def _too_large(what: str, max_pixels: int) -> ImageTooLarge:
    return ImageTooLarge(f"{what}, more than the {max_pixels:,} allowed; send it smaller", max_pixels=max_pixels)
