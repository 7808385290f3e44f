"""Bodies that are files: read as they come and written on, never wholly in memory, and never waited for without end."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RD, socket
from typing import Protocol

from flask import request
from werkzeug.exceptions import ClientDisconnected

from meshroom_tasks.errors import NEVER, ServiceError, UploadDamaged, UploadTooLarge
from meshroom_tasks.jobs.uploads import UploadFile
from meshroom_tasks.storage import Storage

BLOCK_BYTES = 1 << 16

_SILENT_SECONDS = 30.0
_BASE_SECONDS = 60.0
_LOOK_SECONDS = 2.0
_LEAST_BYTES_PER_SECOND = 20_000
"""Whoever is slower than this holds a thread that others wait for."""


class TooManyUploads(ServiceError):
    """Each holds a thread of the web app."""

    code = "too_many_uploads"
    retry = NEVER
    http_status = 503


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Receiving:
    """The files that one process receives at this moment."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)

    @contextmanager
    def body(self) -> Iterator[Readable]:
        """The body of the current request. Reading ends when the client is silent, or too slow.

        Raises TooManyUploads; UploadDamaged from `read` where the body breaks off.
        """
        if not self._free.acquire(blocking=False):
            raise TooManyUploads("too many files are being received; send this one again soon")
        try:
            request.max_content_length = sys.maxsize  # The caller counts.
            body = _Body()
            with _watched(body):
                yield body
        finally:
            self._free.release()


class _Body:
    def __init__(self) -> None:
        self.received = 0

    def read(self, size: int, /) -> bytes:
        try:
            data = request.stream.read(size)
        except (ClientDisconnected, OSError) as error:
            raise UploadDamaged("the file was cut short on its way, or came too slowly; send it again") from error
        self.received += len(data)
        return data


def receive(body: Readable, storage: Storage, key: str, file: UploadFile) -> None:
    """Store a file of which everything is known. The object appears whole, or not at all.

    Raises UploadTooLarge, UploadDamaged (too short, or of another digest), StorageUnavailable, DiskFull.
    """
    digest, size = hashlib.sha256(), 0
    with storage.create(key, media_type=file.content_type) as sink:
        while data := body.read(BLOCK_BYTES):
            size += len(data)
            if size > file.size:
                raise longer_than_announced(file)
            digest.update(data)
            sink.write(data)
        if size < file.size:
            raise UploadDamaged(f"{size:,} bytes came, and {file.size:,} were announced; send the whole file again")
        if file.sha256 is not None and digest.hexdigest() != file.sha256:
            raise UploadDamaged("its sha256 is not the one that was announced; send the file again")


def longer_than_announced(file: UploadFile) -> UploadTooLarge:
    return UploadTooLarge(f"the file is larger than the {file.size:,} bytes that were announced", size=file.size)


@contextmanager
def _watched(body: _Body) -> Iterator[None]:
    """Have reading from the client's socket end when it is silent for long, or slow over all.

    Its own time-out would not do: a byte now and then keeps a read going for days.
    """
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket):
        yield
        return
    over, began = threading.Event(), time.monotonic()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            if time.monotonic() - began > _BASE_SECONDS + body.received / _LEAST_BYTES_PER_SECOND:
                with suppress(OSError):
                    connection.shutdown(SHUT_RD)
                return

    before = connection.gettimeout()
    connection.settimeout(_SILENT_SECONDS)
    threading.Thread(target=watch, name="slow-upload", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        with suppress(OSError):
            connection.settimeout(before)
