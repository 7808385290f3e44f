"""Photos that mean harm: small files that claim or unpack to much, that carry much beside the picture, or are two."""

from __future__ import annotations

import struct
import zlib

from tests.ingest.conftest import encoded, picture, png_chunk
from tests.ingest.zip_files import packed

HTML = b"<!doctype html><html><script>alert(1)</script></html>"
_SHORT, _LONG = 3, 4
_NONE, _DEFLATE = 1, 8


def tiff(width: int, height: int, strips: list[bytes], *, compression: int = _DEFLATE, shared: int = 1) -> bytes:
    """A TIFF of these strips, 8 bits a pixel. With `shared`, each is named so many times in its table."""
    offsets, lengths, data = [], [], b""
    for strip in strips:
        offsets += [8 + len(data)] * shared
        lengths += [len(strip)] * shared
        data += strip
    rows = -(-height // max(1, len(offsets)))
    tables = 8 + len(data)
    if len(offsets) == 1:
        at_offsets, at_lengths, table = offsets[0], lengths[0], b""
    else:
        at_offsets, at_lengths = tables, tables + 4 * len(offsets)
        table = struct.pack(f"<{2 * len(offsets)}I", *offsets, *lengths)
    entries = [
        (256, _LONG, 1, width),
        (257, _LONG, 1, height),
        (258, _SHORT, 1, 8),
        (259, _SHORT, 1, compression),
        (262, _SHORT, 1, 1),
        (273, _LONG, len(offsets), at_offsets),
        (277, _SHORT, 1, 1),
        (278, _LONG, 1, rows),
        (279, _LONG, len(offsets), at_lengths),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", tables + len(table)) + data + table + directory + bytes(4)


def tiff_of_many_strips(width: int, height: int, strips: int) -> bytes:
    """One deflated strip of zeros, named again and again: a few bytes for each million of pixels."""
    return tiff(width, height, [zlib.compress(bytes(width * -(-height // strips)), 9)], shared=strips)


def tiff_whose_strip_unpacks_to(size: int) -> bytes:
    """64 x 48 pixels are announced, and this many bytes come out of the only strip."""
    return tiff(64, 48, [zlib.compress(bytes(size), 9)])


def tiff_claiming(width: int, height: int, *, compression: int = _NONE) -> bytes:
    return tiff(width, height, [b"x" * 100], compression=compression)


def png_of_zeros(width: int, height: int) -> bytes:
    """All the pixels that it claims, in about a thousandth of their bytes."""
    row = bytes(1 + 3 * width)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def jpeg_with(segments: int, begin: bytes = b"Exif\0\0") -> bytes:
    """APP1 segments of the largest size, filled with 0xFF."""
    data = encoded(picture(1))
    segment = b"\xff\xe1\xff\xff" + begin + b"\xff" * (0xFFFF - 2 - len(begin))
    return data[:2] + segment * segments + data[2:]


def png_with(chunk: bytes, content: bytes) -> bytes:
    """A good PNG with one more chunk in front of its pixels."""
    data = encoded(picture(1), "PNG")
    return data[:33] + png_chunk(chunk, content) + data[33:]


def international_text(size: int, *, deflated: bool) -> bytes:
    """The content of an iTXt chunk."""
    text = b"x" * size
    return b"Comment\0" + bytes([deflated, 0]) + b"\0\0" + (zlib.compress(text, 9) if deflated else text)


def jpeg_and_zip() -> bytes:
    return encoded(picture(1)) + packed([("../../evil.sh", b"#!/bin/sh\n")])


def jpeg_and_page() -> bytes:
    return encoded(picture(1), comment=HTML) + HTML
