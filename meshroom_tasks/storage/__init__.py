"""The object store: one small interface, chosen by a URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from meshroom_tasks.storage.base import ObjectInfo, Progress, Storage, is_key
from meshroom_tasks.storage.local import LocalStorage

__all__ = ["LocalStorage", "ObjectInfo", "Progress", "Storage", "is_key", "open_storage"]


def open_storage(url: str) -> Storage:
    """The storage that `url` names (`file:///absolute/folder`); ValueError for any other kind of URL."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise ValueError(
            f"STORAGE_URL must begin with file:/// (an absolute folder), not {parts.scheme or 'nothing'!r}"
        )
    folder = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not folder.is_absolute():
        raise ValueError("STORAGE_URL must name an absolute folder with three slashes, like file:///srv/objects")
    return LocalStorage(folder)
