"""Photos from this disk to the service: announced at once, sent a few at a time, those that did not arrive again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from requests_toolbelt import MultipartEncoder

from meshroom_tasks.client.answers import Upload, UploadedFile
from meshroom_tasks.client.connection import Connection, passing_failures, retried
from meshroom_tasks.client.errors import ServiceUnreachable

Sent = Callable[[int], None]
"""Told how many bytes more have gone; a negative number where a file begins anew."""

_SIDE_BY_SIDE = 4
_ROUNDS = 3


def upload_files(connection: Connection, files: Mapping[str, Path], sent: Sent = lambda _: None) -> Upload:
    """`files` by their names. Raises RequestProblem, ServiceUnreachable, OSError."""
    announced = [{"name": name, "size": path.stat().st_size, "sha256": _sha256(path)} for name, path in files.items()]
    upload = Upload.model_validate(connection.call("POST", "/api/v1/uploads", json={"files": announced}).json())
    for _ in range(_ROUNDS):
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
            due = [file for file in upload.files if not file.arrived]
            list(threads.map(lambda file: _send(connection, file, files[file.name], sent), due))
        answer = connection.call("GET", f"/api/v1/uploads/{upload.upload_id}")
        upload = Upload.model_validate(answer.json())
        if upload.complete:
            return upload
    raise ServiceUnreachable(f"{len(upload.missing)} photos were sent {_ROUNDS} times and did not arrive")


def _send(connection: Connection, file: UploadedFile, path: Path, sent: Sent) -> None:
    retried(lambda: _send_once(connection, file, path, sent))


def _send_once(connection: Connection, file: UploadedFile, path: Path, sent: Sent) -> None:
    if file.send is None:
        return
    with path.open("rb") as content, _Counted(content, file.size, sent) as counted:
        if file.send.method == "PUT":
            with connection.stream("PUT", file.send.url, data=counted):
                counted.keep()
            return
        form = MultipartEncoder({**file.send.fields, "file": (path.name, counted, "application/octet-stream")})
        headers = {"Content-Type": form.content_type}
        with passing_failures(file.send.url), connection.stream("POST", file.send.url, data=form, headers=headers):
            counted.keep()


class _Counted:
    """A file that tells how much of it was read, and takes it back where that was for nothing."""

    def __init__(self, file: IO[bytes], size: int, sent: Sent) -> None:
        self._file, self._size, self._sent = file, size, sent
        self._told = 0
        self._kept = False

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            self._sent(-self._told)

    def __len__(self) -> int:
        """What is left to read: by this requests tells the length, and the encoder of forms the end."""
        return self._size - self._told

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._told += len(piece)
        self._sent(len(piece))
        return piece

    def keep(self) -> None:
        self._kept = True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
