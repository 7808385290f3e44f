"""The streams that a bundle goes through: hashed on a thread of its own, and read in large blocks."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, Protocol

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
        self._peeked = self._source.read(BLOCK)
        return self._peeked.startswith(magic)

    def read(self, _size: int = BLOCK) -> bytes:
        """The next block, of `BLOCK` bytes but for the last, whatever was asked for; empty at the end."""
        block, self._peeked = self._peeked or self._source.read(BLOCK), b""
        if block:
            while len(self._hashing) >= _WAITING_BLOCKS:
                self._hashing.popleft().result()
            self._hashing.append(self._thread.submit(self._hash.update, block))
            if self._progress is not None:
                self._progress(len(block))
        return block

    def drain(self) -> None:
        while self.read():
            pass

    def digest(self) -> str:
        while self._hashing:
            self._hashing.popleft().result()
        return self._hash.hexdigest()


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class TarStream:
    """What `tarfile` needs of a file in order to read headers, and files' contents as they come, without a copy.

    tarfile's own reading of a stream copies each byte several times, in blocks of 10 KiB.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._block = memoryview(b"")
        self._place = 0

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> int:
        """`ValueError`: the headers of a bundle of ours lead to the next place and to no other."""
        raise ValueError(f"a header leads from {self._place} to {place}")

    def read(self, size: int) -> bytes:
        """Of a header: `ValueError` when it is absurdly long. Fewer bytes than `size` at the end of the stream."""
        if not 0 <= size <= BLOCK:
            raise ValueError("no header is so long")
        return b"".join(self._pieces(size))

    def content(self, size: int, padding: int) -> Iterator[memoryview]:
        """The next `size` bytes in blocks; `padding` bytes more are passed over. `EOFError` when there are fewer."""
        if size < 0:
            raise ValueError("a file of less than no bytes")
        end = self._place + size + padding
        yield from self._pieces(size)
        for _ in self._pieces(padding):
            pass
        if self._place != end:
            raise EOFError

    def _pieces(self, size: int) -> Iterator[memoryview]:
        while size:
            self._block = self._block or memoryview(self._source.read(BLOCK))
            if not self._block:
                return
            piece, self._block = self._block[:size], self._block[size:]
            size -= len(piece)
            self._place += len(piece)
            yield piece
