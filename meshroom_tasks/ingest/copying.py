"""Photos from a stream into files: counted, hashed, and stopped where they are too large or nobody wants them."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from meshroom_tasks.errors import ImageTooLarge, JobTooLarge
from meshroom_tasks.handoff.disk import disk_errors

_BLOCK_BYTES = 1 << 18


class StoppedError(Exception):
    """The transfer was told to stop; nothing is wrong with the photo."""


@dataclass(frozen=True)
class Downloaded:
    sha256: str
    size: int


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class ByteBudget:
    """The bytes that all photos of a job may have together; shared by threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Raises JobTooLarge where no more is left. A negative count gives back."""
        with self._lock:
            self._used += count
            if self._used > self.limit:
                raise JobTooLarge(
                    f"The photos together are larger than {self.limit:,} bytes; send fewer or smaller ones.",
                    max_job_bytes=self.limit,
                )


class Copier:
    """Copies streams into files. Its methods may be called by several threads, `stop` by any."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make all copying, running and to come, end with StoppedError within a block."""
        self._stopping.set()

    def copy(self, source: Readable, path: Path, limit: int, budget: ByteBudget | None = None) -> Downloaded:
        """Raises ImageTooLarge beyond `limit` bytes, JobTooLarge, DiskFull, StoppedError; no file is left then."""
        digest, size, taken = hashlib.sha256(), 0, 0
        try:
            with disk_errors(), path.open("wb") as file:
                while data := source.read(_BLOCK_BYTES):
                    if self._stopping.is_set():
                        raise StoppedError
                    size += len(data)
                    if size > limit:
                        raise ImageTooLarge(
                            f"it is larger than {limit:,} bytes; send it smaller", max_image_bytes=limit
                        )
                    if budget is not None:
                        taken += len(data)
                        budget.take(len(data))
                    digest.update(data)
                    file.write(data)
        except BaseException:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            if budget is not None:
                budget.take(-taken)
            raise
        return Downloaded(digest.hexdigest(), size)
