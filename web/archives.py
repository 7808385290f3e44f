"""All files of a job as one ZIP, made while it is sent: nothing of it is kept in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

from flask import Response
from zipstream import ZIP_STORED, ZipStream

from meshroom_tasks.jobs.records import ResultFile
from meshroom_tasks.storage import Storage

_BLOCK = 1 << 16


def send_zip(name: str, files: Iterable[ResultFile], storage: Storage) -> Response:
    """The files under their own names in `name`, stored as they are: meshes aside, they are compressed already."""
    archive = ZipStream(compress_type=ZIP_STORED, sized=True)
    for file in files:
        archive.add(_content(storage, file.key), file.name, size=file.size)
    response = Response(archive, content_type="application/zip", direct_passthrough=True)
    response.content_length = len(archive)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _content(storage: Storage, key: str) -> Iterator[bytes]:
    with closing(storage.open(key)) as stream:
        while block := stream.read(_BLOCK):
            yield block
