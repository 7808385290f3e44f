"""Bodies that are files: read as they come and written on, never wholly in memory, and never waited for without end."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from flask import request
from werkzeug.exceptions import ClientDisconnected

from meshroom_tasks.errors import ServiceError, UploadDamaged, UploadTooLarge
from meshroom_tasks.jobs.uploads import UploadFile
from meshroom_tasks.retry_policies import NEVER
from meshroom_tasks.storage import Storage
from web.slots import Slots
from web.slow_clients import watched

BLOCK_BYTES = 1 << 16

_BASE_SECONDS = 60.0
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

    def __init__(self, most: int, most_of_one: int) -> None:
        self._slots = Slots(most, most_of_one)

    @contextmanager
    def body(self, tenant: str) -> Iterator[Readable]:
        """The body of the current request. Reading ends when the client is silent, or too slow.

        Raises TooManyUploads; UploadDamaged from `read` where the body breaks off.
        """
        give_back = self._slots.take(tenant)
        if give_back is None:
            raise TooManyUploads("too many files are being received; send this one again soon")
        try:
            request.max_content_length = sys.maxsize  # The caller counts.
            body = _Body()
            with _watched(body):
                yield body
        finally:
            give_back()


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
    """Have reading from the client end when it is slow over all; the server ends it where the client is silent."""
    began = time.monotonic()
    with watched(lambda: time.monotonic() - began > _BASE_SECONDS + body.received / _LEAST_BYTES_PER_SECOND):
        yield
