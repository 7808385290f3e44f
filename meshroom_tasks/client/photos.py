"""Which photos are meant: files, folders, ZIPs and addresses. Pure but for looking at the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from meshroom_tasks.client.errors import NoPhotos

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"))
_SCHEMES = frozenset(("http", "https", "s3", "upload"))


@dataclass(frozen=True)
class PhotoFiles:
    """`files` by the names they have in the upload; `urls` are sent as they are."""

    files: dict[str, Path]
    urls: tuple[str, ...]


def find_photos(sources: Sequence[str | Path]) -> PhotoFiles:
    """Folders are searched to the bottom for photos by their suffixes; files are taken as they are.

    Raises NoPhotos where there is none, or where one is not there.
    """
    files: dict[str, Path] = {}
    urls = []
    for source in sources:
        if isinstance(source, str) and urlsplit(source).scheme in _SCHEMES:
            urls.append(source)
            continue
        path = Path(source)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not found:
                raise NoPhotos(f"there is no photo in {path}: none of its files ends in {', '.join(sorted(SUFFIXES))}")
            for file in found:
                files[_free_name(file.relative_to(path).as_posix(), files)] = file
        elif path.is_file():
            files[_free_name(path.name, files)] = path
        else:
            raise NoPhotos(f"{path} is neither a file nor a folder nor an address")
    if not files and not urls:
        raise NoPhotos("no photos were given")
    return PhotoFiles(files, tuple(urls))


def _free_name(name: str, taken: dict[str, Path]) -> str:
    """Two folders may both hold an `001.jpg`."""
    if name not in taken:
        return name
    number = 2
    while f"{number}/{name}" in taken:
        number += 1
    return f"{number}/{name}"
