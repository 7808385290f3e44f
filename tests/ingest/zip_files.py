"""ZIPs as a friend and as an enemy packs them."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable

from tests.ingest.conftest import encoded, picture

PHOTOS = {f"chair/{number:03d}.jpg": encoded(picture(number)) for number in range(3)}


def packed(files: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, body in files:
            archive.writestr(name, body)
    return buffer.getvalue()


def good(**more: bytes) -> bytes:
    return packed([*PHOTOS.items(), *more.items()])


def with_entry(name: str | zipfile.ZipInfo, body: bytes = b"x") -> bytes:
    return packed([*PHOTOS.items(), (name, body)])


def link(name: str, target: str) -> bytes:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    return with_entry(info, target.encode())


def encrypted() -> bytes:
    """Its flags say so, in the table and before each file."""
    data = bytearray(good())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = -1
        while (place := data.find(signature, place + 1)) >= 0:
            data[place + offset] |= 1
    return bytes(data)


def overlapping(copies: int = 100) -> bytes:
    """Every entry of the table names the same bytes (after David Fifield's better zip bomb, in its simplest form)."""
    one = packed([("a.jpg", b"\0" * 900_000)])
    start = one.index(b"PK\x01\x02")
    kernel, end = one[:start], one.index(b"PK\x05\x06")
    entry = bytearray(one[start:end])
    table = b""
    for number in range(copies):
        renamed = entry.replace(b"a.jpg", b"%05d.jpg" % number)
        struct.pack_into("<H", renamed, 28, len("00000.jpg"))
        table += renamed
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, copies, copies, len(table), start, 0)
    return kernel + table + tail


def lying_about_sizes() -> bytes:
    """A file of 3 MB that the table calls one of 10 bytes."""
    data = bytearray(packed([*PHOTOS.items(), ("large.jpg", b"\xff\xd8\xff" + b"\0" * 3_000_000)]))
    struct.pack_into("<L", data, data.rindex(b"PK\x01\x02") + 24, 10)
    return bytes(data)


def boasting_table() -> bytes:
    """Its end says that the table of contents has 100 MB, and they are there."""
    return b"\0" * 100_000_000 + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, 100_000_000, 0, 0)
