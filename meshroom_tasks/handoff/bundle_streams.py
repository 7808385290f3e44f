"""The streams that a bundle goes through: hashed on a thread of its own, and read in large blocks."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO

from meshroom_tasks.storage import Progress, Sink

BLOCK = 1 << 20
_WAITING_BLOCKS = 8


class Told:
    """A readable stream that tells how many bytes went through."""

    def __init__(self, source: BinaryIO, progress: Progress | None) -> None:
        self._source = source
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        if self._progress is not None and data:
            self._progress(len(data))
        return data


class HashingWriter:
    """A writable stream that knows the digest and number of the bytes that went through."""

    def __init__(self, target: Sink) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._target.write(data)

    def flush(self) -> None:
        self._target.flush()

    def tell(self) -> int:
        return self.size

    def digest(self) -> str:
        return self._hash.hexdigest()


class HashingReader:
    """The blocks of a stream, hashed on a thread while the reader works with them. To be used as a context."""

    def __init__(self, source: BinaryIO, progress: Progress | None) -> None:
        self._source = source
        self._progress = progress
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bundle-hash")
        self._hashing: deque[Future[None]] = deque()
        self._peeked = b""

    def __enter__(self) -> HashingReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def begins_with(self, magic: bytes) -> bool:
        """Whether the stream, of which nothing was read yet, begins so; all of it is still to be read."""
        self._peeked = self._source.read(len(magic))
        return self._peeked == magic

    def read(self, size: int) -> bytes:
        """The next `size` bytes or fewer, empty at the end. What waits to be hashed is `_WAITING_BLOCKS` times that."""
        block, self._peeked = self._peeked or self._source.read(size), b""
        if block:
            while len(self._hashing) >= _WAITING_BLOCKS:
                self._hashing.popleft().result()
            self._hashing.append(self._thread.submit(self._hash.update, block))
            if self._progress is not None:
                self._progress(len(block))
        return block

    def drain(self) -> None:
        while self.read(BLOCK):
            pass

    def digest(self) -> str:
        while self._hashing:
            self._hashing.popleft().result()
        return self._hash.hexdigest()
