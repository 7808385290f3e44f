"""The photos in a ZIP from a stranger: its table of contents is judged before anything is unpacked.

Names are never used as paths: each photo is unpacked into a file that we name. What the table says of sizes is not
believed either; whoever reads a photo counts its bytes.
"""

from __future__ import annotations

import io
import itertools
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from meshroom_tasks.errors import PhotoError, RequestRefused, ServiceError, ZipBomb, ZipInvalid, ZipUnsafe
from meshroom_tasks.ingest.folders import is_litter, is_photo_name
from meshroom_tasks.ingest.limits import IngestLimits
from meshroom_tasks.photo_urls import fault_of_name

_MAX_TABLE_BYTES = 4_000_000
"""Of the table of contents, which is read into memory: some 40,000 entries."""
_MAX_RATIO = 200
_RATIO_COUNTS_FROM = 1_000_000
_LOCAL_HEADER_BYTES = 30
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
_NAME_SHOWN = 80
_ENCRYPTED = 0x1


class PhotoZip:
    """An open ZIP that has passed. `photos` by name; `others`: names of the files that are none.

    Several threads may read at once.
    """

    def __init__(self, file: zipfile.ZipFile, photos: tuple[zipfile.ZipInfo, ...], others: tuple[str, ...]) -> None:
        self._file = file
        self.photos = photos
        self.others = others

    @contextmanager
    def reading(self, photo: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
        """The bytes of one photo. Raises PhotoError where they cannot be unpacked."""
        try:
            with self._file.open(photo) as stream:
                yield stream
        except (ServiceError, OSError):
            raise
        except (zipfile.BadZipFile, EOFError, ValueError, RuntimeError, zlib.error) as error:
            raise PhotoError("it is damaged in its ZIP and cannot be unpacked; pack it again") from error


@contextmanager
def opened_zip(path: Path, limits: IngestLimits) -> Iterator[PhotoZip]:
    """Raises ZipInvalid, ZipUnsafe, ZipBomb, RequestRefused (too many photos)."""
    with _open(path) as file:
        _refuse_overlaps(file.infolist(), file.start_dir)
        entries = [entry for entry in file.infolist() if not entry.is_dir() and not is_litter(entry.filename)]
        photos = sorted((entry for entry in entries if is_photo_name(entry.filename)), key=lambda entry: entry.filename)
        for entry in entries:
            _judge(entry)
        if not photos:
            raise ZipInvalid("it holds no photos")
        if len(photos) > limits.max_images:
            raise RequestRefused(
                f"it holds {len(photos):,} photos; send at most {limits.max_images:,}",
                given=len(photos),
                max_images=limits.max_images,
            )
        for one, other in itertools.pairwise(photos):
            if one.filename == other.filename:
                raise ZipUnsafe(f"it holds {_short(one.filename)} twice")
        yield PhotoZip(file, tuple(photos), tuple(e.filename for e in entries if not is_photo_name(e.filename)))


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    with _BoundedReads(path) as bounded:
        try:
            file = zipfile.ZipFile(bounded)
        except ServiceError:
            raise
        except Exception as error:  # its parser raises nearly anything on hostile input
            raise ZipInvalid("it is no ZIP, or one that is damaged or cut short; pack it again") from error
        with file:
            yield file


class _BoundedReads(io.FileIO):
    """The parser reads a table of contents in one piece, however large the file says it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if wanted > _MAX_TABLE_BYTES:
            raise ZipBomb(f"its table of contents is larger than {_MAX_TABLE_BYTES:,} bytes")
        return super().read(wanted) or b""


def _judge(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if fault_of_name(name):
        raise ZipUnsafe(f"it holds a file whose name is no plain one: {_short(name)}")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise ZipUnsafe(f"it holds a link or a device: {_short(name)}")
    if name.lower().endswith(_ARCHIVES):
        raise ZipUnsafe(f"it holds another archive, {_short(name)}; send the photos themselves in one ZIP")
    if entry.flag_bits & _ENCRYPTED:
        raise ZipInvalid("its files are encrypted; pack them without a password")
    if entry.compress_type not in _METHODS:
        raise ZipInvalid(f"{_short(name)} is packed by a method that is not read here; use Deflate, or store it")
    if entry.file_size > max(_RATIO_COUNTS_FROM, _MAX_RATIO * entry.compress_size):
        raise ZipBomb(f"{_short(name)} is more than {_MAX_RATIO} times as large unpacked; send the photo as it is")


def _refuse_overlaps(entries: Iterable[zipfile.ZipInfo], end: int) -> None:
    """Entries that share bytes let a small file unpack to a huge one, each at a modest ratio."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    borders = [entry.header_offset for entry in ordered[1:]] + [end]
    for entry, border in zip(ordered, borders, strict=False):
        if entry.header_offset + _LOCAL_HEADER_BYTES + entry.compress_size > border:
            raise ZipBomb("its files overlap each other")


def _short(name: str) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in name)
    return repr(printable if len(printable) <= _NAME_SHOWN else f"{printable[:_NAME_SHOWN]}...")
