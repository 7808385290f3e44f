"""The object store: one small interface, chosen by a URL."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from meshroom_tasks.settings import Settings
from meshroom_tasks.storage.base import ClientPhotos, ObjectInfo, PostForm, Progress, Sink, Storage, is_key
from meshroom_tasks.storage.local import LocalStorage
from meshroom_tasks.storage.scoped import ScopedStorage

__all__ = [
    "ClientPhotos",
    "LocalStorage",
    "ObjectInfo",
    "PostForm",
    "Progress",
    "ScopedStorage",
    "Sink",
    "Storage",
    "is_key",
    "open_client_photos",
    "open_storage",
]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def open_storage(settings: Settings, *, patience: float = 40.0) -> Storage:
    """The storage that `settings.storage` names: `file:///absolute/folder` or `s3://bucket/prefix`.

    `patience`: for how many seconds one call goes on trying while a server cannot be reached. ValueError for a URL
    of another kind; nothing is connected to yet.
    """
    parts = urlsplit(settings.storage)
    if parts.scheme == "file":
        return LocalStorage(_folder(parts))
    if parts.scheme == "s3":
        return _bucket(parts, settings, patience)
    raise ValueError(
        "STORAGE_URL must begin with file:/// (an absolute folder) or s3:// (a bucket), "
        f"not {parts.scheme or 'nothing'!r}"
    )


def open_client_photos(settings: Settings) -> ClientPhotos | None:
    """What `s3://` among a job's photos reads from; None where no bucket is allowed."""
    if not settings.photo_buckets:
        return None
    from meshroom_tasks.storage.s3_photos import S3Photos

    return S3Photos(settings)


def _folder(parts: SplitResult) -> Path:
    folder = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not folder.is_absolute():
        raise ValueError("STORAGE_URL must name an absolute folder with three slashes, like file:///srv/objects")
    return folder


def _bucket(parts: SplitResult, settings: Settings, patience: float) -> Storage:
    # Slow to import, and not needed where storage is a folder.
    from meshroom_tasks.storage.s3 import S3Storage

    prefix = parts.path.strip("/")
    if not _BUCKET.fullmatch(parts.netloc) or (prefix and not is_key(prefix)) or parts.query or parts.fragment:
        raise ValueError(
            "STORAGE_URL must be s3://bucket or s3://bucket/prefix; the keys are set by AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, the server by AWS_ENDPOINT_URL"
        )
    for endpoint in (settings.aws_endpoint_url, settings.aws_public_endpoint_url):
        if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
            raise ValueError("AWS_ENDPOINT_URL and AWS_PUBLIC_ENDPOINT_URL must begin with http:// or https://")
    return S3Storage(settings, parts.netloc, prefix, patience=patience)
